import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildSet, type Manifest } from '../translate/testdata/build-set.ts';
import { translate } from '../translate/translate.ts';
import { BAD_BACKEND, Cluster, ingress, route, service } from './cluster.fixture.ts';
import { StatusReporter } from './status-reporter.ts';

const ADDRESS = { addresses: [{ ip: '203.0.113.7' }] };
const OURS = [{ ip: '203.0.113.7' }];

test('conditions are written by server-side apply under our own name, once', async (t) => {
  const cluster = await Cluster.start(t);
  cluster.apply(service('web'), route('a'));
  cluster.join('one');
  await cluster.until(() => cluster.conditions('ApiRoute', 'a').length > 0, 'conditions');
  assert.deepEqual(cluster.conditions('ApiRoute', 'a'), ['Accepted=True Accepted', 'ResolvedRefs=True ResolvedRefs', 'Programmed=True Programmed']);
  const write = cluster.server.calls.find(({ method }) => method === 'PATCH');
  assert.equal(
    `${write?.path}?${write?.query}`,
    '/apis/tidegate.dev/v1alpha1/namespaces/shop/apiroutes/a/status?fieldManager=tidegate.tidegate-system&force=true',
  );
  assert.equal(write?.contentType, 'application/apply-patch+yaml');
  await cluster.quiet();
  // A translation that changes nothing.
  cluster.apply(service('other'));
  await cluster.quiet();
  assert.deepEqual(cluster.statusWrites(), ['ApiRoute/a']);
  assert.deepEqual(cluster.events(), [], 'an object that was good from the start is no news');
});

