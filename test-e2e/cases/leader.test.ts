/** One replica leads, and only it writes, whatever happens to it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Lifetime, wholeFile } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { ask } from '../cluster/client.ts';
import { Cluster } from '../cluster/cluster.ts';
import { Gateway } from '../cluster/gateway.ts';
import { startReplica } from '../cluster/gateways.ts';
import { ServiceAccountFiles } from '../cluster/service-account.ts';

const cluster = Cluster.open(wholeFile);
const ADDRESS = [{ ip: '203.0.113.7' }];

function ingress(namespace: string, name = 'web'): KubernetesObject {
  const paths = [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'web', port: { number: 80 } } } }];
  const spec = { ingressClassName: 'tidegate', rules: [{ host: `${name}.example.com`, http: { paths } }] };
  return { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata: { name, namespace }, spec };
}

function route(namespace: string, name: string, labels: Record<string, string> = {}): KubernetesObject {
  const spec = { hostnames: [`${name}.example.com`], rules: [{ filters: { directResponse: { statusCode: 204 } } }] };
  return { apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata: { name, namespace, labels }, spec };
}

const lease = (namespace: string) => ({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'tidegate-leader', namespace } });

async function begin(lifetime: Lifetime, replicas: number): Promise<{ namespace: string; start: () => Promise<Gateway>; gateways: Gateway[] }> {
  const namespace = await cluster.namespace(lifetime, 'leader');
  const args = ['--publish-address', '203.0.113.7', '--drain-delay', '200ms'];
  const start = (): Promise<Gateway> => startReplica(lifetime, cluster, { namespaces: [namespace], args });
  const first = await start();
  await first.untilLogged('this replica leads');
  const others = await Promise.all(Array.from({ length: replicas - 1 }, start));
  return { namespace, start, gateways: [first, ...others] };
}

/** Which of them lead, by their metrics. */
async function leaders(gateways: readonly Gateway[]): Promise<Gateway[]> {
  const values = await Promise.all(gateways.map((gateway) => gateway.metric('tidegate_leader')));
  return gateways.filter((_, index) => values[index] === 1);
}

const hasAddress = (object: KubernetesObject | undefined): boolean => JSON.stringify(object?.status?.loadBalancer?.ingress) === JSON.stringify(ADDRESS);

test('a leader that is killed is followed within 15 s, and the Lease tells of it', async (t) => {
  const { namespace, gateways } = await begin(t, 2);
  const [first, second] = gateways as [Gateway, Gateway];
  assert.deepEqual(await leaders(gateways), [first]);
  const before = await cluster.until(lease(namespace), (object) => object !== undefined);
  assert.equal(before?.spec.leaseDurationSeconds, 15);
  const killed = Date.now();
  await first.stop('SIGKILL');
  await second.untilLogged('this replica leads');
  const took = Date.now() - killed;
  // A Lease lasts 15 s, as `make faults` measures; what comes on top is the machine's. Two Leases would be longer.
  assert.ok(took < 30_000, `${took} ms`);
  const after = await cluster.until(lease(namespace), (object) => object?.spec.holderIdentity !== before?.spec.holderIdentity);
  assert.equal(after?.spec.leaseTransitions, before?.spec.leaseTransitions + 1);
  await cluster.api.create(route(namespace, 'after'));
  await cluster.until(route(namespace, 'after'), (object) => object?.status?.conditions?.length === 3);
});

test('a leader that stops is followed at once; addresses stay until the last one stops', async (t) => {
  const { namespace, gateways } = await begin(t, 2);
  const [first, second] = gateways as [Gateway, Gateway];
  await cluster.api.create(ingress(namespace));
  await cluster.until(ingress(namespace), hasAddress);
  const before = await cluster.until(lease(namespace), (object) => object !== undefined);
  const stopped = first.stop();
  await second.untilLogged('this replica leads');
  assert.equal(await stopped, 0);
  // It was given up, and had not to run out.
  const holders = (await cluster.api.states(lease(namespace), String(before?.metadata.resourceVersion))).map(({ spec }) => spec.holderIdentity ?? '');
  const change = holders.findIndex((holder) => holder !== before?.spec.holderIdentity);
  assert.equal(holders[change], '');
  assert.ok(holders[change + 1]);
  assert.ok(hasAddress(await cluster.until(ingress(namespace), () => true)));
  assert.equal(await second.stop(), 0);
  const object = await cluster.until(ingress(namespace), () => true);
  assert.equal(object?.status?.loadBalancer?.ingress, undefined);
  const { spec } = (await cluster.until(lease(namespace), () => true)) as KubernetesObject;
  assert.equal(spec.holderIdentity ?? '', '');
});

