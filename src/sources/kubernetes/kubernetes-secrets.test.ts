/** Which Secrets the source reads, and how: those of type TLS together, others by what objects name. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import type { Ingress } from '../../resources/ingress.ts';
import type { Entry, ResourceSet } from '../../resources/resource-set.ts';
import { FakeApiServer, status } from './fake-api-server.fixture.ts';
import { INGRESSES, ingress, SECRETS, Watched, withTls } from './kubernetes-source.fixture.ts';

/** Before those beyond 64 are looked up in turns again, which is after 30 s. */
const SOON = { timeout: 28_000 };

test('Secrets of type TLS are watched together; one of another type that is named is read without what it holds', async (t) => {
  const fake = await FakeApiServer.start(t);
  fake.put(SECRETS, { metadata: { name: 'opaque', namespace: 'shop' }, type: 'Opaque', data: { password: 'c2VjcmV0' } });
  fake.put(SECRETS, { metadata: { name: 'other', namespace: 'shop' }, type: 'Opaque', data: { password: 'c2VjcmV0' } });
  fake.put(INGRESSES, withTls('opaque'));
  const watched = new Watched(t, fake);
  await watched.start();
  const set = await watched.until(({ secrets }) => secrets.size > 0);
  assert.deepEqual([...set.secrets.keys()], ['shop/opaque']);
  assert.equal(set.secrets.get('shop/opaque')?.object?.type, 'Opaque');
  assert.equal(JSON.stringify(set.secrets.get('shop/opaque')).includes('c2VjcmV0'), false);
  const asked = fake.requests.filter(({ path }) => path.includes('secrets'));
  assert.deepEqual(
    asked.map(({ path, query }) => [path, query.get('fieldSelector')]),
    [
      [SECRETS, 'type=kubernetes.io/tls'],
      ['/api/v1/namespaces/shop/secrets', 'metadata.name=opaque,type!=kubernetes.io/tls'],
    ],
  );
});

test('a Secret of another type is known as soon as it is made, whatever was there before, and a good one takes its place', async (t) => {
  const fake = await FakeApiServer.start(t);
  const secret = (type: string) => fake.put(SECRETS, { metadata: { name: 'late', namespace: 'shop' }, type });
  fake.put(INGRESSES, withTls('late'));
  const watched = new Watched(t, fake);
  assert.equal((await watched.start()).secrets.size, 0);
  for (const type of ['Opaque', 'kubernetes.io/tls', 'Opaque', 'kubernetes.io/tls']) {
    secret(type);
    await watched.until(({ secrets }) => secrets.get('shop/late')?.problems.length === (type === 'Opaque' ? 0 : 1));
    if (type === 'Opaque') assert.equal(watched.sets.at(-1)?.secrets.get('shop/late')?.object?.type, type);
    fake.remove(SECRETS, 'shop', 'late');
    await watched.until(({ secrets }) => secrets.size === 0);
  }
  // A route that names another one gives its watch up.
  fake.put(INGRESSES, withTls('other'));
  const named = (name: string) => [...fake.watchers].filter(({ request }) => request.query.get('fieldSelector')?.startsWith(`metadata.name=${name},`));
  await fake.next(({ query }) => query.get('fieldSelector')?.startsWith('metadata.name=other,') === true);
  for (const { response } of named('late')) if (!response.closed) await once(response, 'close');
  assert.deepEqual(named('late'), []);
});

test('of many Secrets that are not there, some are watched, and the others looked up', async (t) => {
  const fake = await FakeApiServer.start(t);
  for (let index = 0; index < 40; index++)
    fake.put(INGRESSES, ingress(`web-${index}`, { ingressClassName: 'tidegate', tls: [{ secretName: `missing-${index}` }] }));
  const lookups: Promise<unknown>[] = [];
  for (let index = 16; index < 40; index++) lookups.push(fake.next(({ path }) => path === `/api/v1/namespaces/shop/secrets/missing-${index}`));
  await new Watched(t, fake).start();
  await Promise.all(lookups);
  const byName = new Set(fake.requests.map(({ query }) => query.get('fieldSelector')).filter((selector) => selector?.startsWith('metadata.name=')));
  assert.equal(byName.size, 16);
});

