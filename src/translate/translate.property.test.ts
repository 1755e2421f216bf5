/** What holds for every set of objects, drawn from a small world so that names, hosts and paths meet. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import type { ResourceSet } from '../resources/resource-set.ts';
import { buildSet, type Manifest } from './testdata/build-set.ts';
import { goldenCases } from './testdata/golden-case.ts';
import { type TranslateOptions, type TranslateResult, translate, translateEndpoints } from './translate.ts';

const SERVICES = ['s0', 's1', 's2'];
const HOSTS = ['a.example.com', 'b.example.com', '*.example.com'];
const PATHS = ['/', '/x', '/x/', '/x/y', '/caf\u00e9', '/a?b'];

const options: fc.Arbitrary<TranslateOptions> = fc.record({
  ingressClass: fc.constantFrom('tidegate', 'tidegate', 'edge'),
  allowExternalName: fc.boolean(),
  allowLoopbackEndpoints: fc.boolean(),
});

/** Mostly the same one, or hardly anything would find anything. */
const namespace = fc.oneof({ weight: 9, arbitrary: fc.constant('shop') }, { weight: 1, arbitrary: fc.constant('other') });

const maybe = <T>(field: string, value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined }).map((one) => (one === undefined ? {} : { [field]: one }));
const merged = (...parts: fc.Arbitrary<object>[]) => fc.tuple(...parts).map((list) => Object.assign({}, ...list) as Record<string, unknown>);
const metadata = (names: readonly string[], more: fc.Arbitrary<object> = fc.constant({})) =>
  merged(fc.record({ name: fc.constantFrom(...names), namespace: namespace }), maybe('generation', fc.nat(9)), more);
const port = fc.constantFrom<number | string>(80, 81, 'http', 9);

const service = fc.record({
  apiVersion: fc.constant('v1'),
  kind: fc.constant('Service'),
  metadata: metadata(SERVICES),
  spec: fc.constantFrom<object>(
    { ports: [{ name: 'http', port: 80 }] },
    { ports: [{ port: 80, appProtocol: 'grpc' }] },
    {
      ports: [
        { name: 'http', port: 80 },
        { name: 'udp', port: 80, protocol: 'UDP' },
        { name: 'admin', port: 81 },
      ],
    },
    { type: 'ExternalName', externalName: 'web.example.net' },
    { type: 'ExternalName', externalName: 'localhost', ports: [{ port: 80 }] },
    { ports: [{ port: 0 }] },
  ),
});

const slice = fc
  .record({
    name: fc.constantFrom('e0', 'e1', 'e2', 'e3', 'e4'),
    namespace: namespace,
    service: fc.constantFrom('s0', 's0', 's1', 's1', 's2', undefined),
    type: fc.constantFrom('IPv4', 'IPv4', 'IPv4', 'IPv6', 'FQDN'),
    ports: fc.uniqueArray(fc.record({ name: fc.constantFrom('', 'http', 'admin'), port: fc.constantFrom(8080, 8081) }), {
      selector: ({ name }) => name,
      minLength: 1,
      maxLength: 3,
    }),
    endpoints: fc.array(
      fc.record({
        last: fc.nat(3),
        conditions: fc.record({ ready: fc.boolean(), serving: fc.boolean(), terminating: fc.boolean() }),
        zone: fc.constantFrom('a', 'b'),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  })
  .map(({ name, namespace, service, type, ports, endpoints }) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace, labels: service === undefined ? {} : { 'kubernetes.io/service-name': service } },
    addressType: type,
    ports,
    endpoints: endpoints.map(({ last, conditions, zone }) => ({
      addresses: [type === 'IPv6' ? `2001:db8::${last}` : last === 0 ? '127.0.0.1' : `10.0.0.${last}`],
      conditions,
      zone,
    })),
  }));