test('replicas that come and go: there is one leader at a time, and nothing is written twice', async (t) => {
  const { namespace, start, gateways } = await begin(t, 2);
  let watching = true;
  let most = 0;
  const watched = (async () => {
    while (watching) {
      let found = await leaders(gateways.filter((gateway) => gateway.running));
      // They are not asked in the same moment, and one may have followed the other between their answers. Who leads before and after
      // the end of the first round leads at that time.
      if (found.length > 1) found = await leaders(found);
      most = Math.max(most, found.length);
      await sleep(20);
    }
  })();
  t.after(() => {
    watching = false;
  });
  const names: string[] = [];
  for (let round = 0; round < 3; round++) {
    const created = Array.from({ length: 10 }, (_, index) => `r${round}-${index}`);
    names.push(...created);
    await Promise.all(created.map((name) => cluster.api.create(route(namespace, name))));
    const [oldest] = gateways.filter((gateway) => gateway.running);
    gateways.push(await start());
    assert.equal(await oldest?.stop(), 0);
    await Promise.all(created.map((name) => cluster.until(route(namespace, name), (object) => object?.status?.conditions?.length === 3)));
  }
  watching = false;
  await watched;
  assert.equal(most, 1);
  for (const name of names) {
    const object = await cluster.until(route(namespace, name), () => true);
    const managers = ((object?.metadata.managedFields ?? []) as { manager: string; subresource?: string }[]).filter((one) => one.subresource === 'status');
    assert.deepEqual(
      managers.map(({ manager }) => manager),
      [`tidegate.${namespace}`],
    );
  }
  const { body } = await cluster.api.call('GET', `/api/v1/namespaces/${namespace}/events`);
  assert.deepEqual(body.items, []);
});

test('a permission that is taken away while it runs: log and metric say so, traffic goes on, and statuses follow when it is back', async (t) => {
  const namespace = await cluster.namespace(t, 'leader');
  const rbac = 'rbac.authorization.k8s.io';
  const read = ['get', 'list', 'watch'];
  const rules = [
    { apiGroups: [''], resources: ['services', 'secrets'], verbs: read },
    { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: read },
    { apiGroups: ['networking.k8s.io'], resources: ['ingresses'], verbs: read },
    { apiGroups: ['tidegate.dev'], resources: ['apiroutes', 'ratelimitpolicies', 'backendpolicies', 'authpolicies', 'apiconsumers'], verbs: read },
    { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update'] },
  ];
  const writes = [
    { apiGroups: ['tidegate.dev'], resources: ['apiroutes/status'], verbs: ['patch'] },
    { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create'] },
  ];
  const role = (more: readonly object[]): KubernetesObject => ({
    apiVersion: `${rbac}/v1`,
    kind: 'Role',
    metadata: { name: 'gateway', namespace },
    rules: [...rules, ...more],
  });
  await cluster.api.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'gateway', namespace } });
  await cluster.api.apply(role(writes));
  await cluster.api.apply({
    apiVersion: `${rbac}/v1`,
    kind: 'RoleBinding',
    metadata: { name: 'gateway', namespace },
    roleRef: { apiGroup: rbac, kind: 'Role', name: 'gateway' },
    subjects: [{ kind: 'ServiceAccount', name: 'gateway', namespace }],
  });
  const files = await ServiceAccountFiles.create(cluster, namespace, 'gateway');
  const gateway = await Gateway.start(t, {
    args: ['--watch-namespace', namespace, '--workers', '1', '--drain-delay', '0s'],
    prefix: files.prefix,
    environment: files.environment,
  });
  await gateway.untilLogged('this replica leads');
  await cluster.api.create(route(namespace, 'web'));
  await cluster.until(route(namespace, 'web'), (object) => object?.status?.conditions?.length === 3);

  await cluster.api.apply(role([]));
  const bad = { ...route(namespace, 'web'), spec: { hostnames: ['web.example.com'], rules: [{ backendRefs: [{ name: 'nowhere', port: 80 }] }] } };
  let forbidden = 0;
  // The API server takes a moment to notice.
  const deadline = Date.now() + 120_000;
  for (let edit = 0; forbidden === 0 && Date.now() < deadline; edit++) {
    await cluster.api.apply({ ...bad, spec: { ...bad.spec, hostnames: ['web.example.com', `edit-${edit}.example.com`] } });
    await sleep(200);
    forbidden = await gateway.metric('tidegate_status_writes_total{kind="ApiRoute",result="forbidden"}');
  }
  assert.ok(forbidden > 0);
  await gateway.untilLogged('statuses may not be written', (line) => line.object === `ApiRoute/${namespace}/web` && line.reason === 'Forbidden');
  await cluster.api.create(route(namespace, 'fresh'));
  await gateway.until(async () => (await ask(gateway, { host: 'fresh.example.com' })).status === 204, 'the new route serves');
  assert.equal(gateway.log.filter((line) => line.msg === 'statuses may not be written').length, 1);

  await cluster.api.apply(role(writes));
  await cluster.until(route(namespace, 'fresh'), (object) => object?.status?.conditions?.length === 3);
  await gateway.untilLogged('statuses are written again');
});
