import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ResourceSet } from '../../resources/resource-set.ts';
import { FakeApiServer, type FakeObject, status } from './fake-api-server.fixture.ts';
import { CLASSES, GRANTS, INGRESSES, ingress, ROUTES, SERVICES, SLICES, service, slice, Watched } from './kubernetes-source.fixture.ts';

test('every kind arrives, and each change makes a set that shares with the one before all that did not change', async (t) => {
  const fake = await FakeApiServer.start(t);
  fake.put(CLASSES, { metadata: { name: 'tidegate' }, spec: { controller: 'tidegate.dev/ingress-controller' } });
  fake.put(INGRESSES, ingress('web'));
  fake.put(INGRESSES, ingress('other'));
  fake.put(ROUTES, { metadata: { name: 'api', namespace: 'shop', generation: 3 }, spec: { rules: [{ backendRefs: [{ name: 'web', port: 80 }] }] } });
  fake.put('/apis/tidegate.dev/v1alpha1/ratelimitpolicies', {
    metadata: { name: 'limit', namespace: 'shop' },
    spec: { targetRefs: [{ group: 'tidegate.dev', kind: 'ApiRoute', name: 'api' }], limits: [{ requests: 1, period: '1s' }] },
  });
  fake.put('/apis/tidegate.dev/v1alpha1/backendpolicies', {
    metadata: { name: 'policy', namespace: 'shop' },
    spec: { targetRefs: [{ kind: 'Service', name: 'web' }] },
  });
  fake.put(GRANTS, {
    metadata: { name: 'grant', namespace: 'shop' },
    spec: { from: [{ group: 'tidegate.dev', kind: 'ApiRoute', namespace: 'x' }], to: [{ kind: 'Service' }] },
  });
  fake.put(SERVICES, service('web'));
  fake.put(SLICES, slice('web-1', '10.0.0.1'));
  fake.missing.add('/apis/gateway.networking.k8s.io/v1/referencegrants');
  const watched = new Watched(t, fake);
  const first = await watched.start();
  for (const field of ['ingressClasses', 'apiRoutes', 'rateLimitPolicies', 'backendPolicies', 'referenceGrants', 'services', 'endpointSlices'] as const) {
    assert.equal(first[field].size, 1, field);
    for (const entry of first[field].values()) assert.deepEqual(entry.problems, [], field);
  }
  assert.deepEqual([...first.ingresses.keys()].sort(), ['shop/other', 'shop/web']);
  const route = first.apiRoutes.get('shop/api');
  assert.deepEqual(
    [route?.kind, route?.namespace, route?.name, route?.generation, route?.age],
    ['ApiRoute', 'shop', 'api', 3, Date.parse('2026-01-01T00:00:00Z')],
  );

  fake.put(SLICES, slice('web-1', '10.0.0.2'));
  const second = await watched.until((set) => set !== first);
  for (const field of Object.keys(first) as (keyof ResourceSet)[]) assert.equal(second[field] === first[field], field !== 'endpointSlices', field);

  fake.put(INGRESSES, ingress('web', { defaultBackend: { service: { name: 'web', port: { number: 80 } } } }));
  const third = await watched.until((set) => set !== second);
  assert.equal(third.ingresses.get('shop/other'), second.ingresses.get('shop/other'));
  assert.notEqual(third.ingresses.get('shop/web'), second.ingresses.get('shop/web'));

  fake.remove(INGRESSES, 'shop', 'other');
  const fourth = await watched.until((set) => set !== third);
  assert.deepEqual([...fourth.ingresses.keys()], ['shop/web']);
});