test('a Secret of another type that is looked up stays while looks at it fail, and goes when it is gone', { timeout: 15_000 }, async (t) => {
  const fake = await FakeApiServer.start(t);
  // The first 16 that are not there are watched.
  for (let index = 0; index < 17; index++)
    fake.put(INGRESSES, ingress(`web-${index}`, { ingressClassName: 'tidegate', tls: [{ secretName: `missing-${index}` }] }));
  fake.put(SECRETS, { metadata: { name: 'missing-16', namespace: 'shop' }, type: 'Opaque' });
  const watched = new Watched(t, fake, { secretLookupInterval: 20 });
  await watched.start();
  await watched.until(({ secrets }) => secrets.has('shop/missing-16'));
  const before = watched.sets.length;
  const isLook = ({ path }: { readonly path: string }) => path.endsWith('/secrets/missing-16');
  for (const how of [429, 500, 503, 403, 'cut'] as const) {
    fake.intercept = (request, response) => {
      if (!isLook(request)) return false;
      if (how === 'cut') response.destroy();
      else status(response, how, 'Refused');
      return true;
    };
    await fake.next(isLook);
    // The next round comes after what came of this one is taken in.
    await fake.next(isLook);
  }
  // A set that tells of something else tells of what these looks have left, too.
  fake.put(INGRESSES, ingress('after'));
  const after = await watched.until(({ ingresses }) => ingresses.has('shop/after'));
  assert.ok(after.secrets.has('shop/missing-16'));
  assert.deepEqual(
    watched.sets.slice(before).filter(({ secrets }) => !secrets.has('shop/missing-16')),
    [],
  );
  fake.intercept = () => false;
  fake.remove(SECRETS, 'shop', 'missing-16');
  await watched.until(({ secrets }) => !secrets.has('shop/missing-16'));
});

test('where Secrets may not be listed, only those that objects of ours name are watched, each by its name, before the first set', async (t) => {
  const fake = await FakeApiServer.start(t);
  for (const name of ['one', 'two', 'three', 'foreign']) fake.put(SECRETS, { metadata: { name, namespace: 'shop' }, type: 'Opaque' });
  fake.put(INGRESSES, withTls('one'));
  fake.put(INGRESSES, ingress('foreign', { ingressClassName: 'nginx', tls: [{ secretName: 'foreign' }] }));
  fake.intercept = ({ path, query }, response) => {
    const isRefused = path.includes('secrets') && query.get('fieldSelector')?.startsWith('metadata.name=') !== true;
    if (isRefused) status(response, 403, 'Forbidden', 'secrets is forbidden');
    return isRefused;
  };
  const watched = new Watched(t, fake, { defaultCertificate: 'ingress/default' });
  const first = await watched.start();
  assert.deepEqual([...first.secrets.keys()], ['shop/one']);
  assert.deepEqual(
    [...fake.watchers]
      .filter(({ request }) => request.path.includes('secrets'))
      .map(({ request }) => `${request.path} ${request.query.get('fieldSelector')}`)
      .sort(),
    ['/api/v1/namespaces/ingress/secrets metadata.name=default', '/api/v1/namespaces/shop/secrets metadata.name=one'],
  );
  // The Secret that is newly named comes with the object that names it, and the one that is not goes.
  fake.put(INGRESSES, withTls('two'));
  const second = await watched.until((set) => (set.ingresses.get('shop/web') as Entry<Ingress>).object?.spec.tls[0]?.secretName === 'two');
  assert.equal(second.secrets.has('shop/two'), true);
  await watched.until((set) => !set.secrets.has('shop/one'));
  // Once listing is allowed, what was watched one by one is watched together, and nothing is gone for a moment.
  fake.put(SECRETS, { metadata: { name: 'two', namespace: 'shop' }, type: 'kubernetes.io/tls' });
  const before = watched.sets.length;
  fake.intercept = () => false;
  await watched.untilLogged('permitted to read from the API server');
  fake.remove(SECRETS, 'shop', 'two');
  await watched.until((set) => !set.secrets.has('shop/two'));
  assert.deepEqual(
    watched.sets.slice(before, -1).filter((set) => !set.secrets.has('shop/two')),
    [],
  );
});

