/** Health checks, ejection and backups, of endpoints that the endpointslice controller names. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { wholeFile } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { ask, askUntil } from '../cluster/client.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { GatewayAddress } from '../cluster/gateway.ts';
import { openGateway } from '../cluster/gateways.ts';
import { Workload } from '../cluster/workload.ts';

const cluster = Cluster.open(wholeFile);
const host = 'health.test';
let namespace: string;
let gateway: GatewayAddress;

function policy(name: string, spec: object): KubernetesObject {
  return {
    apiVersion: 'tidegate.dev/v1alpha1',
    kind: 'BackendPolicy',
    metadata: { name, namespace },
    spec: { targetRefs: [{ kind: 'Service', name }], ...spec },
  };
}

const active = (fields: object): object => ({ healthCheck: { active: { interval: '200ms', unhealthyThreshold: 2, healthyThreshold: 1, ...fields } } });
const at = (name: string, backendRefs: readonly object[]): object => ({ matches: [{ path: { value: `/${name}` } }], backendRefs });

before(async () => {
  namespace = await cluster.namespace(wholeFile, 'health');
  await Workload.start(wholeFile, cluster, { namespace, name: 'checked', replicas: 2 });
  await Workload.start(wholeFile, cluster, { namespace, name: 'failing', replicas: 3 });
  await Workload.start(wholeFile, cluster, { namespace, name: 'spare' });
  const checked = { name: 'checked', port: 80 };
  await cluster.apply([
    policy('checked', active({ path: '/healthz' })),
    policy('failing', { healthCheck: { passive: { consecutiveErrors: 3, baseEjection: '5m', maxEjectionPercent: 40 } } }),
    {
      apiVersion: 'tidegate.dev/v1alpha1',
      kind: 'ApiRoute',
      metadata: { name: 'health', namespace },
      spec: {
        hostnames: [host],
        rules: [at('alone', [checked]), at('backed-up', [checked, { name: 'spare', port: 80, backup: true }]), at('failing', [{ name: 'failing', port: 80 }])],
      },
    },
  ]);
  // Each replica finds out by itself who fails.
  gateway = await openGateway(wholeFile, cluster, { namespaces: [namespace], replicas: 1 });
  await askUntil(gateway, { host, path: '/alone' }, ({ status }) => status === 200);
});

test('endpoints that fail their checks are left, and taken again; a backup stands in', async () => {
  assert.equal((await ask(gateway, { host, path: '/backed-up' })).service, 'checked');
  await cluster.apply([policy('checked', active({ path: '/healthz', expectedStatuses: ['418'] }))]);
  await askUntil(gateway, { host, path: '/alone' }, ({ status }) => status === 503);
  await askUntil(gateway, { host, path: '/backed-up' }, ({ service }) => service === 'spare');
  await cluster.apply([policy('checked', active({ path: '/healthz' }))]);
  await askUntil(gateway, { host, path: '/alone' }, ({ status }) => status === 200);
  await askUntil(gateway, { host, path: '/backed-up' }, ({ service }) => service === 'checked');
});

test('an endpoint whose answers are errors is ejected: one of three, as the policy has it', async () => {
  const bad = { host, path: '/failing', headers: { 'x-sample-status': '503' } };
  const pods = async (): Promise<number> => {
    const found = new Set<string | undefined>();
    for (let count = 0; count < 24; count++) found.add((await ask(gateway, { host, path: '/failing' })).sample?.pod);
    return found.size;
  };
  assert.equal(await pods(), 3);
  for (let count = 0; count < 60; count++) assert.equal((await ask(gateway, bad)).status, 503);
  assert.equal(await pods(), 2);
});

test('of two policies on one Service the older one holds, and the other is told', async () => {
  await cluster.apply([{ ...policy('failing', active({ expectedStatuses: ['418'], path: '/' })), metadata: { name: 'later', namespace } }]);
  const isTold = (found: KubernetesObject | undefined): boolean => {
    const { ancestors = [] } = (found?.status ?? {}) as { ancestors?: { conditions: { type: string; status: string; reason: string }[] }[] };
    return ancestors.some(({ conditions }) =>
      conditions.some(({ type, status, reason }) => type === 'Accepted' && status === 'False' && reason === 'Conflicted'),
    );
  };
  await cluster.until({ apiVersion: 'tidegate.dev/v1alpha1', kind: 'BackendPolicy', metadata: { name: 'later', namespace } }, isTold);
  assert.equal((await ask(gateway, { host, path: '/failing' })).status, 200);
});