test('ConfigMaps are read that objects name, and no others; of Secrets of another type what others are verified by is kept', async (t) => {
  const fake = await FakeApiServer.start(t);
  const policy = (name: string) => ({
    metadata: { name: 'policy', namespace: 'shop' },
    spec: { targetRefs: [{ kind: 'Service', name: 'web' }], tls: { caCertificateRefs: [{ name }, { kind: 'Secret', name: 'trust' }] } },
  });
  const configMap = (name: string) => ({ metadata: { name, namespace: 'shop' }, data: { 'ca.crt': 'no certificate', other: 'of no interest' } });
  fake.put('/apis/tidegate.dev/v1alpha1/backendpolicies', policy('ca'));
  fake.put('/api/v1/configmaps', configMap('ca'));
  fake.put('/api/v1/configmaps', configMap('next'));
  fake.put('/api/v1/configmaps', configMap('unnamed'));
  fake.put('/api/v1/secrets', {
    metadata: { name: 'trust', namespace: 'shop' },
    type: 'Opaque',
    data: { 'ca.crt': btoa('nothing'), password: btoa('secret') },
  });
  const watched = new Watched(t, fake);
  const first = await watched.start();
  assert.deepEqual([...first.configMaps.keys()], ['shop/ca']);
  assert.deepEqual(Object.keys(first.configMaps.get('shop/ca')?.object ?? {}), ['apiVersion', 'kind', 'metadata', 'trust']);
  const withSecret = first.secrets.size > 0 ? first : await watched.until((set) => set.secrets.size > 0);
  assert.match(JSON.stringify(withSecret.secrets.get('shop/trust')?.object?.trust), /holds no PEM certificate/);

  fake.put('/apis/tidegate.dev/v1alpha1/backendpolicies', policy('next'));
  const second = await watched.until((set) => set.configMaps.has('shop/next'));
  const last = second.configMaps.size === 1 ? second : await watched.until((set) => set.configMaps.size === 1);
  assert.deepEqual([...last.configMaps.keys()], ['shop/next']);
  fake.remove('/api/v1/configmaps', 'shop', 'next');
  await watched.until((set) => set.configMaps.size === 0);
});

test('statuses, managed fields and what kubectl remembers are no change', async (t) => {
  const fake = await FakeApiServer.start(t);
  fake.put(INGRESSES, ingress('web'));
  const watched = new Watched(t, fake);
  const first = await watched.start();
  const { metadata, ...rest } = ingress('web');
  fake.put(INGRESSES, {
    ...rest,
    metadata: { ...metadata, managedFields: [{ manager: 'x' }], annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}' } },
    status: { loadBalancer: {} },
  });
  fake.put(SERVICES, service('web'));
  const second = await watched.until((set) => set.services.size === 1);
  assert.equal(second.ingresses, first.ingresses);
});

test('an observer sees every object as the server has it, statuses and all, and is told of those that go', async (t) => {
  const fake = await FakeApiServer.start(t);
  const told: unknown[] = [];
  fake.put(INGRESSES, { ...ingress('web'), status: { loadBalancer: {} } });
  const watched = new Watched(t, fake, {
    observer: {
      seen: (kind, raw) => told.push([kind, raw.metadata?.resourceVersion, (raw as { status?: unknown }).status]),
      gone: (kind, namespace, name) => told.push([kind, namespace, name]),
    },
  });
  await watched.start();
  const { metadata } = fake.put(INGRESSES, { ...ingress('web'), status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } } });
  fake.remove(INGRESSES, 'shop', 'web');
  await watched.until((set) => set.ingresses.size === 0);
  assert.deepEqual(told, [
    ['Ingress', '101', { loadBalancer: {} }],
    ['Ingress', metadata.resourceVersion, { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } }],
    ['Ingress', 'shop', 'web'],
  ]);
});

test('an object that turns bad keeps its last good state; another by its name, and one that was never good, have none', async (t) => {
  const fake = await FakeApiServer.start(t);
  const route = (spec: object, metadata: object = {}): FakeObject => ({ metadata: { name: 'api', namespace: 'shop', ...metadata }, spec });
  fake.put(ROUTES, route({ hostnames: ['a.example.com'], rules: [{}] }, { generation: 1 }));
  fake.put(ROUTES, { metadata: { name: 'bad', namespace: 'shop', generation: 1 }, spec: { ruls: [] } });
  const watched = new Watched(t, fake);
  const first = await watched.start();
  assert.equal(first.apiRoutes.get('shop/bad')?.object, undefined);
  fake.put(ROUTES, route({ hostnames: ['b.example.com'], rules: [{ nonsense: 1 }] }, { generation: 2 }));
  const second = await watched.until((set) => set !== first);
  const entry = second.apiRoutes.get('shop/api');
  assert.equal(entry?.generation, 2);
  assert.deepEqual(entry?.object, first.apiRoutes.get('shop/api')?.object);
  assert.deepEqual(
    entry?.problems.map(({ severity, field }) => [severity, field]),
    [['error', 'spec.rules[0].nonsense']],
  );
  assert.equal(second.apiRoutes.get('shop/bad'), first.apiRoutes.get('shop/bad'));
  fake.put(ROUTES, route({ rules: [{ nonsense: 1 }] }, { generation: 1, uid: 'another' }));
  const third = await watched.until((set) => set.apiRoutes.get('shop/api')?.generation === 1);
  assert.equal(third.apiRoutes.get('shop/api')?.object, undefined);
});

