import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc, { anyCharacter } from '../../../../scripts/fast-check.ts';
import { Seal } from './seal.ts';

const SECRET = 'a secret of thirty-two characters';
const seal = new Seal(SECRET, 'session');

test('what was sealed opens again, by anybody with the same secret and purpose', () => {
  const other = new Seal(Buffer.from(SECRET), 'session');
  fc.assert(
    fc.property(fc.string({ unit: anyCharacter }), (text) => {
      const sealed = seal.close(text);
      assert.match(sealed, /^[A-Za-z0-9_-]+$/);
      assert.equal(other.open(sealed), text);
    }),
  );
  assert.notEqual(seal.close('same'), seal.close('same'));
});

test('nothing else opens: another secret, another purpose, any change, any cut, anything added', () => {
  const sealed = seal.close('{"sub":"alice"}');
  assert.equal(new Seal(`${SECRET}.`, 'session').open(sealed), undefined);
  assert.equal(new Seal(SECRET, 'login').open(sealed), undefined);
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  for (let index = 0; index < sealed.length; index++) {
    assert.equal(seal.open(sealed.slice(0, index)), undefined, `cut after ${index}`);
    const bit = letters[letters.indexOf(sealed[index] as string) ^ 32];
    assert.equal(seal.open(sealed.slice(0, index) + bit + sealed.slice(index + 1)), undefined, `changed at ${index}`);
  }
  for (const forged of [
    '',
    '=',
    `${sealed}=`,
    `${sealed}A`,
    ` ${sealed}`,
    `${sealed.slice(0, 8)}\n${sealed.slice(8)}`,
    sealed + sealed,
    'ä',
    'A'.repeat(10_000),
  ]) {
    assert.equal(seal.open(forged), undefined, JSON.stringify(forged).slice(0, 40));
  }
  assert.equal(seal.open(sealed), '{"sub":"alice"}');
});
