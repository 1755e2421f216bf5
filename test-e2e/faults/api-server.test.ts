/** The API server away, or silent, or forgetful: the faults of `make faults`, each for some seconds. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { connect } from '../../src/sources/kubernetes/connect.ts';
import { KubernetesSource } from '../../src/sources/kubernetes/kubernetes-source.ts';
import { endWith, wholeFile } from '../../test/gateway/lifetime.ts';
import type { ControlPlane } from '../control-plane/control-plane.ts';
import { apiServerDown, startedWithoutApiServer } from './api-server-down.ts';
import { openPlane, openStage } from './fault.ts';
import { detour, route, until } from './scene.ts';
import { compaction } from './watches.ts';

let plane: ControlPlane;

before(async () => {
  plane = await openPlane(wholeFile);
});

for (const fault of [apiServerDown, startedWithoutApiServer, compaction]) {
  test(`${fault.number}: ${fault.name}: ${fault.passes}`, async (t) => {
    const findings = await fault.run(await openStage(t, plane, `fault-${fault.number}`, { full: false }));
    assert.deepEqual(findings.failures, []);
  });
}

test('11: a watch that says nothing any more is begun anew, and nothing that stays is gone in between', { timeout: 120_000 }, async (t) => {
  const stage = await openStage(t, plane, 'fault-11', { full: false });
  const { cluster, namespace } = stage;
  const [steady, doomed, added] = ['steady', 'doomed', 'added'].map((name) => route(stage, name, 'nobody'));
  assert.ok(steady !== undefined && doomed !== undefined && added !== undefined);
  await cluster.apply([steady, doomed]);
  const { proxy, kubeconfig } = await detour(stage);
  const client = await connect({ kubeconfig });
  endWith(t, () => client.close());
  // The program waits for 90 s, as `make faults` shows.
  const source = new KubernetesSource({ client, namespaces: [namespace], ingressClass: 'tidegate', log: () => {}, timings: { silence: 2000 } });
  endWith(t, () => source.close());
  let routes = [...(await source.start()).apiRoutes.keys()].sort();
  assert.deepEqual(routes, [`${namespace}/doomed`, `${namespace}/steady`]);
  const missing: string[][] = [];
  source.onChange((set) => {
    routes = [...set.apiRoutes.keys()].sort();
    if (!routes.includes(`${namespace}/steady`)) missing.push(routes);
  });
  proxy.silence();
  const before = proxy.connections;
  await cluster.api.delete(doomed);
  await cluster.apply([added]);
  await until(() => routes.join() === `${namespace}/added,${namespace}/steady`, 'the changes to be seen');
  assert.ok(proxy.connections > before, 'on new connections');
  assert.deepEqual(missing, []);
  const state = source.states.find(({ resource }) => resource.startsWith('apiroutes'));
  assert.ok((state?.errors.get('TimedOut') ?? 0) > 0);
  assert.equal(state?.lists, 1, 'it goes on where it was');
});
