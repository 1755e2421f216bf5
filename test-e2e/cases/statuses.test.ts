/** What the leader writes: conditions, Events and addresses, as operators see them. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { wholeFile } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { Gateway } from '../cluster/gateway.ts';
import { startReplica } from '../cluster/gateways.ts';

const cluster = Cluster.open(wholeFile);
let namespace: string;
let gateway: Gateway;

const lb = () => ({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'lb', namespace } });

before(async () => {
  namespace = await cluster.namespace(wholeFile, 'statuses');
  await cluster.api.create({ ...lb(), spec: { type: 'LoadBalancer', ports: [{ name: 'http', port: 80, protocol: 'TCP' }] } });
  await cluster.api.create({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace },
    spec: { ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
  });
  gateway = await startReplica(wholeFile, cluster, { namespaces: [namespace], args: ['--publish-service', `${namespace}/lb`, '--drain-delay', '100ms'] });
  await gateway.untilLogged('this replica leads');
});

function route(name: string, path: object, service = 'web'): KubernetesObject {
  const rules = [{ matches: [{ path }], backendRefs: [{ name: service, port: 80 }] }];
  return { apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata: { name, namespace }, spec: { hostnames: [`${name}.example.com`], rules } };
}

const GOOD = { type: 'PathPrefix', value: '/' };
const BAD = { type: 'RegularExpression', value: '(' };

function ingress(name: string, ingressClassName = 'tidegate', service = 'web'): KubernetesObject {
  const paths = [{ path: '/', pathType: 'Prefix', backend: { service: { name: service, port: { number: 80 } } } }];
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name, namespace },
    spec: { ingressClassName, rules: [{ host: `${name}.example.com`, http: { paths } }] },
  };
}

/** `type=status reason@generation` of each condition. */
function conditionsOf(object: KubernetesObject | undefined): string[] {
  const conditions = (object?.status?.conditions ?? []) as { type: string; status: string; reason: string; observedGeneration: number }[];
  return conditions.map(({ type, status, reason, observedGeneration }) => `${type}=${status} ${reason}@${observedGeneration}`).sort();
}

async function eventsOf(name: string): Promise<string[]> {
  const { body } = await cluster.api.call('GET', `/api/v1/namespaces/${namespace}/events?fieldSelector=involvedObject.name%3D${name}`);
  return (body.items as { type: string; reason: string }[]).map(({ type, reason }) => `${type} ${reason}`).sort();
}

/** Waits until there are as many Events as are wanted; they are written beside statuses. */
async function untilEvents(name: string, wanted: readonly string[]): Promise<void> {
  for (const deadline = Date.now() + 120_000; (await eventsOf(name)).length < wanted.length && Date.now() < deadline; ) await sleep(50);
  assert.deepEqual(await eventsOf(name), wanted);
}

/** Statuses of ApiRoutes that were written, once there are so many: a write is there before the one who wrote it hears of that. */
async function untilWritten(count: number): Promise<void> {
  const written = () => gateway.metric('tidegate_status_writes_total{kind="ApiRoute",result="written"}');
  await gateway.until(async () => (await written()) >= count, `${count} writes`);
  assert.equal(await written(), count);
}

test('conditions are there with the generation that they are about, and written once', async () => {
  await cluster.api.create(route('once', GOOD));
  const good = await cluster.until(route('once', GOOD), (object) => conditionsOf(object).length === 3);
  assert.deepEqual(conditionsOf(good), ['Accepted=True Accepted@1', 'Programmed=True Programmed@1', 'ResolvedRefs=True ResolvedRefs@1']);
  assert.equal(
    ((good?.metadata.managedFields ?? []) as { manager: string; subresource?: string }[]).find(({ manager }) => manager === `tidegate.${namespace}`)
      ?.subresource,
    'status',
  );
  await untilWritten(1);
  // An edit that concerns no condition, and a change elsewhere.
  await cluster.api.apply({ ...route('once', GOOD), metadata: { name: 'once', namespace, labels: { team: 'shop' } } });
  await cluster.api.create(route('another', GOOD));
  await cluster.until(route('another', GOOD), (object) => conditionsOf(object).length === 3);
  await untilWritten(2);
});

test('an object that turns bad says so in its conditions, by one Event, and in kubectl describe; and once more when it is good again', async () => {
  await cluster.api.apply(route('turns', GOOD));
  const first = await cluster.until(route('turns', GOOD), (object) => conditionsOf(object).length === 3);
  await cluster.api.apply(route('turns', BAD));
  const bad = await cluster.until(route('turns', BAD), (object) => conditionsOf(object)[0] === 'Accepted=False Invalid@2');
  assert.deepEqual(conditionsOf(bad).slice(1), ['Programmed=True Programmed@2', 'ResolvedRefs=True ResolvedRefs@2']);
  const since = (object: KubernetesObject | undefined, type: string) =>
    object?.status.conditions.find((one: { type: string }) => one.type === type)?.lastTransitionTime;
  assert.equal(since(bad, 'Programmed'), since(first, 'Programmed'), 'the last good version serves on');
  await untilEvents('turns', ['Warning Invalid']);
  const { stdout } = await cluster.kubectl(['describe', 'apiroute', 'turns', '--namespace', namespace]);
  assert.match(stdout, /Message: +spec\.rules\[0\]\.matches\[0\]\.path\.value: /);
  assert.match(stdout, /^ +Warning +Invalid +\S+ +tidegate\.dev\/ingress-controller +spec\.rules\[0\]\.matches\[0\]\.path\.value: .+; .+$/m);
  // An edit that changes nothing of it.
  await cluster.api.apply({ ...route('turns', BAD), spec: { ...route('turns', BAD).spec, hostnames: ['more.example.com'] } });
  await cluster.until(route('turns', BAD), (object) => conditionsOf(object)[0] === 'Accepted=False Invalid@3');
  assert.deepEqual(await eventsOf('turns'), ['Warning Invalid']);
  await cluster.api.apply(route('turns', GOOD));
  await cluster.until(route('turns', GOOD), (object) => conditionsOf(object)[0] === 'Accepted=True Accepted@4');
  await untilEvents('turns', ['Normal Accepted', 'Warning Invalid']);
});