const ingressBackend = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .tuple(fc.constantFrom(...SERVICES, 'gone'), port)
      .map(([name, one]) => ({ service: { name, port: typeof one === 'number' ? { number: one } : { name: one } } })),
  },
  { weight: 1, arbitrary: fc.constant({ resource: { kind: 'Bucket', name: 'b' } }) },
);
const ingress = fc.record({
  apiVersion: fc.constant('networking.k8s.io/v1'),
  kind: fc.constant('Ingress'),
  metadata: metadata(
    ['i0', 'i1', 'i2', 'i3'],
    maybe(
      'annotations',
      fc.dictionary(
        fc.constantFrom('nginx.ingress.kubernetes.io/ssl-redirect', 'nginx.ingress.kubernetes.io/proxy-body-size', 'nginx.ingress.kubernetes.io/use-regex'),
        fc.constantFrom('true', 'false', '8m'),
      ),
    ),
  ),
  spec: merged(
    fc.constantFrom({ ingressClassName: 'tidegate' }, { ingressClassName: 'tidegate' }, { ingressClassName: 'edge' }, {}),
    maybe('defaultBackend', ingressBackend),
    maybe(
      'tls',
      fc.array(merged(maybe('hosts', fc.array(fc.constantFrom(...HOSTS), { maxLength: 2 })), maybe('secretName', fc.constantFrom('gone', 'plain'))), {
        maxLength: 2,
      }),
    ),
    maybe(
      'rules',
      fc.array(
        merged(
          maybe('host', fc.constantFrom(...HOSTS)),
          maybe(
            'http',
            fc.record({
              paths: fc.array(
                fc.record({ path: fc.constantFrom(...PATHS), pathType: fc.constantFrom('Exact', 'Prefix', 'ImplementationSpecific'), backend: ingressBackend }),
                { minLength: 1, maxLength: 3 },
              ),
            }),
          ),
        ),
        { maxLength: 3 },
      ),
    ),
  ),
});

const match = merged(
  maybe('path', fc.record({ type: fc.constantFrom('Exact', 'PathPrefix', 'RegularExpression'), value: fc.constantFrom(...PATHS) })),
  maybe('methods', fc.subarray(['GET', 'POST'])),
  maybe('headers', fc.constantFrom([{ name: 'x-a', value: '1' }], [{ name: 'x-a', type: 'Present' }])),
);
const apiRoute = fc.record({
  apiVersion: fc.constant('tidegate.dev/v1alpha1'),
  kind: fc.constant('ApiRoute'),
  metadata: metadata(['r0', 'r1', 'r2', 'r3']),
  spec: merged(
    maybe('ingressClassName', fc.constantFrom('tidegate', 'tidegate', 'edge')),
    maybe('hostnames', fc.subarray(HOSTS)),
    maybe('tls', fc.record({ secretName: fc.constantFrom('gone', 'plain'), redirect: fc.boolean() })),
    fc.record({
      rules: fc.array(
        merged(
          maybe('name', fc.constantFrom('one', 'two', 'three')),
          maybe('matches', fc.array(match, { maxLength: 3 })),
          maybe(
            'backendRefs',
            fc.array(
              merged(fc.record({ name: fc.constantFrom(...SERVICES, 'gone'), port, weight: fc.nat(3) }), maybe('namespace', fc.constantFrom('shop', 'other'))),
              { maxLength: 3 },
            ),
          ),
        ),
        { minLength: 0, maxLength: 3 },
      ),
    }),
  ),
});

