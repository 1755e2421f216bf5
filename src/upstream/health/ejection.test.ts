import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { ejectionLimit, ejectionTime, remembered } from './ejection.ts';
import { PASSIVE } from './health.fixture.ts';

test('how many may be ejected: the percentage rounded down, at least one of several, never all', () => {
  fc.assert(
    fc.property(fc.nat(2_000), fc.integer({ min: 1, max: 100 }), (endpoints, percent) => {
      const limit = ejectionLimit(endpoints, percent);
      assert.ok(limit >= 0 && limit < Math.max(1, endpoints));
      if (endpoints >= 2) assert.ok(limit >= 1);
      if (endpoints >= 2 && limit > 1) assert.ok(limit * 100 <= endpoints * percent);
      if (endpoints >= 2 && limit < endpoints - 1) assert.ok((limit + 1) * 100 > endpoints * percent);
    }),
  );
});

test('one ejection is forgiven for each baseEjection in use', () => {
  assert.deepEqual(
    [0, 29_999, 30_000, 59_999, 60_000, 1e9].map((inUseFor) => remembered(2, inUseFor, PASSIVE)),
    [2, 2, 1, 1, 0, 0],
  );
});

test('an ejection lasts baseEjection times their number, at most five minutes', () => {
  assert.deepEqual(
    [1, 2, 9, 10, 11, 1_000].map((ejections) => ejectionTime(ejections, PASSIVE)),
    [30_000, 60_000, 270_000, 300_000, 300_000, 300_000],
  );
});
