import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { Chunked, ChunkedDecoder } from './chunked-decoder.ts';

/** What the decoder makes of a body that arrives in pieces. */
function decode(text: string, cuts: readonly number[] = []) {
  const decoder = new ChunkedDecoder();
  decoder.begin();
  const bytes = Buffer.from(text, 'latin1');
  let data = '';
  let from = 0;
  for (const cut of [...cuts.filter((at) => at < text.length).sort((a, b) => a - b), text.length]) {
    // A buffer that is overwritten afterwards: nothing may be kept of it.
    const piece = Buffer.concat([Buffer.from('..'), bytes.subarray(from, cut)]);
    let position = 2;
    for (;;) {
      const result = decoder.next(piece, position, piece.length);
      position = decoder.position;
      if (result === Chunked.More) break;
      if (result === Chunked.Data) data += piece.toString('latin1', decoder.dataStart, decoder.dataEnd);
      if (result === Chunked.Bad) return { fault: decoder.fault.reason, data };
      if (result === Chunked.End) return { data, trailers: decoder.trailers?.serialize() ?? '', used: from + position - 2 };
    }
    piece.fill(0x21);
    from = cut;
  }
  return { fault: 'more', data };
}

const BAD: readonly (readonly [what: string, text: string])[] = [
  ['no digits', '\r\n'],
  ['sign', '+5\r\nhello\r\n'],
  ['minus', '-5\r\n'],
  ['hex prefix', '0x5\r\nhello\r\n'],
  ['leading space', ' 5\r\nhello\r\n'],
  ['space after the size', '5 \r\nhello\r\n'],
  ['tab after the size', '5\t\r\nhello\r\n'],
  ['underscore', '1_0\r\n'],
  ['letter that is no digit', '5g\r\nhello\r\n'],
  ['size that is too long', '1000000000000\r\n'],
  ['size that wraps around', 'fffffffffffffffff\r\n'],
  ['bare LF after the size', '5\nhello\r\n'],
  ['bare CR after the size', '5\rhello\r\n'],
  ['data longer than its size', '5\r\nhello!\r\n'],
  ['data shorter than its size', '6\r\nhello\r\n0\r\n\r\n'],
  ['bare LF after the data', '5\r\nhello\n0\r\n\r\n'],
  ['bare CR after the data', '5\r\nhello\r0\r\n\r\n'],
  ['nothing after the data', '5\r\nhello0\r\n\r\n'],
  ['extension without a name', '5;\r\nhello\r\n'],
  ['extension with a space', '5; a=b\r\nhello\r\n'],
  ['space before an extension', '5 ;a\r\nhello\r\n'],
  ['extension with a bare LF', '5;a\nb\r\nhello\r\n'],
  ['extension with a bare CR', '5;a\rb\r\nhello\r\n'],
  ['extension without a value', '5;a=\r\nhello\r\n'],
  ['extension with a NUL in quotes', '5;a="\0"\r\nhello\r\n'],
  ['extension with CRLF in quotes', '5;a="\r\n"\r\nhello\r\n'],
  ['extension with more after the quotes', '5;a="b"c\r\nhello\r\n'],
  ['extensions beyond all measure', `5;${'a'.repeat(20_000)}\r\nhello\r\n`],
  ['many chunks with extensions', `1;${'a'.repeat(100)}\r\nx\r\n`.repeat(200)],
  ['bare LF as the last line', '0\r\n\n'],
  ['trailer with a space before the colon', '0\r\nX-A : 1\r\n\r\n'],
  ['folded trailer', '0\r\nX-A: 1\r\n 2\r\n\r\n'],
  ['trailer with a NUL', '0\r\nX-A: \0\r\n\r\n'],
  ['trailer with a bare LF', '0\r\nX-A: 1\nX-B: 2\r\n\r\n'],
  ['trailers that are too large', `0\r\nX-A: ${'a'.repeat(17_000)}\r\n\r\n`],
  ['too many trailers', `0\r\n${'X: 1\r\n'.repeat(101)}\r\n`],
];

