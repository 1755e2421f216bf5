/** Backends, names, clocks and logs that go wrong: the faults of `make faults` that need no cluster, each for a moment. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DATA_PLANE_FAULTS } from './index.ts';

for (const fault of DATA_PLANE_FAULTS) {
  test(`${fault.number}: ${fault.name}: ${fault.passes}`, async (t) => {
    const findings = await fault.run({ lifetime: t, measure: { full: false }, tell: () => {} });
    assert.deepEqual(findings.failures, []);
  });
}
