/** A translation that builds on the one before comes to the same as one that does not, whatever changed in between. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import type { ResourceSet } from '../resources/resource-set.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { buildSet, type Manifest } from './testdata/build-set.ts';
import { type TranslateOptions, type TranslateResult, translate } from './translate.ts';

const options: TranslateOptions = { ingressClass: 'tidegate', allowExternalName: false, allowLoopbackEndpoints: true };

const backend = (name: string, port: number | string) => ({ service: { name, port: typeof port === 'number' ? { number: port } : { name: port } } });

/** Few of everything, so that objects meet: the same hosts and paths, Services that come and go. The same text is the same object. */
const pool = new Map<string, Manifest>();
function kept(manifest: Manifest): Manifest {
  const text = JSON.stringify(manifest);
  const known = pool.get(text);
  if (known !== undefined) return known;
  pool.set(text, manifest);
  return manifest;
}

const path = fc.record({
  path: fc.constantFrom('/', '/a', '/a/b', '/%2f'),
  pathType: fc.constantFrom('Prefix', 'ImplementationSpecific'),
  backend: fc.oneof(
    { weight: 8, arbitrary: fc.tuple(fc.constantFrom('one', 'two'), fc.constantFrom(80, 'http', 81)).map(([name, port]) => backend(name, port)) },
    { weight: 1, arbitrary: fc.constant({ resource: { kind: 'Bucket', name: 'b' } }) },
  ),
});
const rule = fc.record(
  { host: fc.constantFrom('x.test', 'y.test', '*.test'), http: fc.record({ paths: fc.array(path, { minLength: 1, maxLength: 2 }) }) },
  { requiredKeys: [] },
);
const ingress = fc
  .record({
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    second: fc.constantFrom('00', '01'),
    annotations: fc.constantFrom(
      {},
      {},
      { 'nginx.ingress.kubernetes.io/auth-url': 'x' },
      { 'nginx.ingress.kubernetes.io/ssl-redirect': 'maybe' },
      { 'nginx.ingress.kubernetes.io/affinity': 'cookie' },
      { 'nginx.ingress.kubernetes.io/canary': 'true', 'nginx.ingress.kubernetes.io/canary-weight': '10' },
      { 'nginx.ingress.kubernetes.io/canary': 'true', 'nginx.ingress.kubernetes.io/canary-by-header': 'x' },
    ),
    ingressClassName: fc.constantFrom('tidegate', 'tidegate', 'tidegate', 'other', undefined),
    rules: fc.array(rule, { maxLength: 2 }),
    defaultBackend: fc.constantFrom(undefined, undefined, backend('one', 80), backend('two', 80)),
    tls: fc.constantFrom(undefined, undefined, [{ secretName: 'missing' }]),
  })
  .map(({ name, second, annotations, ...spec }) =>
    kept({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'Ingress',
      metadata: { name, annotations, creationTimestamp: `2026-01-01T00:00:${second}Z` },
      spec: JSON.parse(JSON.stringify(spec)),
    }),
  );
const service = fc
  .tuple(
    fc.constantFrom('one', 'two'),
    fc.constantFrom([{ name: 'http', port: 80 }], [{ port: 80 }], [{ name: 'http', port: 81 }], [{ name: 'http', port: 80, appProtocol: 'grpc' }]),
  )
  .map(([name, ports]) => kept({ apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { ports } }));
const slice = fc.tuple(fc.constantFrom('one', 'two'), fc.constantFrom('10.0.0.1', '10.0.0.2'), fc.constantFrom('http', '')).map(([name, address, port]) =>
  kept({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: port, port: 8080 }],
    endpoints: [{ addresses: [address] }],
  }),
);
const policy = fc.constantFrom('a', 'b').map((name) =>
  kept({
    apiVersion: 'tidegate.dev/v1alpha1',
    kind: 'RateLimitPolicy',
    metadata: { name: 'limit' },
    spec: { targetRefs: [{ group: 'networking.k8s.io', kind: 'Ingress', name }], limits: [{ requests: 5, period: '1s' }] },
  }),
);
/** Everything has its place, and stays the very same entry as long as nobody changes what is there. */
const PLACES = [ingress, ingress, ingress, ingress, service, service, slice, slice, policy];
const change = fc
  .integer({ min: 0, max: PLACES.length - 1 })
  .chain((place) =>
    fc.option((PLACES[place] as fc.Arbitrary<Manifest>).map((manifest) => ({ place, manifest }))).map((filled) => filled ?? { place, manifest: undefined }),
  );
const start = fc.tuple(...PLACES);

/** Stands where nothing is. */
function nothing(place: number): Manifest {
  return kept({ apiVersion: 'v1', kind: 'Service', metadata: { name: `nothing-${place}` }, spec: { ports: [{ port: 80 }] } });
}