test('of Secrets that are watched by name, those beyond 64 are looked up in turns, all before the first set', async (t) => {
  const fake = await FakeApiServer.start(t);
  const names = Array.from({ length: 70 }, (_, index) => `s${String(index).padStart(2, '0')}`);
  const tls = names.map((secretName) => ({ secretName }));
  fake.put(INGRESSES, ingress('many', { ingressClassName: 'tidegate', tls }));
  for (const name of names) fake.put(SECRETS, { metadata: { name, namespace: 'shop' }, type: 'Opaque' });
  const fetched: string[] = [];
  fake.intercept = ({ path, query }, response) => {
    const [, name] = /^\/api\/v1\/namespaces\/shop\/secrets\/(.+)$/.exec(path) ?? [];
    if (name !== undefined) {
      fetched.push(name);
      if (name === 's69') status(response, 404, 'NotFound');
      else response.end(JSON.stringify({ metadata: { name, namespace: 'shop', uid: name, resourceVersion: '1' }, type: 'Opaque' }));
      return true;
    }
    const isRefused = path.includes('secrets') && query.get('fieldSelector')?.startsWith('metadata.name=') !== true;
    if (isRefused) status(response, 403, 'Forbidden', 'secrets is forbidden');
    return isRefused;
  };
  const watched = new Watched(t, fake);
  const first = await watched.start();
  assert.equal([...fake.watchers].filter(({ request }) => request.path.includes('secrets')).length, 64);
  assert.deepEqual(fetched.sort(), names.slice(64));
  assert.deepEqual(
    [...first.secrets.keys()].sort(),
    names.slice(0, 69).map((name) => `shop/${name}`),
  );
  // Where there is room again, one that was looked up is watched, and is there all the while.
  fake.put(INGRESSES, ingress('many', { ingressClassName: 'tidegate', tls: tls.slice(10) }));
  const before = watched.sets.length;
  await watched.until(({ secrets }) => !secrets.has('shop/s00'));
  const isWatched = () => [...fake.watchers].some(({ request }) => request.query.get('fieldSelector') === 'metadata.name=s68');
  while (!isWatched()) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(
    watched.sets.slice(before).filter(({ secrets }) => !secrets.has('shop/s68')),
    [],
  );
});

test('Secrets with values beyond 64: what changes is told by metadata, and only those that are named are fetched', async (t) => {
  const fake = await FakeApiServer.start(t);
  const names = Array.from({ length: 70 }, (_, index) => `s${String(index).padStart(2, '0')}`);
  const put = (name: string, value: string) =>
    fake.put(SECRETS, { metadata: { name, namespace: 'shop' }, type: 'Opaque', data: { key: Buffer.from(value).toString('base64') } });
  for (const name of [...names, 'foreign']) put(name, 'one');
  for (const name of names) {
    const spec = { apiKeys: [{ secretRef: { name, key: 'key' } }] };
    fake.put('/apis/tidegate.dev/v1alpha1/apiconsumers', { metadata: { name, namespace: 'shop' }, spec });
  }
  const watched = new Watched(t, fake);
  const valueOf = (set: ResourceSet, name: string) => set.secrets.get(`shop/${name}`)?.object?.values?.key?.reveal();
  const first = await watched.start();
  for (const name of names) assert.equal(valueOf(first, name), 'one');
  const fetches = () => fake.requests.flatMap(({ path }) => /^\/api\/v1\/namespaces\/shop\/secrets\/(.+)$/.exec(path)?.[1] ?? []);
  assert.deepEqual(fetches().sort(), names.slice(64));
  const isTold = () => [...fake.watchers].some(({ request }) => request.isOfMetadata);
  while (!isTold()) await new Promise((resolve) => setTimeout(resolve, 5));
  const before = fetches().length;
  put('foreign', 'two');
  put('s65', 'two');
  put('s69', 'two');
  await watched.until((set) => valueOf(set, 's65') === 'two' && valueOf(set, 's69') === 'two');
  fake.remove(SECRETS, 'shop', 's66');
  await watched.until((set) => !set.secrets.has('shop/s66'));
  put('s66', 'three');
  await watched.until((set) => valueOf(set, 's66') === 'three');
  assert.deepEqual([...new Set(fetches().slice(before))].sort(), ['s65', 's66', 's69']);
  // Nobody asks in vain: all else that was asked for is a list or a watch.
  for (const { isOfMetadata, query } of fake.requests.filter(({ path }) => path.endsWith('/secrets'))) {
    assert.ok(isOfMetadata || /^(type=|metadata\.name=)/.test(query.get('fieldSelector') ?? ''), 'what others hold is not asked for');
  }
});