test('fields of a newer Kubernetes in its own kinds are passed over; other faults in them are not', async (t) => {
  const fake = await FakeApiServer.start(t);
  fake.put(SERVICES, service('web', 'shop', { quantumEntanglement: true, ports: [{ port: 80, spin: 'up' }] }));
  fake.put(SLICES, { metadata: { name: 'none', namespace: 'shop' }, addressType: 'IPv4', endpoints: null, ports: null });
  fake.put(INGRESSES, ingress('bad', { future: 1, rules: [{ host: 'a..b' }] }));
  const watched = new Watched(t, fake);
  const set = await watched.start();
  assert.deepEqual(set.services.get('shop/web')?.problems, []);
  assert.equal(set.services.get('shop/web')?.object?.spec.ports[0]?.port, 80);
  assert.deepEqual(set.endpointSlices.get('shop/none')?.object?.endpoints, []);
  assert.deepEqual(
    set.ingresses.get('shop/bad')?.problems.map(({ field }) => field),
    ['spec.rules[0].host'],
  );
});

test('nothing is told before all is read: a server that is down at start, then a kind that is refused', async (t) => {
  const fake = await FakeApiServer.start(t);
  fake.put(INGRESSES, ingress('web'));
  const watched = new Watched(t, fake);
  const { port } = fake;
  await fake.stop();
  const start = watched.start();
  const fields = await watched.untilLogged('the API server cannot be read');
  assert.equal(fields.error, `http://127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}`);
  assert.equal(watched.source.hasSynced, false);
  assert.match(watched.source.waitingFor, /^waiting for the API server's ingressclasses, ingresses, .*secrets: http:.*ECONNREFUSED/);
  fake.intercept = ({ path }, response) => {
    if (path === INGRESSES) status(response, 403, 'Forbidden', 'ingresses is forbidden');
    return path === INGRESSES;
  };
  await fake.listen(port);
  assert.equal((await watched.untilLogged('not permitted to read from the API server')).resource, 'ingresses');
  assert.equal(watched.source.waitingFor, "waiting for the API server's ingresses: ingresses is forbidden");
  fake.intercept = () => false;
  const set = await start;
  assert.equal(set.ingresses.size, 1);
  assert.equal(watched.logged.filter(({ message }) => message === 'the API server cannot be read').length, 1);
  assert.equal(watched.source.states.find(({ resource }) => resource === 'ingresses')?.errors.get('Forbidden') !== undefined, true);
});

test('CRDs that are not there: Ingresses serve, and routes are picked up when they come', async (t) => {
  const fake = await FakeApiServer.start(t);
  fake.put(INGRESSES, ingress('web'));
  for (const resource of ['apiroutes', 'ratelimitpolicies', 'backendpolicies']) fake.missing.add(`/apis/tidegate.dev/v1alpha1/${resource}`);
  const watched = new Watched(t, fake);
  const first = await watched.start();
  assert.equal(first.ingresses.size, 1);
  assert.deepEqual(
    watched.logged
      .filter(({ message }) => message === 'a kind is not installed in the cluster')
      .map(({ fields }) => fields.kind)
      .sort(),
    ['ApiRoute', 'BackendPolicy', 'RateLimitPolicy'],
  );
  fake.put(ROUTES, { metadata: { name: 'api', namespace: 'shop' }, spec: { rules: [{}] } });
  fake.missing.clear();
  await watched.until((set) => set.apiRoutes.size === 1);
  await watched.untilLogged('a kind is installed in the cluster now');
});

test('--watch-namespace reads those namespaces alone, and goes on without IngressClasses where they are refused', async (t) => {
  const fake = await FakeApiServer.start(t);
  for (const namespace of ['one', 'two', 'three']) fake.put(INGRESSES, ingress('web', {}, namespace));
  fake.intercept = ({ path }, response) => {
    const isRefused = !path.includes('/namespaces/');
    if (isRefused) status(response, 403, 'Forbidden', `${path} is forbidden`);
    return isRefused;
  };
  const watched = new Watched(t, fake, { namespaces: ['one', 'two'] });
  const set = await watched.start();
  assert.deepEqual([...set.ingresses.keys()].sort(), ['one/web', 'two/web']);
  assert.equal((await watched.untilLogged('not permitted to read from the API server')).resource, 'ingressclasses');
  assert.deepEqual(
    fake.requests.filter(({ path }) => path.includes('/namespaces/three/')),
    [],
  );
});

test("the API server's own addresses are told, from its URL, its Service and its EndpointSlice", async (t) => {
  const fake = await FakeApiServer.start(t);
  fake.put(SERVICES, service('kubernetes', 'default', { clusterIP: '10.96.0.1', ports: [{ name: 'https', port: 443 }] }));
  fake.put(SLICES, {
    metadata: { name: 'kubernetes', namespace: 'default' },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['172.18.0.2'] }],
    ports: [{ name: 'https', port: 6443 }],
  });
  const watched = new Watched(t, fake);
  const set = await watched.start();
  assert.deepEqual(set.apiServer, ['10.96.0.1 443', `127.0.0.1 ${fake.port}`, '172.18.0.2 6443']);
  fake.put(SERVICES, service('web'));
  const second = await watched.until(({ services }) => services.size === 2);
  assert.equal(second.apiServer, set.apiServer);
});

