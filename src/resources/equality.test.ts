import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from '../../scripts/fast-check.ts';
import { Sensitive } from '../snapshot/sensitive.ts';
import { sameValue } from './equality.ts';

test('secrets are the same when their texts are', () => {
  assert.equal(sameValue({ key: new Sensitive('a') }, { key: new Sensitive('a') }), true);
  assert.equal(sameValue({ key: new Sensitive('a') }, { key: new Sensitive('b') }), false);
  assert.equal(sameValue({ key: new Sensitive('a') }, { key: 'a' }), false);
  assert.equal(sameValue({ key: {} }, { key: new Sensitive('a') }), false);
});

test('plain data: as Node compares it', () => {
  const value = fc.jsonValue({ maxDepth: 3 });
  fc.assert(
    fc.property(value, value, (left, right) => {
      assert.equal(sameValue(left, right), isDeepStrictEqual(left, right));
      assert.equal(sameValue(left, structuredClone(left)), true);
    }),
    {
      numRuns: 1000,
      examples: [
        [[], {}],
        [{ a: 1 }, { b: 1 }],
        [[1], [1, 2]],
        [null, {}],
      ],
    },
  );
});