test('lastTransitionTime stays while the status does, and observedGeneration goes along', async (t) => {
  const cluster = await Cluster.start(t);
  cluster.apply(service('web'), route('a'));
  const { metadata } = cluster.object('ApiRoute', 'a') ?? {};
  const at = '2020-01-01T00:00:00Z';
  const stored = ['Accepted', 'ResolvedRefs', 'Programmed'].map((type) => ({
    type,
    status: 'True',
    reason: 'Old',
    message: '',
    lastTransitionTime: at,
    observedGeneration: 1,
  }));
  cluster.server.setStatus('/apis/tidegate.dev/v1alpha1/namespaces/shop/apiroutes/a', { conditions: stored });
  cluster.join('one');
  await cluster.until(() => cluster.conditions('ApiRoute', 'a')[0] === 'Accepted=True Accepted', 'conditions');
  cluster.delete('Service', 'web');
  await cluster.until(() => cluster.conditions('ApiRoute', 'a')[1] === 'ResolvedRefs=False BackendNotFound', 'ResolvedRefs');
  const conditions = cluster.object('ApiRoute', 'a')?.status?.conditions as { type: string; lastTransitionTime: string; observedGeneration: number }[];
  assert.deepEqual(
    conditions.map(({ type, lastTransitionTime, observedGeneration }) => [type, lastTransitionTime === at, observedGeneration]),
    [
      ['Accepted', true, 2],
      ['ResolvedRefs', false, 2],
      ['Programmed', true, 2],
    ],
  );
  assert.match(String(conditions[1]?.lastTransitionTime), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.equal(cluster.object('ApiRoute', 'a')?.metadata.uid, metadata?.uid);
});

test('an object that turns bad has one Event, and one when it is good again, whoever leads', async (t) => {
  const cluster = await Cluster.start(t);
  const one = cluster.join('one');
  cluster.apply(service('web'), route('a'), ingress('i'));
  await cluster.until(() => cluster.conditions('ApiRoute', 'a').length > 0, 'conditions');
  cluster.apply(route('a', { rules: [{ matches: [{ path: { type: 'RegularExpression', value: '(' } }], backendRefs: [{ name: 'web', port: 80 }] }] }));
  cluster.apply(ingress('i', 'tidegate', BAD_BACKEND));
  await cluster.until(() => cluster.events().length === 2, 'two Events');
  await cluster.until(() => cluster.conditions('ApiRoute', 'a')[0]?.startsWith('Accepted=False') === true, 'Accepted=False');
  const [first, second] = cluster.events().sort();
  assert.match(String(first), /^Warning Invalid ApiRoute\/a: spec\.rules\[0\]\.matches\[0\]\.path\.value: .+; .+/);
  assert.match(String(second), /^Warning Invalid Ingress\/i: spec\.rules\[0\]\.http\.paths\[0\]\.backend\.service\.name: /);
  const event = cluster.server.calls.find(({ path }) => path.endsWith('/events'))?.body as { regarding: { uid: string }; metadata: { namespace: string } };
  assert.equal(event.metadata.namespace, 'shop');
  assert.ok([cluster.object('ApiRoute', 'a'), cluster.object('Ingress', 'i')].some((object) => object?.metadata.uid === event.regarding.uid));
  // Another translation, another leader, and one that has only just come.
  cluster.apply(service('other'));
  const two = cluster.join('two');
  await one.reporter.retire();
  await cluster.until(() => two.reporter.leading, 'two leads');
  await cluster.quiet();
  assert.equal(cluster.events().length, 2);
  cluster.apply(route('a'), ingress('i'));
  await cluster.until(() => cluster.events().length === 4, 'two more Events');
  assert.deepEqual(
    cluster
      .events()
      .filter((text) => text.startsWith('Normal'))
      .sort(),
    ['Normal Accepted ApiRoute/a: the object is good again', 'Normal Accepted Ingress/i: the object is good again'],
  );
  await cluster.quiet();
  cluster.apply(ingress('i', 'tidegate', BAD_BACKEND));
  await cluster.until(() => cluster.events().length === 5, 'it is bad once more');
});

test('an Ingress of another class has neither Event nor address, however odd it is to us', async (t) => {
  const cluster = await Cluster.start(t);
  cluster.apply(service('web'), ingress('theirs', 'nginx'), ingress('odd', 'nginx', BAD_BACKEND), ingress('ours'));
  cluster.join('one', ADDRESS);
  await cluster.until(() => cluster.addresses('ours') !== undefined, 'an address');
  await cluster.quiet();
  assert.deepEqual(cluster.statusWrites(), ['Ingress/ours']);
  assert.deepEqual(cluster.events(), []);
});

test('addresses are on Ingresses that serve, and go from those that are no longer ours', async (t) => {
  const cluster = await Cluster.start(t);
  cluster.apply(service('web'), ingress('a'), ingress('b'), ingress('never', 'tidegate', BAD_BACKEND));
  cluster.join('one', ADDRESS);
  await cluster.until(() => cluster.addresses('a') !== undefined && cluster.addresses('b') !== undefined, 'addresses');
  assert.deepEqual(cluster.addresses('a'), OURS);
  await cluster.quiet();
  assert.equal(cluster.addresses('never'), undefined);
  cluster.apply(ingress('b', 'nginx'));
  await cluster.until(() => cluster.addresses('b') === undefined, 'no address');
  await cluster.quiet();
  // What the other controller writes is left alone.
  cluster.server.setStatus('/apis/networking.k8s.io/v1/namespaces/shop/ingresses/b', { loadBalancer: { ingress: [{ hostname: 'other.example.com' }] } });
  cluster.apply(service('other'));
  await cluster.quiet();
  assert.deepEqual(cluster.addresses('b'), [{ hostname: 'other.example.com' }]);
});

test('two installations, each with a class of its own, leave what the other writes, also where they publish the same address', async (t) => {
  const cluster = await Cluster.start(t);
  cluster.apply(service('web'), ingress('a'), ingress('b', 'edge'), ingress('moves'));
  const one = cluster.join('one', ADDRESS);
  const two = cluster.join('two', ADDRESS, { namespace: 'edge-system', ingressClass: 'edge' });
  const all = (): unknown[] => ['a', 'b', 'moves'].map((name) => cluster.addresses(name));
  await cluster.until(() => all().every((addresses) => addresses !== undefined), 'addresses');
  await cluster.quiet();
  assert.deepEqual(cluster.statusWrites().sort(), ['Ingress/a', 'Ingress/b', 'Ingress/moves']);
  // One that goes from one to the other has the address all the while, or again.
  cluster.apply(ingress('moves', 'edge'));
  await cluster.quiet();
  assert.deepEqual(all(), [OURS, OURS, OURS]);
  // The first to end takes along what is its own alone.
  await one.reporter.retire();
  await one.reporter.finish(cluster.now() + 25_000);
  assert.deepEqual(all(), [undefined, OURS, OURS]);
  await two.reporter.retire();
  await two.reporter.finish(cluster.now() + 25_000);
  assert.deepEqual(all(), [undefined, undefined, undefined]);
});

test('what another program keeps writing over ours is met less and less often', async (t) => {
  const cluster = await Cluster.start(t);
  cluster.apply(service('web'), ingress('a'));
  const path = '/apis/networking.k8s.io/v1/namespaces/shop/ingresses/a';
  cluster.join('one', ADDRESS);
  const overwritten = setInterval(() => {
    if (JSON.stringify(cluster.addresses('a')) === JSON.stringify(OURS)) cluster.server.setStatus(path, { loadBalancer: { ingress: [{ ip: '192.0.2.9' }] } });
  }, 2);
  t.after(() => clearInterval(overwritten));
  await cluster.until(() => cluster.statusWrites().length >= 3, 'three writes');
  const started = cluster.now();
  const before = cluster.statusWrites().length;
  await cluster.until(() => cluster.now() - started > 20_000, 'twenty seconds');
  assert.ok(cluster.statusWrites().length - before <= 4, `${cluster.statusWrites().length - before} writes`);
  clearInterval(overwritten);
  await cluster.until(() => JSON.stringify(cluster.addresses('a')) === JSON.stringify(OURS), 'ours in the end');
});

test('a published Service is followed; while it can not be read, what is there stays', async (t) => {
  const cluster = await Cluster.start(t);
  const path = '/api/v1/namespaces/edge/services';
  cluster.server.put(path, 'lb', { spec: { type: 'LoadBalancer', clusterIP: '10.0.0.9' }, status: {} });
  cluster.apply(service('web'), ingress('a'));
  const one = cluster.join('one', { service: { namespace: 'edge', name: 'lb' } });
  await cluster.until(() => one.reporter.leading, 'one leads');
  await cluster.quiet();
  assert.equal(cluster.addresses('a'), undefined, 'not the cluster IP of a load balancer that is to come');
  cluster.server.setStatus(`${path}/lb`, { loadBalancer: { ingress: [{ hostname: 'lb.example.com' }] } });
  await cluster.until(() => cluster.addresses('a') !== undefined, 'an address');
  assert.deepEqual(cluster.addresses('a'), [{ hostname: 'lb.example.com' }]);
  cluster.server.remove(`${path}/lb`);
  await cluster.until(() => one.log.includes('warn the Service of --publish-service can not be read  NotFound'), 'told');
  await cluster.quiet();
  assert.deepEqual(cluster.addresses('a'), [{ hostname: 'lb.example.com' }]);
  cluster.server.put(path, 'lb', { spec: { type: 'LoadBalancer' }, status: { loadBalancer: { ingress: [{ hostname: 'lb.example.com' }] } } });
  await cluster.until(() => one.log.some((line) => line.startsWith('info the Service of --publish-service is read again')), 'told that it is over');
});

test("a policy's ancestors stand beside those of others, also when those come between", async (t) => {
  const cluster = await Cluster.start(t);
  const path = '/apis/tidegate.dev/v1alpha1/namespaces/shop/ratelimitpolicies/p';
  const policy = (requests: number) => ({
    apiVersion: 'tidegate.dev/v1alpha1',
    kind: 'RateLimitPolicy',
    metadata: { name: 'p' },
    spec: { targetRefs: [{ group: 'tidegate.dev', kind: 'ApiRoute', name: 'a' }], limits: [{ requests, period: '1m' }] },
  });
  const theirs = (name: string) => ({ ancestorRef: { kind: 'Gateway', name }, controllerName: 'example.com/other', conditions: [] });
  cluster.apply(service('web'), route('a'), policy(1));
  cluster.server.setStatus(path, { ancestors: [theirs('one')] });
  let came = false;
  cluster.server.fault = ({ method, path: called }) => {
    if (method === 'PATCH' && called === `${path}/status` && !came) {
      came = true;
      // The watch shows it to nobody yet.
      const { onChange } = cluster.server;
      cluster.server.onChange = () => {};
      cluster.server.setStatus(path, { ancestors: [theirs('one'), theirs('two')] });
      cluster.server.onChange = onChange;
    }
    return undefined;
  };
  cluster.join('one');
  const ancestors = () =>
    ((cluster.object('RateLimitPolicy', 'p')?.status?.ancestors ?? []) as { controllerName: string; ancestorRef: { name: string } }[]).map(
      (one) => `${one.controllerName} ${one.ancestorRef.name}`,
    );
  await cluster.until(() => ancestors().length === 3, 'three ancestors');
  assert.deepEqual(ancestors(), ['example.com/other one', 'example.com/other two', 'tidegate.dev/ingress-controller a']);
  assert.deepEqual(cluster.conditions('RateLimitPolicy', 'p'), ['Accepted=True Accepted', 'Programmed=True Programmed']);
  await cluster.quiet();
  const before = cluster.statusWrites().length;
  cluster.server.setStatus(path, {
    ...cluster.object('RateLimitPolicy', 'p')?.status,
    ancestors: [...((cluster.object('RateLimitPolicy', 'p')?.status?.ancestors ?? []) as object[]), theirs('three')],
  });
  await cluster.quiet();
  assert.equal(cluster.statusWrites().length, before, "others' entries are nothing to us");
});

test('only the leader writes; the next one goes on where it ended', async (t) => {
  const cluster = await Cluster.start(t);
  const one = cluster.join('one', ADDRESS);
  await cluster.until(() => one.reporter.leading, 'one leads');
  const two = cluster.join('two', ADDRESS);
  cluster.apply(service('web'), route('a'), ingress('i'));
  await cluster.until(() => cluster.addresses('i') !== undefined && cluster.conditions('ApiRoute', 'a').length > 0, 'statuses');
  assert.deepEqual([...two.reporter.writes], []);
  await one.reporter.retire();
  assert.ok(!one.reporter.leading);
  await cluster.until(() => two.reporter.leading, 'two leads');
  await cluster.quiet();
  assert.deepEqual([...two.reporter.writes], [], 'there is nothing to change');
  cluster.apply(route('b'));
  await cluster.until(() => [...two.reporter.writes].length > 0, 'b');
  assert.deepEqual([...two.reporter.writes], [{ kind: 'ApiRoute', result: 'written', count: 1 }]);
  assert.deepEqual([...one.reporter.writes].map(({ kind, count }) => `${kind} ${count}`).sort(), ['ApiRoute 1', 'Ingress 1']);
});

test('addresses stay through a rolling update, and go with the last replica', async (t) => {
  const cluster = await Cluster.start(t);
  cluster.apply(service('web'), ingress('a'), ingress('b'));
  const stop = async (replica: ReturnType<Cluster['join']>): Promise<void> => {
    await replica.reporter.retire();
    await replica.reporter.finish(cluster.now() + 25_000);
  };
  const one = cluster.join('one', ADDRESS);
  await cluster.until(() => cluster.addresses('a') !== undefined && cluster.addresses('b') !== undefined, 'addresses');
  const two = cluster.join('two', ADDRESS);
  await stop(one);
  assert.deepEqual([cluster.addresses('a'), cluster.addresses('b')], [OURS, OURS]);
  assert.ok(two.reporter.leading);
  // One that does not lead.
  const three = cluster.join('three', ADDRESS);
  await cluster.until(() => cluster.server.calls.some(({ method, path }) => method === 'GET' && path.endsWith('/leases/tidegate-leader')), 'three looks');
  await stop(three);
  assert.deepEqual([cluster.addresses('a'), cluster.addresses('b')], [OURS, OURS]);
  await stop(two);
  assert.deepEqual([cluster.addresses('a'), cluster.addresses('b')], [undefined, undefined]);
  const lease = cluster.server.list('Lease')[0]?.spec as { holderIdentity: string };
  assert.equal(lease.holderIdentity, '');
});

test('all replicas stopped at once: one of them takes the addresses along', async (t) => {
  const cluster = await Cluster.start(t);
  cluster.apply(service('web'), ingress('a'));
  const replicas = [cluster.join('one', ADDRESS), cluster.join('two', ADDRESS), cluster.join('three', ADDRESS)];
  await cluster.until(() => cluster.addresses('a') !== undefined, 'an address');
  await Promise.all(
    replicas.map(async ({ reporter }) => {
      await reporter.retire();
      await reporter.finish(cluster.now() + 25_000);
    }),
  );
  assert.equal(cluster.addresses('a'), undefined);
});

test('of a thousand Ingresses one is edited, one comes and one goes: no other is looked at', () => {
  const reporter = new StatusReporter({
    api: { request: () => Promise.reject(new Error('nothing is written')) },
    namespace: 'tidegate-system',
    identity: 'one',
    ingressClass: 'tidegate',
    publish: ADDRESS,
    log: () => {},
  });
  const looked: string[] = [];
  const { get } = reporter.observed;
  reporter.observed.get = (key) => {
    looked.push(key);
    return get.call(reporter.observed, key);
  };
  const options = { ingressClass: 'tidegate', allowExternalName: false, allowLoopbackEndpoints: true };
  const manifests: Manifest[] = [service('web'), ...Array.from({ length: 1000 }, (_, index) => ingress(`i${index}`))];
  const first = buildSet(manifests);
  const before = translate(first, options);
  reporter.update(first, before);
  assert.equal(looked.splice(0).length, 1000);
  const edits = new Map([
    [manifests[500], ingress('i499', 'tidegate', BAD_BACKEND)],
    [manifests[1000], ingress('new')],
  ]);
  const second = { ...first, ingresses: buildSet(manifests.map((manifest) => edits.get(manifest) ?? manifest)).ingresses };
  reporter.update(second, translate(second, options, before));
  assert.deepEqual(new Set(looked), new Set(['Ingress/default/i499', 'Ingress/default/new']));
});