test('a missing Service leaves Accepted and makes ResolvedRefs False', async () => {
  await cluster.api.create(route('unresolved', GOOD, 'nowhere'));
  const object = await cluster.until(route('unresolved', GOOD), (one) => conditionsOf(one).length === 3);
  assert.deepEqual(conditionsOf(object), ['Accepted=True Accepted@1', 'Programmed=True Programmed@1', 'ResolvedRefs=False BackendNotFound@1']);
});

test("a policy's ancestors name its targets, beside what another controller wrote", async () => {
  const policy: KubernetesObject = {
    apiVersion: 'tidegate.dev/v1alpha1',
    kind: 'RateLimitPolicy',
    metadata: { name: 'limit', namespace },
    spec: { targetRefs: [{ group: 'tidegate.dev', kind: 'ApiRoute', name: 'once' }], limits: [{ requests: 1000, period: '1s' }] },
  };
  await cluster.api.create(policy);
  const ours = await cluster.until(policy, (object) => object?.status?.ancestors?.length === 1);
  assert.equal(ours?.status.ancestors[0].controllerName, 'tidegate.dev/ingress-controller');
  assert.equal(ours?.status.ancestors[0].conditions[0].status, 'True');
  const theirs = { ancestorRef: { kind: 'Gateway', name: 'edge' }, controllerName: 'example.com/other', conditions: [] };
  const path = `/apis/tidegate.dev/v1alpha1/namespaces/${namespace}/ratelimitpolicies/limit`;
  const { status } = await cluster.api.call('PUT', `${path}/status`, {
    ...ours,
    status: { ...ours?.status, ancestors: [theirs, ...(ours?.status.ancestors ?? [])] },
  });
  assert.equal(status, 200);
  await cluster.api.apply({ ...policy, spec: { ...policy.spec, targetRefs: [{ group: 'tidegate.dev', kind: 'ApiRoute', name: 'nobody' }] } });
  const object = await cluster.until(
    policy,
    (one) => one?.status.ancestors.some((each: { ancestorRef: { name: string } }) => each.ancestorRef.name === 'nobody') === true,
  );
  assert.deepEqual(
    object?.status.ancestors.map((one: { controllerName: string; ancestorRef: { name: string } }) => `${one.controllerName} ${one.ancestorRef.name}`),
    ['example.com/other edge', 'tidegate.dev/ingress-controller nobody'],
  );
});

test('Ingresses get the addresses of the published Service as it gets them, those of other classes none, and lost ones lose them', async () => {
  const addressOf = (object: KubernetesObject | undefined): unknown => object?.status?.loadBalancer?.ingress;
  for (const object of [ingress('ours'), ingress('moves'), ingress('theirs', 'nginx')]) await cluster.api.create(object);
  const publish = async (address: object): Promise<void> => {
    const service = (await cluster.until(lb(), () => true)) as KubernetesObject;
    const { status } = await cluster.api.call('PUT', `/api/v1/namespaces/${namespace}/services/lb/status`, {
      ...service,
      status: { loadBalancer: { ingress: [address] } },
    });
    assert.equal(status, 200);
  };
  await publish({ ip: '203.0.113.7' });
  for (const name of ['ours', 'moves'])
    assert.deepEqual(
      addressOf(await cluster.until(ingress(name), (object) => addressOf(object) !== undefined)),
      [{ ip: '203.0.113.7', ipMode: 'VIP' }].map(({ ip }) => ({ ip })),
    );
  await publish({ hostname: 'lb.example.com' });
  await cluster.until(ingress('ours'), (object) => JSON.stringify(addressOf(object)) === '[{"hostname":"lb.example.com"}]');
  await cluster.api.apply(ingress('moves', 'nginx'));
  await cluster.until(ingress('moves'), (object) => addressOf(object) === undefined);
  assert.equal(addressOf(await cluster.until(ingress('theirs'), () => true)), undefined);
});

test('an Ingress that turns bad is told of by an Event, one of another class is not', async () => {
  await cluster.api.create(ingress('nobackend', 'tidegate', 'nowhere'));
  await cluster.api.create(ingress('nothers', 'nginx', 'nowhere'));
  await untilEvents('nobackend', ['Warning BackendNotFound']);
  assert.deepEqual(await eventsOf('nothers'), []);
});
