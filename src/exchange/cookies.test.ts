import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCookies } from './cookies.ts';

const cases: readonly (readonly [readonly string[], readonly (readonly [string, string])[]])[] = [
  [[], []],
  [[''], []],
  [['a=1'], [['a', '1']]],
  [
    ['a=1; b=2'],
    [
      ['a', '1'],
      ['b', '2'],
    ],
  ],
  [
    ['a=1;b=2;'],
    [
      ['a', '1'],
      ['b', '2'],
    ],
  ],
  [
    ['a=1', 'b=2; a=3'],
    [
      ['a', '1'],
      ['b', '2'],
    ],
  ],
  [['a=1; a=2'], [['a', '1']]],
  [[' a =\t1 ; b'], [['a', '1']]],
  [['=x; a='], [['a', '']]],
  [
    ['a="q"; b=x=y; c=%41'],
    [
      ['a', '"q"'],
      ['b', 'x=y'],
      ['c', '%41'],
    ],
  ],
  [['b; c=1'], [['c', '1']]],
  [
    ['A=1; a=2'],
    [
      ['A', '1'],
      ['a', '2'],
    ],
  ],
  [['__proto__=1'], [['__proto__', '1']]],
];
for (const [values, expected] of cases) {
  test(`${JSON.stringify(values)} is read`, () => assert.deepEqual([...parseCookies(values)], expected));
}
