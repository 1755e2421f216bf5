import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { PASSIVE } from './health.fixture.ts';
import { SharedHealth } from './shared-health.ts';
import { CANCELLED, FAILED, FailureCounter } from './worker-health.ts';

test('failures in a row are counted over all workers, and told of at each multiple of the limit', () => {
  const result = fc.constantFrom(200, 404, 500, 503, 599, FAILED, CANCELLED);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(2), result), { maxLength: 40 }), (tries) => {
      const shared = new SharedHealth(SharedHealth.allocate(4));
      const told: number[] = [];
      let now = 0;
      const health = { shared, tellFailing: () => void told.push(now) };
      const workers = [0, 1, 2].map(() => new FailureCounter('a/b/80', PASSIVE, health));
      const expected: number[] = [];
      let inARow = 0;
      for (const [worker, outcome] of tries) {
        now++;
        workers[worker]?.count('10.0.0.1:80', 1, outcome);
        if (outcome === CANCELLED) continue;
        inARow = outcome === FAILED || outcome >= 500 ? inARow + 1 : 0;
        if (inARow > 0 && inARow % PASSIVE.consecutiveErrors === 0) expected.push(now);
      }
      assert.deepEqual(told, expected);
      assert.equal(shared.errors(1), inARow);
    }),
  );
});
