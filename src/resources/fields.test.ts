import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { durationMilliseconds, quote } from './fields.ts';

describe('durations of Gateway API', () => {
  for (const [text, milliseconds] of [
    ['0s', 0],
    ['250ms', 250],
    ['10s', 10_000],
    ['1m30s', 90_000],
    ['720h', 2_592_000_000],
    ['1h1m1s1ms', 3_661_001],
    ['1s1s', 2000],
    ['99999h', 359_996_400_000],
    ['', undefined],
    ['10', undefined],
    ['s', undefined],
    ['1.5s', undefined],
    ['-1s', undefined],
    ['1d', undefined],
    ['100000s', undefined],
    ['1h1h1h1h1h', undefined],
    ['1s ', undefined],
    ['1S', undefined],
  ] as const) {
    test(JSON.stringify(text), () => assert.equal(durationMilliseconds(text), milliseconds));
  }
});

test('what is quoted stays on one line, and short', () => {
  assert.equal(quote('a\r\n"b"'), '"a\\r\\n\\"b\\""');
  assert.equal(quote('x'.repeat(1000)).length, 82);
});
