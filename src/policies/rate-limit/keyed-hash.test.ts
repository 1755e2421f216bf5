import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { KeyedHash } from './keyed-hash.ts';

function resultOf(hash: KeyedHash): string {
  const bytes = Buffer.alloc(8);
  bytes.writeInt32LE(hash.first, 0);
  bytes.writeInt32LE(hash.second, 4);
  return bytes.toString('hex');
}

function hashOf(...texts: readonly string[]): string {
  const hash = new KeyedHash(1, 2);
  for (const text of texts) hash.addText(text);
  hash.finish(texts.length);
  return resultOf(hash);
}

test('it gives the results of the reference implementation', () => {
  // Bytes 0, 1, 2, ... under the key 00 01 ... 07; the last word holds the length in its highest byte.
  const expected: readonly (readonly [number, string])[] = [
    [0, '218d1f59b9b83cc8'],
    [4, 'd5e78a175be52ea1'],
    [8, 'edfee820bce4858c'],
    [12, '7bc71f9faef5c799'],
    [16, '7336aad25f7bf3b5'],
    [60, 'd6762890bf26e460'],
  ];
  for (const [length, result] of expected) {
    const hash = new KeyedHash(0x03020100, 0x07060504);
    const bytes = Buffer.from(Array.from({ length }, (_, index) => index));
    for (let index = 0; index < length; index += 4) hash.addWord(bytes.readInt32LE(index));
    hash.finish(length << 24);
    assert.equal(resultOf(hash), result, `${length} bytes`);
  }
});

test('lists of texts hash alike exactly when they are alike', () => {
  // Few characters, so that the same bytes come in many divisions: beside each other, high and low, with zeros.
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '\u0000', '\u0001', '\u0061\u0161', '\u6161'), maxLength: 6 });
  const texts = fc.array(text, { maxLength: 4 });
  fc.assert(
    fc.property(texts, texts, (left, right) => {
      assert.equal(hashOf(...left) === hashOf(...right), JSON.stringify(left) === JSON.stringify(right));
    }),
    { numRuns: 5000 },
  );
  assert.notEqual(hashOf('ab', ''), hashOf('a', 'b'));
  assert.notEqual(hashOf('\u6161'), hashOf('aa'));
});

test('the key makes the result', () => {
  const results = [0, 1].flatMap((first) =>
    [0, 1].map((second) => {
      const hash = new KeyedHash(first, second);
      hash.addText('10.0.0.1');
      hash.finish(1);
      return resultOf(hash);
    }),
  );
  assert.equal(new Set(results).size, 4);
});

test('hashing goes on from where another stands, and leaves that one alone', () => {
  const prefix = new KeyedHash(1, 2);
  prefix.addText('limit');
  for (const key of ['a', 'b']) {
    const hash = new KeyedHash(0, 0);
    hash.resetTo(prefix);
    hash.addText(key);
    hash.finish(2);
    assert.equal(resultOf(hash), hashOf('limit', key));
  }
});