/** 70 Secrets with a key each, six of them beyond those that are watched; `refuse` says how the next look at one ends. */
async function beyond(t: TestContext) {
  const fake = await FakeApiServer.start(t);
  const names = Array.from({ length: 70 }, (_, index) => `s${String(index).padStart(2, '0')}`);
  const put = (name: string, value: string) =>
    fake.put(SECRETS, { metadata: { name, namespace: 'shop' }, type: 'Opaque', data: { key: Buffer.from(value).toString('base64') } });
  for (const name of names) {
    put(name, 'one');
    const spec = { apiKeys: [{ secretRef: { name, key: 'key' } }] };
    fake.put('/apis/tidegate.dev/v1alpha1/apiconsumers', { metadata: { name, namespace: 'shop' }, spec });
  }
  const refused = new Map<string, number | 'cut'>();
  fake.intercept = ({ path }, response) => {
    const [, name = ''] = /^\/api\/v1\/namespaces\/shop\/secrets\/(.+)$/.exec(path) ?? [];
    const how = refused.get(name);
    if (how === undefined) return false;
    refused.delete(name);
    if (how === 'cut') response.destroy();
    else status(response, how, 'Refused');
    return true;
  };
  const isTold = async () => {
    while (![...fake.watchers].some(({ request }) => request.isOfMetadata)) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  const valueOf = (set: ResourceSet, name: string) => set.secrets.get(`shop/${name}`)?.object?.values?.key?.reveal();
  return { fake, put, refused, isTold, valueOf, watched: new Watched(t, fake) };
}

for (const how of [429, 500, 503, 'cut'] as const) {
  test(`a Secret beyond 64 that changes is known soon, though the first look at it ends in ${how}`, SOON, async (t) => {
    const { put, refused, isTold, valueOf, watched } = await beyond(t);
    await watched.start();
    await isTold();
    refused.set('s65', how);
    put('s65', 'two');
    await watched.until((set) => valueOf(set, 's65') === 'two');
    assert.equal(refused.size, 0, 'it was refused');
  });

  test(`a Secret beyond 64 that goes is gone soon, though the first look at it ends in ${how}`, SOON, async (t) => {
    const { fake, refused, isTold, watched } = await beyond(t);
    await watched.start();
    await isTold();
    refused.set('s65', how);
    fake.remove(SECRETS, 'shop', 's65');
    await watched.until((set) => !set.secrets.has('shop/s65'));
    assert.equal(refused.size, 0, 'it was refused');
  });

  test(`at the start, a Secret beyond 64 is known soon, though the first look at it ends in ${how}`, SOON, async (t) => {
    const { refused, valueOf, watched } = await beyond(t);
    refused.set('s65', how);
    await watched.start();
    await watched.until((set) => valueOf(set, 's65') === 'one');
    assert.equal(refused.size, 0, 'it was refused');
  });
}

test('a Secret beyond 64 that changes and goes while looks at it fail is gone in the end', SOON, async (t) => {
  const { fake, put, refused, isTold, watched } = await beyond(t);
  await watched.start();
  await isTold();
  refused.set('s65', 500);
  const looked = fake.next(({ path }) => path.endsWith('/secrets/s65'));
  put('s65', 'two');
  await looked;
  fake.remove(SECRETS, 'shop', 's65');
  await watched.until((set) => !set.secrets.has('shop/s65'));
});

test('a Secret beyond 64 that is newly named does not wait for one that can not be read', SOON, async (t) => {
  const { fake, put, valueOf, watched } = await beyond(t);
  // For minutes.
  fake.intercept = ({ path }, response) => {
    const isRefused = path.endsWith('/secrets/s65');
    if (isRefused) status(response, 429, 'TooManyRequests', 'later', { 'retry-after': '60' });
    return isRefused;
  };
  const first = await watched.start();
  assert.equal(first.secrets.has('shop/s65'), false);
  put('t00', 'new');
  fake.put('/apis/tidegate.dev/v1alpha1/apiconsumers', {
    metadata: { name: 't00', namespace: 'shop' },
    spec: { apiKeys: [{ secretRef: { name: 't00', key: 'key' } }] },
  });
  await watched.until((set) => valueOf(set, 't00') === 'new');
  // The watch of metadata may have told of it while it was looked at.
  const looks = fake.requests.filter(({ path }) => path.endsWith('/secrets/s65')).length;
  assert.ok(looks <= 2, `a server that asks for patience gets it: ${looks} looks`);
});
