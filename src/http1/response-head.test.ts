/** Heads that come again are not read again: whatever came before, an answer is what it is on a new connection. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { FieldKind, maskOf } from '../exchange/field-names.ts';
import { Fields } from '../exchange/fields.ts';
import { NO_BODY } from '../exchange/streams.ts';
import { Answer } from './answer.fixture.ts';
import { bench, chunked, ok } from './client-bench.fixture.ts';

/** Does with the fields what filters do. */
class FilteredAnswer extends Answer {
  override onResponse(status: number, fields: Fields, ...rest: [number, Buffer | undefined, number, number, boolean, boolean]): void {
    super.onResponse(status, fields, ...rest);
    fields.removeKinds(maskOf(FieldKind.Date, FieldKind.ContentType));
    fields.remove('x-a');
    fields.set('X-Added', '1');
  }
}

const DATE = 'Date: Sun, 22 Nov 2026 09:00:00 GMT';
const ANSWERS = [
  ok('hello'),
  ok('world'),
  ok('hello', DATE, 'Content-Type: text/plain', 'X-A: 1'),
  ok('hello', DATE, 'Content-Type: text/plain', 'X-A: 2'),
  ok('hello', 'Connection: keep-alive, X-A', 'X-A: 1'),
  ok('', 'X-A: 1'),
  chunked('5\r\nhello\r\n0\r\n\r\n', 'X-A: 1'),
  chunked('5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n', 'X-A: 1', 'Trailer: X-T'),
  'HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n',
  'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n',
  `HTTP/1.1 100 Continue\r\n\r\n${ok('hello')}`,
  `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok('hello')}`,
  'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello',
  ok('hello', `X-A: ${'x'.repeat(2000)}`),
];
/** To HEAD: no body, whatever the head says. */
const BODILESS = ANSWERS.slice(0, 5).map((text) => text.slice(0, text.indexOf('\r\n\r\n') + 4));

function answerTo({ client, connection }: ReturnType<typeof bench>, method: string, text: string, split: number): FilteredAnswer {
  const answer = new FilteredAnswer();
  client.request({ method, target: '/', fields: Fields.of([['Host', 'a']]), body: NO_BODY }, answer);
  const at = split % text.length;
  if (at > 0) connection.send(text.slice(0, at));
  connection.send(text.slice(at));
  return answer;
}

test('an answer is the same on a connection that had the same one before, others, or none', () => {
  const step = fc.record({
    request: fc.oneof(fc.tuple(fc.constant('GET'), fc.constantFrom(...ANSWERS)), fc.tuple(fc.constant('HEAD'), fc.constantFrom(...BODILESS))),
    repeat: fc.integer({ min: 1, max: 4 }),
    split: fc.option(fc.nat(), { nil: 0 }),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
      const used = bench();
      for (const { request, repeat, split } of steps) {
        const [method, text] = request;
        const expected = answerTo(bench(), method, text, split);
        assert.equal(expected.ended, true, text);
        for (let count = 0; count < repeat; count++) assert.deepEqual(answerTo(used, method, text, split), expected);
      }
    }),
  );
});

test('what follows an answer that has come before is looked at as behind any other', () => {
  const used = bench();
  for (let count = 0; count < 3; count++) assert.equal(answerTo(used, 'GET', ok('hello'), 0).body, 'hello');
  const excess = answerTo(used, 'GET', `${ok('hello')}x`, 0);
  assert.deepEqual([excess.failure, used.connection.destroyed, used.counts.gone], ['malformed', true, 1]);
});
