import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BodySink } from '../../exchange/bodies.ts';
import { Fields } from '../../exchange/fields.ts';
import { UNKNOWN_LENGTH } from '../../exchange/streams.ts';
import { exchangeOf } from '../../policies/exchange.fixture.ts';
import { AnswerPipe, type AnswerPipeOwner } from './answer-pipe.ts';

test('a client that does not even take the head holds back what comes out of the stages, and not what goes in', () => {
  const told: string[] = [];
  const owner: AnswerPipeOwner = {
    sendHead: () => false,
    sendBody: () => true,
    sendEnd: () => {},
    resumeAnswer: () => told.push('source'),
    replaceAnswer: () => assert.fail(),
    cutAnswer: () => assert.fail(),
    fail: () => assert.fail(),
  };
  const stage = (_sink: BodySink) => ({ write: () => true, end: () => {}, onWritable: () => told.push('stage'), close: () => {} });
  const pipe = new AnswerPipe(owner, exchangeOf(), [{ policy: 'test', describe: () => '', onResponseBody: () => ({ stage }) }]);
  // The stage takes more, and so nobody would tell the source that it may go on.
  assert.equal(pipe.begin(200, new Fields(), UNKNOWN_LENGTH, Buffer.from('a'), 0, 1, false, false), true);
  pipe.onClientWritable();
  assert.deepEqual(told, ['stage']);
});
