/** Objects, certificates, workers and replicas that go wrong: the faults of `make faults`, each for some seconds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStage } from './fault.ts';
import { ingressChurn } from './ingress-churn.ts';
import { invalidObjects } from './invalid-objects.ts';
import { sigterm } from './replicas.ts';
import { secretRotation } from './secret-rotation.ts';
import { workerKilled } from './worker-killed.ts';

/** That of the run: none of these faults is one of the API server. */
const plane = { kubeconfig: String(process.env.KUBECONFIG) };

// Leaders that are lost are in cases/leader.test.ts.
for (const fault of [secretRotation, invalidObjects, ingressChurn, sigterm, workerKilled]) {
  test(`${fault.number}: ${fault.name}: ${fault.passes}`, async (t) => {
    const findings = await fault.run(await openStage(t, plane, `fault-${fault.number}`, { full: false }));
    assert.deepEqual(findings.failures, []);
  });
}