const limit = merged(
  fc.record({ requests: fc.constantFrom(0, 1, 2, 3, 4, 5), period: fc.constantFrom('1s', '1m') }),
  maybe('name', fc.constantFrom('per-client', 'p0', 'p1-2')),
  maybe('key', fc.constantFrom([{ type: 'ClientIP' }], [{ type: 'Header', name: 'X-A' }])),
);
const rateLimitPolicy = fc.record({
  apiVersion: fc.constant('tidegate.dev/v1alpha1'),
  kind: fc.constant('RateLimitPolicy'),
  metadata: metadata(['p0', 'p1', 'p2', 'p3']),
  spec: fc.record({
    targetRefs: fc.array(
      merged(
        fc.constantFrom({ kind: 'ApiRoute', name: 'r0' }, { kind: 'ApiRoute', name: 'r1' }, { kind: 'Ingress', name: 'i0' }),
        maybe('sectionName', fc.constantFrom('one', '0', 'gone')),
      ),
      { minLength: 1, maxLength: 3 },
    ),
    limits: fc.array(limit, { minLength: 1, maxLength: 3 }),
  }),
});
const backendPolicy = fc.record({
  apiVersion: fc.constant('tidegate.dev/v1alpha1'),
  kind: fc.constant('BackendPolicy'),
  metadata: metadata(['b0', 'b1', 'b2']),
  spec: fc.record({
    targetRefs: fc.array(
      merged(fc.record({ kind: fc.constant('Service'), name: fc.constantFrom(...SERVICES, 'gone') }), maybe('sectionName', fc.constantFrom('http', 'gone'))),
      {
        minLength: 1,
        maxLength: 2,
      },
    ),
    loadBalancer: fc.record({ type: fc.constantFrom('Random', 'LeastRequest', 'Bad') }),
  }),
});
const ingressClass = fc.record({
  apiVersion: fc.constant('networking.k8s.io/v1'),
  kind: fc.constant('IngressClass'),
  metadata: merged(
    fc.record({ name: fc.constantFrom('tidegate', 'edge', 'nginx') }),
    maybe('annotations', fc.constant({ 'ingressclass.kubernetes.io/is-default-class': 'true' })),
  ),
  spec: fc.record({ controller: fc.constantFrom('tidegate.dev/ingress-controller', 'example.com/other') }),
});
const secret = fc.record({ apiVersion: fc.constant('v1'), kind: fc.constant('Secret'), metadata: metadata(['plain']) });

/** What is there in every set, so that what is drawn has something to meet. */
const base: readonly Manifest[] = [
  { apiVersion: 'v1', kind: 'Service', metadata: { name: 's0', namespace: 'shop' }, spec: { ports: [{ name: 'http', port: 80 }] } },
  { apiVersion: 'v1', kind: 'Service', metadata: { name: 's1', namespace: 'shop' }, spec: { ports: [{ port: 80 }] } },
  {
    apiVersion: 'tidegate.dev/v1alpha1',
    kind: 'ApiRoute',
    metadata: { name: 'r0', namespace: 'shop' },
    spec: {
      ingressClassName: 'tidegate',
      rules: [
        { name: 'one', backendRefs: [{ name: 's0', port: 80 }] },
        { name: 'two', matches: [{ path: { value: '/x' } }], backendRefs: [{ name: 's1', port: 80 }] },
      ],
    },
  },
];

const manifests: fc.Arbitrary<Manifest[]> = fc
  .tuple(
    fc.subarray([...base], { minLength: 1 }),
    fc.array(service, { maxLength: 3 }),
    fc.array(slice, { minLength: 3, maxLength: 8 }),
    fc.array(ingress, { maxLength: 4 }),
    fc.array(apiRoute, { maxLength: 4 }),
    fc.array(rateLimitPolicy, { minLength: 1, maxLength: 4 }),
    fc.array(backendPolicy, { maxLength: 3 }),
    fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(ingressClass, { maxLength: 2 }) }),
    fc.array(secret, { maxLength: 1 }),
  )
  .chain((kinds) => fc.shuffledSubarray(kinds.flat() as Manifest[], { minLength: kinds.flat().length }));

/** What the result says; the rest of it is for later translations. */
function said({ snapshot, statuses, problems }: TranslateResult): unknown {
  // What a layered map holds is nothing that a comparison sees.
  return { snapshot: { ...snapshot, endpoints: new Map(snapshot.endpoints) }, statuses, problems };
}

/** Maps can't be frozen; what they hold can. */
function deepFreeze(value: unknown): void {
  if (value instanceof Map) for (const one of value.values()) deepFreeze(one);
  else if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const one of Object.values(value)) deepFreeze(one);
  }
}

