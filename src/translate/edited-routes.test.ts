/** Edits of one object: which are looked at by themselves, and which touch more and are not. Either way it comes to what a whole translation does. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Authority } from '../../test/certificates/authority.ts';
import type { ResourceSet } from '../resources/resource-set.ts';
import { buildSet, type Manifest } from './testdata/build-set.ts';
import { type TranslateOptions, type TranslateResult, translate } from './translate.ts';

const options: TranslateOptions = { ingressClass: 'tidegate', allowExternalName: false, allowLoopbackEndpoints: true };

const service = (name: string): Manifest => ({ apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { ports: [{ name: 'http', port: 80 }] } });
const to = (name: string) => ({ name, port: 80 });
const at = (value: string, more: object = {}) => ({ matches: [{ path: { value } }], backendRefs: [to('web')], ...more });

function route(name: string, rules: readonly object[], more: object = {}): Manifest {
  const spec = { ingressClassName: 'tidegate', hostnames: [`${name}.test`], rules, ...more };
  return { apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata: { name }, spec };
}

function ingress(name: string, paths: readonly string[], annotations: object = {}, more: object = {}): Manifest {
  const written = paths.map((path) => ({ path, pathType: 'Prefix', backend: { service: { name: 'web', port: { number: 80 } } } }));
  const rules = [{ host: `${name}.test`, http: { paths: written } }];
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name, annotations },
    spec: { ingressClassName: 'tidegate', rules, ...more },
  };
}

function policy(kind: 'RateLimitPolicy' | 'AuthPolicy', target: object, spec: object): Manifest {
  const targetRefs = [{ group: 'tidegate.dev', kind: 'ApiRoute', ...target }];
  return { apiVersion: 'tidegate.dev/v1alpha1', kind, metadata: { name: kind.toLowerCase() }, spec: { targetRefs, ...spec } };
}

const { cert, key } = new Authority('Root').issue({ names: ['edited.test', 'other.test'] });
const secret: Manifest = {
  ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'pair' }, type: 'kubernetes.io/tls' },
  stringData: { 'tls.crt': cert, 'tls.key': key },
};
const authorities: Manifest = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'ca' }, data: { 'ca.crt': cert } };

const limits = { limits: [{ requests: 5, period: '1s' }] };
const others = [
  ...['web', 'aside'].map(service),
  secret,
  authorities,
  policy('RateLimitPolicy', { name: 'limited', sectionName: 'one' }, limits),
  policy('AuthPolicy', { name: 'guarded' }, { methods: [{ apiKey: { from: [{ header: 'x-api-key' }] } }] }),
  route('first', [at('/')]),
];
const last = [ingress('last', ['/', '/a']), route('very-last', [at('/')])];

/** As sources do it: the maps of other kinds stay. */
function editedSet(first: ResourceSet, second: ResourceSet): ResourceSet {
  return { ...first, ingresses: second.ingresses, apiRoutes: second.apiRoutes };
}

function said({ snapshot, statuses, problems }: TranslateResult): unknown {
  const { routes } = snapshot;
  assert.ok(routes.every(({ rank }, place) => place === 0 || rank > (routes[place - 1]?.rank ?? 0)));
  return { snapshot: { ...snapshot, routes: routes.map((one, rank) => ({ ...one, rank })), endpoints: new Map(snapshot.endpoints) }, statuses, problems };
}

/** Translates one set after the other. @returns of each but the first whether its edits were looked at by themselves */
function sparedSets(sets: readonly ResourceSet[]): boolean[] {
  const first = sets[0] as ResourceSet;
  let previous: TranslateResult | undefined;
  return sets.flatMap((one) => {
    const set = editedSet(first, one);
    const next = translate(set, options, previous);
    assert.deepEqual(said(next), said(translate(set, options)));
    const isSpared = next.otherProblems === previous?.otherProblems;
    const isFirst = previous === undefined;
    previous = next;
    return isFirst ? [] : [isSpared];
  });
}

/** The same with each of the versions of one object in turn, undefined where it is gone. */
function spared(...versions: readonly (Manifest | undefined)[]): boolean[] {
  return sparedSets(versions.map((manifest) => buildSet([...others, manifest ?? service('nothing'), ...last])));
}

const plain = route('edited', [at('/')]);

