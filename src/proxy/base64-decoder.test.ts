import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { Base64Decoder } from './base64-decoder.ts';

test('texts one behind the other, cut anywhere, give their bytes one behind the other', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 20 })), fc.array(fc.nat(200)), (parts, cuts) => {
      const text = Buffer.from(parts.map((part) => Buffer.from(part).toString('base64')).join(''));
      const decoder = new Base64Decoder();
      const decoded: Buffer[] = [];
      let position = 0;
      for (const cut of [...cuts.filter((one) => one < text.length).sort((a, b) => a - b), text.length]) {
        decoded.push(decoder.decode(text, position, cut));
        position = cut;
      }
      assert.ok(decoder.complete);
      assert.deepEqual(Buffer.concat(decoded), Buffer.concat(parts));
    }),
  );
});

for (const text of ['=', 'A===', 'AA=A', '!AAA', 'AAA\n', 'AA-_']) {
  test(`${JSON.stringify(text)} is no base64`, () => {
    const decoder = new Base64Decoder();
    decoder.decode(Buffer.from(text), 0, text.length);
    assert.ok(decoder.failed);
    assert.ok(!decoder.complete);
  });
}

test('what ends within a group is not complete', () => {
  const decoder = new Base64Decoder();
  assert.equal(decoder.decode(Buffer.from('AAAAAA'), 0, 6).length, 3);
  assert.ok(!decoder.failed);
  assert.ok(!decoder.complete);
});
