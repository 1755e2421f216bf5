/** How the writer fares with an API server that refuses, throttles, fails, or has very much to take. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Answer, Call } from './api-server.fixture.ts';
import { Cluster, ingress, route, service } from './cluster.fixture.ts';

const isStatus = ({ method, path }: Call): boolean => method === 'PATCH' && path.endsWith('/status');
const refusing =
  (status: number, which: (call: Call) => boolean, headers: Record<string, string> = {}) =>
  (call: Call): Answer | undefined =>
    isStatus(call) && which(call) ? { status, headers } : undefined;

function results(cluster: Cluster): Record<string, number> {
  return Object.fromEntries([...(cluster.replicas[0]?.reporter.writes ?? [])].map(({ kind, result, count }) => [`${kind} ${result}`, count]));
}

test('a permission that is missing is told once, tried now and then, and stops nothing else', async (t) => {
  const cluster = await Cluster.start(t);
  cluster.server.fault = refusing(403, ({ path }) => path.includes('/apiroutes/'));
  const names = Array.from({ length: 20 }, (_, index) => `r${index}`);
  cluster.apply(service('web'), ...names.map((name) => route(name)), ingress('i'));
  const one = cluster.join('one', { addresses: [{ ip: '203.0.113.7' }] });
  await cluster.until(() => cluster.addresses('i') !== undefined, 'the Ingress');
  await cluster.quiet();
  const tries = results(cluster)['ApiRoute forbidden'] ?? 0;
  assert.ok(tries >= 1 && tries <= 20, `${tries} tries`);
  const told = one.log.filter((line) => line.includes('may not be written'));
  assert.equal(told.length, 1);
  assert.match(String(told[0]), /^warn statuses may not be written ApiRoute\/shop\/r\d+ Forbidden$/);
  cluster.server.fault = () => undefined;
  await cluster.until(() => names.every((name) => cluster.conditions('ApiRoute', name).length > 0), 'all routes');
  assert.ok(one.log.includes('info statuses are written again'));
  await cluster.until(() => results(cluster)['ApiRoute written'] === 20, 'counted');
});

test('permissions that go while it runs are missed at the next change, and not before', async (t) => {
  const cluster = await Cluster.start(t);
  cluster.apply(service('web'), route('a'));
  cluster.join('one');
  await cluster.until(() => cluster.conditions('ApiRoute', 'a').length > 0, 'conditions');
  cluster.server.fault = (call) => (isStatus(call) || call.path.endsWith('/events') ? { status: 403 } : undefined);
  cluster.delete('Service', 'web');
  await cluster.until(() => results(cluster)['ApiRoute forbidden'] === 1, 'it is counted');
  await cluster.quiet();
  assert.deepEqual(results(cluster), { 'ApiRoute written': 1, 'Event forbidden': 1, 'ApiRoute forbidden': 1 });
  cluster.server.fault = () => undefined;
  await cluster.until(() => cluster.conditions('ApiRoute', 'a')[1] === 'ResolvedRefs=False BackendNotFound', 'ResolvedRefs');
});

test('a server that asks for patience gets it', async (t) => {
  const cluster = await Cluster.start(t);
  let throttled = 0;
  cluster.server.fault = (call) => (isStatus(call) && throttled++ === 0 ? { status: 429, headers: { 'retry-after': '20' } } : undefined);
  cluster.apply(service('web'), ...['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((name) => route(name)));
  cluster.join('one');
  await cluster.until(() => throttled > 0, 'a 429');
  const [at, before] = [cluster.now(), throttled];
  await cluster.until(() => cluster.statusWrites().length > before + 3, 'more');
  // What was under way at the time, up to three, is not held up.
  assert.ok(cluster.now() - at >= 15_000);
  await cluster.until(() => cluster.server.list('ApiRoute').every(({ status }) => status !== undefined), 'all');
  assert.equal(results(cluster)['ApiRoute throttled'], 1);
});

test('a server in trouble is told of once, and met less and less often until it is well', async (t) => {
  const cluster = await Cluster.start(t);
  cluster.server.fault = refusing(503, () => true);
  cluster.apply(service('web'), ...Array.from({ length: 50 }, (_, index) => route(`r${index}`)));
  const one = cluster.join('one');
  await cluster.until(() => (results(cluster)['ApiRoute failed'] ?? 0) >= 6, 'failures');
  const [at, before] = [cluster.now(), cluster.statusWrites().length];
  await cluster.until(() => cluster.now() - at > 10_000, 'ten seconds');
  assert.ok(cluster.statusWrites().length - before <= 12, `${cluster.statusWrites().length - before} tries`);
  cluster.server.fault = () => undefined;
  await cluster.until(() => cluster.server.list('ApiRoute').every(({ status }) => status !== undefined), 'all');
  assert.equal(one.log.filter((line) => line.includes('statuses can not be written')).length, 1);
});

test('a conflict is looked into and tried again; an object that is gone is dropped; what is refused waits for an edit', async (t) => {
  const cluster = await Cluster.start(t);
  const first = new Set<string>();
  cluster.server.fault = (call) => {
    const name = call.path.split('/').at(-2) as string;
    if (!isStatus(call) || first.has(name)) return undefined;
    first.add(name);
    return { status: { conflict: 409, gone: 404, refused: 422 }[name] ?? 200 };
  };
  cluster.apply(service('web'), route('conflict'), route('gone'), route('refused'));
  const one = cluster.join('one');
  await cluster.until(() => cluster.conditions('ApiRoute', 'conflict').length > 0, 'conditions');
  await cluster.quiet();
  assert.deepEqual(results(cluster), { 'ApiRoute conflict': 1, 'ApiRoute gone': 1, 'ApiRoute refused': 1, 'ApiRoute written': 1 });
  assert.ok(one.log.includes('warn a status was refused ApiRoute/shop/refused Invalid'));
  cluster.apply(route('refused', { hostnames: ['new.example.com'] }));
  await cluster.until(() => cluster.conditions('ApiRoute', 'refused').length > 0, 'after the edit');
});

test('thousands of bad objects: writes come at a steady rate, and a fresh object is soon served', async (t) => {
  const cluster = await Cluster.start(t);
  const bad = (index: number) => route(`bad-${index}`, { rules: [{ matches: [{ path: { type: 'RegularExpression', value: '(' } }] }] });
  cluster.apply(service('web'), ...Array.from({ length: 5000 }, (_, index) => bad(index)));
  const started = cluster.now();
  cluster.join('one');
  await cluster.until(() => cluster.statusWrites().length > 100, 'the first hundred');
  cluster.apply(route('fresh'));
  const before = cluster.statusWrites().length;
  await cluster.until(() => cluster.conditions('ApiRoute', 'fresh').length > 0, 'the fresh one');
  const between = cluster.statusWrites().length - before;
  assert.ok(between <= 12, `${between} came first`);
  await cluster.until(() => cluster.statusWrites().length > 400, 'four hundred');
  const most = (times: number) => 50 + ((cluster.now() - started) / 1000) * 20 + times;
  assert.ok(cluster.statusWrites().length <= most(5), 'twenty a second');
  assert.ok(cluster.events().length <= most(5), 'Events likewise');
  assert.equal(new Set(cluster.statusWrites()).size, cluster.statusWrites().length, 'each once');
});

test('what changes while a write is under way is written after its end, whatever became of that', async (t) => {
  const cluster = await Cluster.start(t);
  cluster.apply(service('web'), route('a'));
  cluster.server.fault = (call) => {
    if (!isStatus(call) || cluster.statusWrites().length > 1) return undefined;
    // Translated before the answer is there, which by itself would be the last word for minutes.
    cluster.apply(route('a', { hostnames: ['new.example.com'] }));
    return { status: 422 };
  };
  cluster.join('one');
  await cluster.until(() => cluster.conditions('ApiRoute', 'a').length > 0, 'conditions');
  await cluster.quiet();
  assert.deepEqual(results(cluster), { 'ApiRoute refused': 1, 'ApiRoute written': 1 });
});

test('an Ingress that is lost, and ours again while the write that clears it is under way, gets its address back', async (t) => {
  const cluster = await Cluster.start(t);
  cluster.apply(service('web'), ingress('a'));
  cluster.join('one', { addresses: [{ ip: '203.0.113.7' }] });
  await cluster.until(() => cluster.addresses('a') !== undefined, 'an address');
  await cluster.quiet();
  let cleared = 0;
  cluster.server.fault = (call) => {
    if (isStatus(call) && call.body?.status === undefined && cleared++ === 0) cluster.apply(ingress('a'));
    return undefined;
  };
  cluster.apply(ingress('a', 'nginx'));
  await cluster.until(() => cleared > 0, 'the address goes');
  await cluster.quiet();
  assert.deepEqual(cluster.addresses('a'), [{ ip: '203.0.113.7' }]);
});

test('Ingresses that are lost, and ours again while they wait for their turns, keep their addresses', async (t) => {
  const cluster = await Cluster.start(t);
  const names = Array.from({ length: 60 }, (_, index) => `i${index}`);
  cluster.apply(service('web'), ...names.map((name) => ingress(name)));
  cluster.join('one', { addresses: [{ ip: '203.0.113.7' }] });
  await cluster.until(() => names.every((name) => cluster.addresses(name) !== undefined), 'addresses');
  let cleared = 0;
  cluster.server.fault = (call) => {
    // Those that come next wait for the rate of writes.
    if (isStatus(call) && call.body?.status === undefined && ++cleared === 1) cluster.apply(...names.map((name) => ingress(name)));
    return undefined;
  };
  cluster.apply(...names.map((name) => ingress(name, 'nginx')));
  await cluster.until(() => cleared > 0, 'an address goes');
  await cluster.quiet();
  for (const name of names) assert.deepEqual(cluster.addresses(name), [{ ip: '203.0.113.7' }], name);
  // Some may be under way by then.
  assert.ok(cleared <= 4, `${cleared} are taken`);
});