const GOOD: readonly (readonly [text: string, data: string, trailers: string])[] = [
  ['0\r\n\r\n', '', ''],
  ['5\r\nhello\r\n0\r\n\r\n', 'hello', ''],
  ['00005\r\nhello\r\n000\r\n\r\n', 'hello', ''],
  ['A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n', '01234567890123456789', ''],
  ['2\r\n\r\n\r\n3\r\n0\r\n\r\n0\r\n\r\n', '\r\n0\r\n', ''],
  ['1;a\r\nx\r\n1;b=c;d="e\\"; f"\r\ny\r\n0;last\r\n\r\n', 'xy', ''],
  ['0\r\nX-Sum: 1\r\nx-other:2\r\n\r\n', '', 'X-Sum: 1\r\nx-other:2\r\n'],
  [
    '1\r\nx\r\n0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: a\r\nAuthorization: b\r\nX-Ok: 1\r\nConnection: x\r\nSet-Cookie: a\r\nx_under: 1\r\nX-Forwarded-For: 1\r\nCache-Control: x\r\n\r\n',
    'x',
    'X-Ok: 1\r\n',
  ],
  ['0\r\nHost: a\r\n\r\n', '', ''],
];

describe('ChunkedDecoder', () => {
  for (const [what, text] of BAD) {
    it(`refuses ${what}`, () => {
      const result = decode(text);
      assert.match(('fault' in result && result.fault) || JSON.stringify(result), /^bad_/);
    });
  }

  it('takes bodies apart', () => {
    for (const [text, data, trailers] of GOOD) assert.deepEqual(decode(`${text}GET / HTTP/1.1`), { data, trailers, used: text.length });
  });

  it('gives the same outcome however the bytes arrive', () => {
    for (const text of [...GOOD.map(([text]) => `${text}next`), ...BAD.map(([, text]) => text)]) {
      const whole = decode(text);
      for (let cut = 0; cut < Math.min(text.length, 300); cut++)
        assert.deepEqual(decode(text, [cut]), whole, `${JSON.stringify(text.slice(0, 100))} cut at ${cut}`);
      assert.deepEqual(
        decode(
          text,
          Array.from(text, (_, index) => index),
        ),
        whole,
      );
    }
  });

  it('hands on small chunks that came together as one piece, and what is wrong behind them after it', () => {
    for (const [text, ...pieces] of [
      ['1\r\na\r\n2;x=y\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n', 'abcdef'],
      ['1\r\na\r\n1\r\nb\r\n0\r\nX: y\r\n\r\n', 'ab'],
      ['1\r\na\r\n1\r\nb\n1\r\nc\r\n0\r\n\r\n', 'ab'],
      ['1\r\na\r\n5\r\nbcd', 'abcd'],
      [`1\r\na\r\n1388\r\n${'b'.repeat(5000)}\r\n1\r\nc\r\n0\r\n\r\n`, 'a', 'b'.repeat(5000), 'c'],
    ] as const) {
      const decoder = new ChunkedDecoder();
      decoder.begin();
      const bytes = Buffer.from(text, 'latin1');
      const found: string[] = [];
      for (let position = 0; decoder.next(bytes, position, bytes.length) === Chunked.Data; position = decoder.position)
        found.push(bytes.toString('latin1', decoder.dataStart, decoder.dataEnd));
      assert.deepEqual(found, pieces);
    }
  });

  it('gives back what was put in, however it was chunked and cut', () => {
    const chunk = fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 6 }), fc.array(fc.nat(300), { maxLength: 6 }), (chunks, cuts) => {
        const text = `${chunks.map((data) => `${data.length.toString(16)}\r\n${data}\r\n`).join('')}0\r\n\r\n`;
        assert.deepEqual(decode(text, cuts), { data: chunks.join(''), trailers: '', used: text.length });
      }),
      { numRuns: 500 },
    );
  });
});