/** As sources do it: the map of a kind of which nothing changed stays the very same one. */
function keepMaps(before: ResourceSet | undefined, after: ResourceSet): ResourceSet {
  if (before === undefined) return after;
  const kept = Object.entries(after).map(([field, part]) => [
    field,
    isSameMap(before[field as keyof ResourceSet], part) ? before[field as keyof ResourceSet] : part,
  ]);
  return Object.fromEntries(kept) as ResourceSet;
}

function isSameMap(one: unknown, other: unknown): boolean {
  if (!(one instanceof Map && other instanceof Map)) return Array.isArray(one) && one.length === 0;
  return one.size === other.size && [...one].every(([key, value]) => other.get(key) === value);
}

/** How often a translation took routes from the one before, and how often it looked at edited objects alone. */
interface Spared {
  repeated: number;
  edited: number;
}

interface Change {
  readonly place: number;
  /** Undefined: it goes. */
  readonly manifest: Manifest | undefined;
}

/** Ranks as places, which they need not be after edits; they rise all the same. */
function inPlaces(snapshot: Snapshot): Snapshot {
  const { routes } = snapshot;
  assert.ok(routes.every(({ rank }, place) => place === 0 || rank > (routes[place - 1]?.rank ?? 0)));
  return { ...snapshot, routes: routes.map((route, rank) => ({ ...route, rank })), endpoints: new Map(snapshot.endpoints) };
}

/** Translates what is there after some changes each time, with the result before and without. @param objects by place */
function compareAfterEach(objects: Manifest[], changes: readonly (readonly Change[])[], spared: Spared): void {
  let previous: TranslateResult | undefined;
  for (const some of [[], ...changes]) {
    for (const { place, manifest } of some) objects[place] = manifest ?? nothing(place);
    const set = keepMaps(previous?.editBasis.set, buildSet(objects));
    const next = translate(set, options, previous);
    const { snapshot, statuses, problems, otherProblems } = translate(set, options);
    assert.deepEqual(inPlaces(next.snapshot), inPlaces(snapshot));
    assert.deepEqual(next.statuses, statuses);
    assert.deepEqual(next.problems, problems);
    assert.deepEqual(next.otherProblems, otherProblems);
    const before = new Set(previous?.snapshot.routes.map(({ matches }) => matches));
    spared.repeated += next.snapshot.routes.filter(({ matches }) => before.has(matches)).length;
    if (next.otherProblems === previous?.otherProblems) spared.edited++;
    previous = next;
  }
}

test('with the result before, and without', () => {
  const spared: Spared = { repeated: 0, edited: 0 };
  fc.assert(
    fc.property(start, fc.array(change, { minLength: 1, maxLength: 6 }), (first, changes) =>
      compareAfterEach(
        [...first],
        changes.map((one) => [one]),
        spared,
      ),
    ),
    { numRuns: 300 },
  );
  // By chance: most of the 300 change something that all routes depend on.
  assert.ok(spared.repeated > 5, `${spared.repeated} routes were taken from the result before`);
});

/** Ingresses as most are: each with a name and an age of its own, and few that get in each other's way. */
const plainIngress = (place: number): fc.Arbitrary<Manifest> =>
  fc
    .record({
      hosts: fc.uniqueArray(
        fc.oneof({ weight: 12, arbitrary: fc.constantFrom(`${place}.test`, `also-${place}.test`) }, { weight: 1, arbitrary: fc.constant('x.test') }),
        {
          minLength: 1,
          maxLength: 2,
        },
      ),
      path: fc.constantFrom('/', '/a', '/a', '/b'),
      service: fc.constantFrom('one', 'one', 'two'),
      annotations: fc.oneof(
        { weight: 30, arbitrary: fc.constantFrom({}, { 'nginx.ingress.kubernetes.io/proxy-body-size': '8m' }) },
        { weight: 1, arbitrary: fc.constant({ 'nginx.ingress.kubernetes.io/canary': 'true' }) },
      ),
      tls: fc.constantFrom(undefined, undefined, undefined, [{ hosts: ['x.test'] }], [{ secretName: 'missing' }]),
      generation: fc.constantFrom(1, 2),
    })
    .map(({ hosts, path: written, service: name, annotations, tls, generation }) => {
      const rules = hosts.map((host) => ({ host, http: { paths: [{ path: written, pathType: 'Prefix', backend: backend(name, 80) }] } }));
      const spec = JSON.parse(JSON.stringify({ ingressClassName: 'tidegate', rules, tls }));
      return kept({ apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata: { name: `i${place}`, annotations, generation }, spec });
    });