test('where the Service of the API server is in no namespace that is watched, the server itself is asked where it is', async (t) => {
  const fake = await FakeApiServer.start(t);
  let addresses = [
    { clientCIDR: '0.0.0.0/0', serverAddress: '172.18.0.2:6443' },
    { clientCIDR: '::/0', serverAddress: '[fd00::2]:6443' },
    { serverAddress: 7 },
  ];
  let asked = 0;
  fake.intercept = ({ path }, response) => {
    if (path !== '/api') return false;
    if (++asked === 1) status(response, 500, 'InternalError');
    else response.end(JSON.stringify({ kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: addresses }));
    return true;
  };
  const watched = new Watched(t, fake, { namespaces: ['shop'], serverAddressInterval: 20 });
  await watched.start();
  const own = `127.0.0.1 ${fake.port}`;
  const has = (...wanted: readonly string[]) => watched.until(({ apiServer }) => apiServer.join() === [own, ...wanted].join());
  await has('172.18.0.2 6443', 'fd00::2 6443');
  // Of several servers behind one address another one may answer: all that were told stay.
  addresses = [{ clientCIDR: '0.0.0.0/0', serverAddress: '172.18.0.3:6443' }];
  await has('172.18.0.2 6443', '172.18.0.3 6443', 'fd00::2 6443');
});

test('20,000 endpoints: a change of one slice decodes that slice alone', async (t) => {
  const fake = await FakeApiServer.start(t);
  const many = (index: number, last = 100): FakeObject => ({
    metadata: { name: `s${index}`, namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    endpoints: Array.from({ length: last }, (_, host) => ({ addresses: [`10.0.${index}.${host + 1}`] })),
    ports: [{ name: '', port: 8080 }],
  });
  for (let index = 0; index < 200; index++) fake.put(SLICES, many(index));
  const watched = new Watched(t, fake);
  const first = await watched.start();
  fake.put(SLICES, many(7, 99));
  const second = await watched.until((set) => set !== first);
  const changed = [...second.endpointSlices].filter(([key, entry]) => first.endpointSlices.get(key) !== entry).map(([key]) => key);
  assert.deepEqual(changed, ['shop/s7']);
  assert.equal(watched.source.states.find(({ resource }) => resource === 'endpointslices')?.events, 201);
});
