import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { parseQuery } from './query.ts';

const cases: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
  ['', []],
  ['?', []],
  ['?a=1', [['a', '1']]],
  [
    '?a=1&a=2&b=3',
    [
      ['a', '1'],
      ['b', '3'],
    ],
  ],
  ['?a', [['a', '']]],
  ['?a&a=1', [['a', '']]],
  ['?&&a=1&', [['a', '1']]],
  ['?=x', [['', 'x']]],
  ['?a=b=c', [['a', 'b=c']]],
  [
    '?a&b=c',
    [
      ['a', ''],
      ['b', 'c'],
    ],
  ],
  ['?a+b=c+d%2B', [['a b', 'c d+']]],
  ['?%61=%C3%A9', [['a', 'é']]],
  ['?a=%zz%2', [['a', '%zz%2']]],
  ['?a=%41%zz', [['a', 'A%zz']]],
  ['?a=%ff', [['a', '\ufffd']]],
  ['?a=1;b=2', [['a', '1;b=2']]],
  ['?a=?b', [['a', '?b']]],
  ['?__proto__=1', [['__proto__', '1']]],
];
for (const [query, expected] of cases) {
  test(`${JSON.stringify(query)} is read`, () => assert.deepEqual([...parseQuery(query)], expected));
}

test('reads what URLSearchParams reads, first values first', () => {
  const queries = fc
    .array(fc.constantFrom('a', 'b', '=', '&', '+', '%41', '%3d', '%26', '%', '%C3%A9', '%c3', '%ff', '%z', ';'), { maxLength: 14 })
    .map((list) => `?${list.join('')}`);
  fc.assert(
    fc.property(queries, (query) => {
      const expected = new Map<string, string>();
      for (const [name, value] of new URLSearchParams(query)) if (!expected.has(name)) expected.set(name, value);
      assert.deepEqual([...parseQuery(query)], [...expected]);
    }),
    { numRuns: 10_000 },
  );
});
