import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Scan } from './field-scanner.ts';
import { giveHeadParser, takeHeadParser } from './head-parser-pool.ts';

const LIMITS = { maxHeaderBytes: 1024, maxFields: 10 };

function parse(parser: ReturnType<typeof takeHeadParser>, text: string): Scan {
  const bytes = Buffer.from(text, 'latin1');
  parser.begin();
  return parser.parse(bytes, 0, bytes.length);
}

it('hands a parser on without a trace of what it has read', () => {
  for (const cut of [
    'GET /secret HTTP/1.1\r\nHost: a.test\r\nbad field\r\n\r\n',
    'GET /secret HTTP/1.1\r\nHost: a.test\r\nX-A_b: 1\r\nX-Par',
    'POST /sec',
    '\x00',
  ]) {
    const first = takeHeadParser(LIMITS, 'http');
    parse(first, cut);
    giveHeadParser(first, LIMITS, 'http');
    const parser = takeHeadParser(LIMITS, 'http');
    assert.equal(parser, first);
    assert.deepEqual([parser.method, parser.host, parser.target, parser.protocol, parser.droppedFields], ['', '', '', '', 0]);
    assert.equal(parse(parser, '\x01'), Scan.Bad);
    assert.deepEqual([parser.method, parser.host, parser.target, parser.protocol], ['', '', '', '']);
    const good = 'GET /next HTTP/1.1\r\nHost: b.test\r\n\r\n';
    assert.equal(parse(parser, good), Scan.Done);
    const head = parser.finish(Buffer.from(good), 0);
    assert.deepEqual([head?.method, head?.host, head?.path, head?.fields.getAll('host')], ['GET', 'b.test', '/next', ['b.test']]);
    giveHeadParser(parser, LIMITS, 'http');
  }
});

it('gives a parser of the right scheme and limits', () => {
  const parser = takeHeadParser(LIMITS, 'http');
  giveHeadParser(parser, LIMITS, 'http');
  assert.notEqual(takeHeadParser(LIMITS, 'https'), parser);
  assert.notEqual(takeHeadParser({ ...LIMITS }, 'http'), parser);
  assert.equal(takeHeadParser(LIMITS, 'http'), parser);
});
