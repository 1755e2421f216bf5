import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { CODINGS } from '../../snapshot/body-filters.ts';
import { negotiate } from './accept-encoding.ts';

const CASES: readonly (readonly [header: string, coding: string | undefined])[] = [
  ['', undefined],
  ['gzip', 'gzip'],
  ['GZIP', 'gzip'],
  ['x-gzip', 'gzip'],
  ['gzip, br, zstd', 'zstd'],
  ['gzip,br', 'br'],
  ['gzip;q=1.0, br;q=0.9', 'gzip'],
  ['gzip; q=0.5 , br ;q=0.6', 'br'],
  ['*', 'zstd'],
  ['*;q=0.1', 'zstd'],
  ['zstd;q=0, *', 'br'],
  ['zstd;q=0, br;q=0, *;q=0.3', 'gzip'],
  ['gzip;q=0', undefined],
  ['identity', undefined],
  ['identity;q=0', undefined],
  ['identity, gzip', 'gzip'],
  ['identity;q=0.5, gzip;q=0.4', undefined],
  ['identity;q=0.5, gzip;q=0.5', 'gzip'],
  ['deflate, compress', undefined],
  // What is no weight says nothing, and so does what is no coding.
  ['gzip;q=2', undefined],
  ['gzip;q=0.1234', undefined],
  ['gzip;q=', undefined],
  ['gzip;level=9', undefined],
  ['br;q=1;q=0, gzip', 'gzip'],
  [',, ;q=1, gzip', 'gzip'],
  ['gzip, gzip;q=0', undefined],
];

for (const [header, coding] of CASES) {
  test(`${JSON.stringify(header)} gets ${coding ?? 'none'}`, () => assert.equal(negotiate(header, CODINGS), coding));
}

test('nobody gets what has no weight, or less than something else that there is', () => {
  const names = ['zstd', 'br', 'gzip', 'identity', 'deflate'] as const;
  const weights = fc.dictionary(fc.constantFrom(...names), fc.integer({ min: 0, max: 10 }));
  fc.assert(
    fc.property(weights, fc.shuffledSubarray([...CODINGS], { minLength: 1 }), (given, algorithms) => {
      const header = Object.entries(given)
        .map(([name, weight]) => `${name};q=${weight / 10}`)
        .join(', ');
      const coding = negotiate(header, algorithms);
      const weightOf = (name: string): number => given[name] ?? 0;
      const best = Math.max(0, ...algorithms.map(weightOf));
      if (coding === undefined) assert.ok(best === 0 || best < weightOf('identity'));
      else {
        assert.ok(weightOf(coding) > 0 && weightOf(coding) === best);
        assert.equal(
          algorithms.find((name) => weightOf(name) === best),
          coding,
          'at equal weight the first of the list',
        );
      }
    }),
  );
});

test('whatever comes as a header, there is an answer', () => {
  fc.assert(fc.property(fc.string({ maxLength: 200 }), (header) => void negotiate(header, CODINGS)));
});