test('the order in which objects came into the maps changes nothing, nor is any object changed', () => {
  fc.assert(
    fc.property(
      manifests.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray([...list.keys()], { minLength: list.length }))),
      options,
      ([list, order], given) => {
        const set = buildSet(list);
        deepFreeze(set);
        const result = translate(set, given);
        const shuffled = translate(buildSet(list, order), given);
        assert.deepStrictEqual(said(shuffled), said(result));
        // Maps compare equal in any order, and what is shown or sent should not depend on it either.
        assert.deepStrictEqual([...shuffled.snapshot.upstreams.keys()], [...result.snapshot.upstreams.keys()]);
        assert.deepStrictEqual([...shuffled.snapshot.endpoints.keys()], [...result.snapshot.endpoints.keys()]);
      },
    ),
    { numRuns: 300 },
  );
});

test('golden sets translate the same in reverse order', () => {
  for (const { name, options: given, sets } of goldenCases()) {
    const set = sets.at(-1) as ResourceSet;
    const reversed = Object.fromEntries(
      Object.entries(set).map(([field, part]) => [field, part instanceof Map ? new Map([...part].reverse()) : part]),
    ) as unknown as ResourceSet;
    assert.deepStrictEqual(said(translate(reversed, given)), said(translate(set, given)), name);
  }
});

test('a snapshot holds together', () => {
  fc.assert(
    fc.property(manifests, options, (list, given) => {
      const set = buildSet(list);
      const { snapshot, statuses, problems } = translate(set, given);
      assert.deepStrictEqual(
        snapshot.routes.map((route) => route.rank),
        [...snapshot.routes.keys()],
      );
      assert.equal(new Set(snapshot.routes.map((route) => route.id)).size, snapshot.routes.length);
      assert.deepStrictEqual([...snapshot.endpoints.keys()], [...snapshot.upstreams.keys()]);
      for (const { matches, hosts, backends, filters } of snapshot.routes) {
        assert.ok(matches.length > 0 && hosts.length > 0);
        for (const { upstream, unresolvedStatus } of backends) {
          assert.ok((upstream === undefined) !== (unresolvedStatus === undefined));
          if (upstream !== undefined) assert.ok(snapshot.upstreams.has(upstream));
        }
        const limits = filters.rateLimit ?? [];
        assert.equal(new Set(limits.map(({ name }) => name)).size, limits.length);
        assert.equal(new Set(limits.map(({ id }) => id)).size, limits.length);
      }
      for (const endpoints of snapshot.endpoints.values()) {
        const places = endpoints.map(({ address, port: number }) => `${address} ${number}`);
        assert.equal(new Set(places).size, places.length);
      }
      for (const { conditions } of statuses) assert.ok(conditions.every(({ status, reason, type }) => (status === 'True') === (reason === type)));
      for (const { problem } of problems) assert.ok(problem.message !== '' && problem.hint !== '' && !problem.message.includes('undefined'));
    }),
    { numRuns: 300 },
  );
});

test('after edits of slices, the endpoints alone are what a whole translation gives', () => {
  fc.assert(
    fc.property(manifests, fc.array(fc.array(slice, { minLength: 2, maxLength: 8 }), { minLength: 1, maxLength: 3 }), options, (list, edits, given) => {
      const others = list.filter(({ kind }) => kind !== 'EndpointSlice');
      const first = buildSet(list);
      let result = translate(first, given);
      for (const slices of edits) {
        const set = { ...first, endpointSlices: buildSet([...others, ...slices]).endpointSlices };
        const before = result.snapshot;
        const update = translateEndpoints(set, given, result);
        result = update.result;
        const whole = translate(set, given);
        assert.deepStrictEqual(said(result), said(whole));
        assert.deepStrictEqual(said(translate(set, given, result)), said(whole));
        const differing = [...whole.snapshot.endpoints].filter(([key, endpoints]) => JSON.stringify(endpoints) !== JSON.stringify(before.endpoints.get(key)));
        assert.deepStrictEqual(new Map(update.changes), new Map(differing));
        assert.equal(result.snapshot.routes, before.routes);
        assert.equal(result.snapshot.upstreams, before.upstreams);
      }
    }),
    { numRuns: 200 },
  );
});