/** ApiRoutes likewise. */
const plainRoute = (place: number): fc.Arbitrary<Manifest> =>
  fc
    .record({
      hostnames: fc.subarray([`r${place}.test`, `also-r${place}.test`], { minLength: 1 }),
      common: fc.oneof({ weight: 12, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.constant(['x.test']) }),
      rules: fc.array(
        fc.record({
          paths: fc.constantFrom(['a'], ['a'], ['b', 'c']),
          methods: fc.constantFrom([], ['GET']),
          filters: fc.oneof(
            { weight: 8, arbitrary: fc.constantFrom({}, {}, { cors: { allowOrigins: ['https://x.test'] } }) },
            {
              weight: 2,
              arbitrary: fc.constantFrom(
                { mirror: { backendRef: { name: 'two', port: 80 } } },
                { aggregate: { calls: [{ name: 'c', backendRef: { name: 'two', port: 80 }, request: { path: "'/'" } }], response: { body: "'x'" } } },
              ),
            },
          ),
          fallback: fc.constantFrom(undefined, undefined, undefined, { backendRef: { name: 'two', port: 80 } }),
          backend: fc.constantFrom('one', 'one', 'one', 'two'),
        }),
        { minLength: 1, maxLength: 3 },
      ),
      ingressClassName: fc.oneof({ weight: 20, arbitrary: fc.constant('tidegate') }, { weight: 2, arbitrary: fc.constant('other') }),
      tls: fc.oneof(
        { weight: 20, arbitrary: fc.constantFrom(undefined, { redirect: true }) },
        {
          weight: 1,
          arbitrary: fc.constantFrom({ secretName: 'missing' }, { clientValidation: { caCertificateRefs: [{ kind: 'ConfigMap', name: 'missing' }] } }),
        },
      ),
      generation: fc.constantFrom(1, 2),
    })
    .map(({ hostnames, common, rules, ingressClassName, tls, generation }) => {
      const written = rules.map(({ paths, methods, filters, fallback, backend: name }, index) => ({
        ...{ name: `rule-${index}`, matches: paths.map((one) => ({ path: { value: `/${index}/${one}` }, methods })), filters },
        ...('aggregate' in filters ? {} : { backendRefs: [{ name, port: 80 }], fallback }),
      }));
      const spec = JSON.parse(JSON.stringify({ ingressClassName, hostnames: [...hostnames, ...common], tls, rules: written }));
      return kept({ apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata: { name: `r${place}`, generation }, spec });
    });

const PLAIN = [...Array.from({ length: 6 }, (_, place) => plainIngress(place)), ...Array.from({ length: 6 }, (_, place) => plainRoute(6 + place))];
const SERVICES = ['one', 'two'].map((name) => kept({ apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { ports: [{ name: 'http', port: 80 }] } }));
/** Some of them are targets, of a rule and as a whole. */
const POLICIES = [
  kept({
    apiVersion: 'tidegate.dev/v1alpha1',
    kind: 'RateLimitPolicy',
    metadata: { name: 'limit' },
    spec: {
      targetRefs: [
        { group: 'tidegate.dev', kind: 'ApiRoute', name: 'r7', sectionName: 'rule-1' },
        { group: 'networking.k8s.io', kind: 'Ingress', name: 'i1' },
      ],
      limits: [{ requests: 5, period: '1s' }],
    },
  }),
  kept({
    apiVersion: 'tidegate.dev/v1alpha1',
    kind: 'AuthPolicy',
    metadata: { name: 'auth' },
    spec: { targetRefs: [{ group: 'tidegate.dev', kind: 'ApiRoute', name: 'r8' }], methods: [{ apiKey: { from: [{ header: 'x-api-key' }] } }] },
  }),
];
const OTHERS = [...SERVICES, ...POLICIES];
const edit = fc
  .integer({ min: 0, max: PLAIN.length - 1 })
  .chain((place) => fc.option(PLAIN[place] as fc.Arbitrary<Manifest>, { freq: 8 }).map((manifest) => ({ place, manifest: manifest ?? undefined })));

const sliceEdit = slice.map((manifest) => ({ place: PLAIN.length + OTHERS.length, manifest }));
const edits = fc.array(fc.oneof({ weight: 6, arbitrary: edit }, { weight: 1, arbitrary: sliceEdit }), { minLength: 1, maxLength: 3 });

test('edited Ingresses and ApiRoutes among others', () => {
  const spared: Spared = { repeated: 0, edited: 0 };
  fc.assert(
    fc.property(fc.tuple(...PLAIN), fc.array(edits, { minLength: 1, maxLength: 8 }), (first, changes) =>
      compareAfterEach([...first, ...OTHERS, nothing(PLAIN.length + OTHERS.length)], changes, spared),
    ),
    { numRuns: 250 },
  );
  assert.ok(spared.edited > 50, `${spared.edited} translations looked at edited objects alone`);
});
