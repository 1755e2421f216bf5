import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { editDistance, nearest } from './suggestion.ts';

describe('nearest', () => {
  const fields = ['hostnames', 'rules', 'tls', 'ingressClassName', 'backendRefs'];
  for (const [word, expected] of [
    ['hostname', 'hostnames'],
    ['hosntames', 'hostnames'],
    ['Rules', 'rules'],
    ['ingressclassname', 'ingressClassName'],
    ['className', 'ingressClassName'],
    ['backendRef', 'backendRefs'],
    ['tsl', 'tls'],
    ['listeners', undefined],
    ['x', undefined],
  ] as const) {
    test(`${word}: ${expected ?? 'none'}`, () => assert.equal(nearest(word, fields), expected));
  }
});

test('the distance is that of a plain recursion', () => {
  const plain = (from: string, to: string): number => {
    if (from === '' || to === '') return from.length + to.length;
    const same = from.at(-1) === to.at(-1) ? 0 : 1;
    const swap =
      from.length > 1 && to.length > 1 && from.at(-1) === to.at(-2) && from.at(-2) === to.at(-1)
        ? 1 + plain(from.slice(0, -2), to.slice(0, -2))
        : Number.POSITIVE_INFINITY;
    return Math.min(1 + plain(from.slice(0, -1), to), 1 + plain(from, to.slice(0, -1)), same + plain(from.slice(0, -1), to.slice(0, -1)), swap);
  };
  const word = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 5 }).map((letters) => letters.join(''));
  fc.assert(
    fc.property(word, word, fc.integer({ min: 1, max: 6 }), (from, to, limit) => {
      assert.equal(editDistance(from, to, limit), Math.min(limit, plain(from, to)));
    }),
    { numRuns: 500 },
  );
});