describe('looked at by themselves', () => {
  for (const [name, ...versions] of [
    [
      'an ApiRoute: filters, matches, more rules and fewer',
      plain,
      route('edited', [at('/', { timeouts: { request: '1s' } })]),
      route('edited', [at('/a')]),
      route('edited', [at('/a'), at('/b'), at('/c')]),
      route('edited', [at('/b')]),
      route('edited', [at('/b'), at('/a')]),
    ],
    [
      'an Ingress: sizes, paths, more of them and fewer',
      ingress('edited', ['/']),
      ingress('edited', ['/'], { 'nginx.ingress.kubernetes.io/proxy-body-size': '2m' }),
      ingress('edited', ['/a', '/b', '/c']),
      ingress('edited', ['/c']),
      ingress('edited', ['/', '/c']),
    ],
    ['an ApiRoute that goes', plain, undefined],
    ['an Ingress that goes', ingress('edited', ['/']), undefined],
    [
      'one of another class, whatever becomes of it',
      route('edited', [at('/')], { ingressClassName: 'other' }),
      route('edited', [at('/x')], { ingressClassName: 'other' }),
      undefined,
      route('edited', [at('/')], { ingressClassName: 'other' }),
    ],
    [
      'an Ingress of another class',
      ingress('edited', ['/'], {}, { ingressClassName: 'other' }),
      ingress('edited', ['/x'], {}, { ingressClassName: 'other' }),
      undefined,
    ],
    [
      'one whose certificate and host stay',
      route('edited', [at('/')], { tls: { secretName: 'pair' } }),
      route('edited', [at('/a')], { tls: { secretName: 'pair' } }),
    ],
    [
      'a target whose rules, hosts and paths stay',
      route('limited', [at('/', { name: 'one' })]),
      route('limited', [at('/', { name: 'one', timeouts: { request: '1s' } })]),
    ],
    ['a target that is guarded', route('guarded', [at('/', { name: 'one' })]), route('guarded', [at('/', { name: 'one', timeouts: { request: '1s' } })])],
    [
      'Services that others lead to, too',
      plain,
      route('edited', [at('/', { filters: { mirror: { backendRef: to('web') } }, fallback: { backendRef: to('web') } })]),
      plain,
    ],
  ] as const) {
    test(name, () =>
      assert.deepEqual(
        spared(...versions),
        versions.slice(1).map(() => true),
      ),
    );
  }
});

describe('not by themselves', () => {
  const mirrored = route('edited', [at('/', { filters: { mirror: { backendRef: to('aside') } } })]);
  const falling = route('edited', [at('/', { fallback: { backendRef: to('aside') } })]);
  const call = { name: 'c', backendRef: to('aside'), request: { path: "'/'" } };
  const calling = route('edited', [{ filters: { aggregate: { calls: [call], response: { body: "'x'" } } } }]);
  const validation = { clientValidation: { caCertificateRefs: [{ kind: 'ConfigMap', name: 'ca' }] } };
  for (const [name, ...versions] of [
    ['a Service that a mirror alone leads to', plain, mirrored, plain],
    ['a Service that a fallback alone leads to', plain, falling, plain],
    ['a Service that a call alone leads to', plain, calling, plain],
    ['a Service that a backendRef alone leads to', plain, route('edited', [at('/', { backendRefs: [to('aside')] })]), plain],
    ['a certificate that comes and goes', plain, route('edited', [at('/')], { tls: { secretName: 'pair' } }), plain],
    [
      'hosts of a certificate',
      route('edited', [at('/')], { tls: { secretName: 'pair' } }),
      route('edited', [at('/')], { hostnames: ['other.test'], tls: { secretName: 'pair' } }),
    ],
    ['client certificates', plain, route('edited', [at('/')], { tls: validation }), plain],
    ['TLS that is passed through', plain, route('edited', [{ backendRefs: [to('web')] }], { tls: { mode: 'Passthrough' } }), plain],
    ['a rule that a policy names', route('limited', [at('/', { name: 'one' })]), route('limited', [at('/', { name: 'two' })]), undefined],
    ['a class that becomes ours', route('edited', [at('/')], { ingressClassName: 'other' }), plain],
    ['a path that another one has, too', plain, route('edited', [at('/')], { hostnames: ['edited.test', 'first.test'] }), plain],
    ['one that is nothing good', plain, route('edited', [at('(')]), plain],
    ['a canary', ingress('edited', ['/']), ingress('edited', ['/'], { 'nginx.ingress.kubernetes.io/canary': 'true' }), ingress('edited', ['/'])],
    [
      'how a Service is spoken to',
      ingress('edited', ['/']),
      ingress('edited', ['/'], { 'nginx.ingress.kubernetes.io/backend-protocol': 'GRPC' }),
      ingress('edited', ['/']),
    ],
    ['one that comes, and is not the youngest', undefined, plain],
  ] as const) {
    test(name, () =>
      assert.deepEqual(
        spared(...versions),
        versions.slice(1).map(() => false),
      ),
    );
  }
});

test('one that comes after the youngest went is looked at by itself, though it is of the same second and before it by its name', () => {
  const added = [[ingress('z', ['/'])], [], [ingress('a', ['/'])]];
  assert.deepEqual(sparedSets(added.map((more) => buildSet([...others, ...last, ...more]))), [true, true]);
});
