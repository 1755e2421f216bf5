import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import fc from '../../scripts/fast-check.ts';
import { MAX_PATTERNS_SIZE } from '../expressions/pattern-size.ts';
import { decode, judge } from './decode.ts';
import { fieldPath, parseFieldPath } from './field-path.ts';
import { BAD_AGGREGATES } from './testdata/bad-aggregates.ts';
import { BAD_AUTH } from './testdata/bad-auth.ts';
import { BAD_BODY_FILTERS } from './testdata/bad-body-filters.ts';
import { BAD_FILTERS } from './testdata/bad-filters.ts';
import { BAD_LOGINS } from './testdata/bad-logins.ts';
import { BAD_MATCHES } from './testdata/bad-matches.ts';
import { BAD_OBJECTS } from './testdata/bad-objects.ts';
import { BAD_OTHERS } from './testdata/bad-others.ts';
import { BAD_RETRIES } from './testdata/bad-retries.ts';
import { BAD_ROUTE_TLS } from './testdata/bad-route-tls.ts';
import { BAD_ROUTES } from './testdata/bad-routes.ts';
import { BAD_TOKENS } from './testdata/bad-tokens.ts';
import { backendPolicy, backendRefs, type Fields, limit, limitPolicy, metadata, path, route, service, slice } from './testdata/objects.ts';

describe('what is wrong with one object', () => {
  for (const [what, raw, field, message, hint] of [
    ...BAD_OBJECTS,
    ...BAD_ROUTES,
    ...BAD_ROUTE_TLS,
    ...BAD_MATCHES,
    ...BAD_FILTERS,
    ...BAD_RETRIES,
    ...BAD_AGGREGATES,
    ...BAD_BODY_FILTERS,
    ...BAD_LOGINS,
    ...BAD_TOKENS,
    ...BAD_OTHERS,
    ...BAD_AUTH,
  ]) {
    test(what, () => {
      const decoded = decode(raw);
      assert.ok(decoded, 'it is ours');
      assert.equal(decoded.object, undefined, 'it gives no object');
      assert.deepEqual(
        decoded.problems.map((problem) => problem.field),
        [field],
        JSON.stringify(decoded.problems),
      );
      const [problem] = decoded.problems;
      assert.equal(problem?.severity, 'error');
      assert.match(problem?.message ?? '', message);
      assert.match(problem?.hint ?? '', hint);
      assert.doesNotMatch(problem?.message ?? '', /[.\n]$|undefined/);
    });
  }
});

describe('what is none of ours is passed over', () => {
  for (const [apiVersion, kind] of [
    ['apps/v1', 'Deployment'],
    ['v1', 'Pod'],
    ['v1', 'Namespace'],
    ['v1', 'ServiceAccount'],
    ['v1', 'Endpoints'],
    ['networking.k8s.io/v1', 'NetworkPolicy'],
    ['serving.knative.dev/v1', 'Service'],
    ['kuadrant.io/v1', 'AuthPolicy'],
    ['kustomize.config.k8s.io/v1beta1', 'Kustomization'],
    ['gateway.networking.k8s.io/v1', 'HTTPRoute'],
  ]) {
    test(`${apiVersion} ${kind}`, () => assert.equal(decode({ apiVersion, kind, metadata, nonsense: true }), undefined));
  }
});

test('an empty list as Go writes it has no objects', () => {
  assert.equal(decode({ apiVersion: 'v1', kind: 'List', items: null }), undefined);
});

describe('normal form', () => {
  test('ApiRoute: defaults are filled, durations are milliseconds, header names in lower case', () => {
    const decoded = decode(
      route({
        hostnames: ['*.example.com'],
        tls: {},
        rules: [
          {
            matches: [{ headers: [{ name: 'X-Tenant', value: 'a' }], cookies: [{ name: 'C', type: 'Present' }] }],
            filters: { requestRedirect: {}, responseHeaderModifier: { remove: ['Server'] } },
            timeouts: { request: '1m30s', idle: '0s' },
          },
          { backendRefs },
        ],
      }),
    );
    assert.deepEqual(decoded?.problems, []);
    assert.deepEqual(decoded?.object, {
      apiVersion: 'tidegate.dev/v1alpha1',
      kind: 'ApiRoute',
      metadata: { name: 'x', namespace: 'shop', annotations: {}, labels: {} },
      spec: {
        hostnames: ['*.example.com'],
        tls: { redirect: false, mode: 'Terminate' },
        rules: [
          {
            matches: [
              {
                path: { type: 'PathPrefix', value: '/' },
                methods: [],
                headers: [{ name: 'x-tenant', type: 'Exact', value: 'a' }],
                queryParams: [],
                cookies: [{ name: 'C', type: 'Present', value: '' }],
                clientCIDRs: [],
              },
            ],
            filters: { requestRedirect: { statusCode: 302 }, responseHeaderModifier: { set: [], add: [], remove: ['server'] } },
            timeouts: { request: 90_000, idle: 0 },
            backendRefs: [],
          },
          {
            matches: [{ path: { type: 'PathPrefix', value: '/' }, methods: [], headers: [], queryParams: [], cookies: [], clientCIDRs: [] }],
            filters: {},
            timeouts: {},
            backendRefs: [{ name: 's', port: 80, weight: 1, backup: false, filters: {} }],
          },
        ],
      },
    });
  });

  test('RateLimitPolicy: burst by algorithm, group by kind', () => {
    const object = decode(
      limitPolicy({
        targetRefs: [{ kind: 'Ingress', name: 'i', sectionName: '0' }],
        limits: [
          { requests: 5, period: '1m', key: [{ type: 'Header', name: 'X-A' }] },
          { requests: 5, period: '1m', algorithm: 'LeakyBucket' },
          { name: 'quota', requests: 5, calendar: 'Month', algorithm: 'FixedWindow', mode: 'Shadow' },
        ],
      }),
    )?.object as { spec: unknown };
    assert.deepEqual(object.spec, {
      targetRefs: [{ group: 'networking.k8s.io', kind: 'Ingress', name: 'i', sectionName: '0' }],
      scope: 'Local',
      onStoreFailure: 'Allow',
      limits: [
        { algorithm: 'TokenBucket', requests: 5, period: 60_000, burst: 5, key: [{ type: 'Header', name: 'x-a' }], mode: 'Enforce' },
        { algorithm: 'LeakyBucket', requests: 5, period: 60_000, burst: 0, key: [], mode: 'Enforce' },
        { name: 'quota', algorithm: 'FixedWindow', requests: 5, period: 0, calendar: 'Month', burst: 0, key: [], mode: 'Shadow' },
      ],
    });
  });

  test('BackendPolicy: the defaults of the reference', () => {
    const object = decode(backendPolicy({}))?.object as { spec: unknown };
    assert.deepEqual(object.spec, {
      targetRefs: [{ group: '', kind: 'Service', name: 's' }],
      loadBalancer: { type: 'RoundRobin' },
      connection: { idleTimeout: 60_000, maxRequests: 0 },
    });
  });

  test('EndpointSlice: unknown conditions count as ready', () => {
    const object = decode(
      slice({ endpoints: [{ addresses: ['10.0.0.1'] }, { addresses: ['10.0.0.2'], conditions: { ready: false, serving: true, terminating: true } }] }),
    )?.object as { endpoints: readonly Fields[] };
    assert.deepEqual(
      object.endpoints.map(({ conditions }) => conditions),
      [
        { ready: true, serving: true, terminating: false },
        { ready: false, serving: true, terminating: true },
      ],
    );
  });

  test('Ingress: an absent path of type ImplementationSpecific is every path', () => {
    const object = decode(path({ path: undefined, pathType: 'ImplementationSpecific' }))?.object as {
      spec: { rules: readonly { paths: readonly Fields[] }[] };
    };
    assert.equal(object.spec.rules[0]?.paths[0]?.path, '/');
  });

  test('null is the same as absent, as in Kubernetes, and the namespace is default', () => {
    const raw = { ...path({}), metadata: { name: 'x', annotations: null, labels: null }, status: null };
    const decoded = decode(raw);
    assert.deepEqual(decoded?.problems, []);
    assert.equal(decoded?.namespace, 'default');
    assert.equal(raw.metadata.annotations, null, 'what was read is not changed');
  });

  test('an IngressClass has no namespace, whatever it says', () => {
    const decoded = decode({ apiVersion: 'networking.k8s.io/v1', kind: 'IngressClass', metadata: { name: 'a', namespace: 'b' }, spec: { controller: 'c' } });
    assert.deepEqual([decoded?.namespace, decoded?.problems], ['', []]);
  });

  test('every field of the Kubernetes kinds is known', () => {
    const full = service({
      ...{ type: 'LoadBalancer', clusterIP: '10.0.0.1', clusterIPs: [], selector: { a: 'b' }, externalIPs: [], sessionAffinity: 'None' },
      ...{ sessionAffinityConfig: {}, loadBalancerIP: '', loadBalancerSourceRanges: [], externalTrafficPolicy: 'Local', healthCheckNodePort: 1 },
      ...{ publishNotReadyAddresses: false, ipFamilies: [], ipFamilyPolicy: 'SingleStack', allocateLoadBalancerNodePorts: true },
      ...{ loadBalancerClass: 'a', internalTrafficPolicy: 'Cluster', trafficDistribution: 'PreferClose' },
      ports: [{ name: 'a', protocol: 'TCP', appProtocol: 'http', port: 80, targetPort: 'web', nodePort: 30000 }],
    });
    assert.deepEqual(decode({ ...full, status: { loadBalancer: {} } })?.problems, []);
  });

  test('__proto__ is a field like any other, and unknown', () => {
    const raw = JSON.parse('{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":80}],"__proto__":{"x":1}}}') as unknown;
    assert.deepEqual(
      decode(raw)?.problems.map(({ field }) => field),
      ['spec.__proto__'],
    );
  });
});

test('a check that fails by itself makes its object invalid, and is no end of whoever reads on', () => {
  const fails = (): never => {
    throw new Error('out of order');
  };
  const kind = { kind: 'ApiRoute', apiVersion: 'tidegate.dev/v1alpha1', field: 'apiRoutes', scope: 'Namespaced' } as const;
  const closed = [{ kind: 'ApiRoute', name: 'shop' }] as const;
  for (const broken of [
    { ...kind, schema: z.unknown().superRefine(fails) },
    { ...kind, schema: z.unknown(), warnings: fails },
  ]) {
    const judged = judge({ ...broken, closes: () => closed as never }, {}, undefined);
    assert.equal(judged.object, undefined);
    assert.deepEqual(judged.closes, closed);
    assert.deepEqual(
      judged.problems.map(({ severity, message }) => [severity, message]),
      [['error', 'the object can not be judged: out of order']],
    );
  }
});

test('however often patterns of rewrites and expressions are looked at, they count once', () => {
  const most = MAX_PATTERNS_SIZE / 2000;
  const pattern = '[a-z]{1000}[a-z]{1000}';
  const matching = `request.path.matches('${pattern}')`;
  const calls = [{ name: 'a', backendRef: { name: 'web', port: 80 }, request: { path: "'/'" }, when: matching }];
  for (const filters of [
    { urlRewrite: { path: { type: 'ReplaceRegex', pattern, substitution: 'b' } } },
    { requestHeaderModifier: { set: [{ name: 'x-a', expression: `string(${matching})` }] } },
    { aggregate: { calls, response: { body: '{}' } } },
  ]) {
    const rule = { filters, ...('aggregate' in filters ? {} : { backendRefs: [{ name: 'web', port: 80 }] }) };
    const judged = (rules: number) =>
      decode(route({ rules: Array.from({ length: rules }, () => rule) }))?.problems.filter(({ severity }) => severity === 'error');
    assert.deepEqual(judged(most), []);
    const beyond = judged(most + 1)?.map(({ message }) => message) ?? [];
    assert.equal(beyond.length, 1);
    assert.match(beyond[0] ?? '', /together/);
  }
});

test('a rule that answers nothing is taken, with a warning', () => {
  const decoded = decode(route({ rules: [{}] }));
  assert.ok(decoded?.object);
  assert.deepEqual(
    decoded.problems.map(({ severity, field }) => [severity, field]),
    [['warning', 'spec.rules[0].backendRefs']],
  );
});

test('parameters of our IngressClass are told to mean nothing, those of others are none of ours', () => {
  const ingressClass = (controller: string): Fields => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'IngressClass',
    metadata: { name: 'a' },
    spec: { controller, parameters: { kind: 'A', name: 'b' } },
  });
  assert.match(decode(ingressClass('tidegate.dev/ingress-controller'))?.problems[0]?.message ?? '', /no parameters/);
  assert.deepEqual(decode(ingressClass('example.com/other'))?.problems, []);
});

test('all problems of an object are told at once', () => {
  const decoded = decode(route({ hostname: 'x', rules: [{ filters: { transform: {} }, timeouts: { request: '1' }, backendRefs: [{ name: 'S', port: 80 }] }] }));
  assert.deepEqual(decoded?.problems.map(({ field }) => field).sort(), [
    'spec.hostname',
    'spec.rules[0].backendRefs[0].name',
    'spec.rules[0].filters.transform',
    'spec.rules[0].timeouts.request',
  ]);
});

test('whatever stands where, there is an object or a problem that names a field', () => {
  const good = [
    route({
      hostnames: ['a.example'],
      tls: {},
      rules: [
        {
          matches: [{ headers: [{ name: 'a', value: 'b' }] }],
          filters: { urlRewrite: { path: { type: 'ReplaceFullPath', value: '/' } } },
          timeouts: { request: '1s' },
          backendRefs,
        },
      ],
    }),
    limit({ period: '1s', key: [{ type: 'Header', name: 'a' }] }),
    backendPolicy({ loadBalancer: { type: 'ConsistentHash', consistentHash: { type: 'Path' } }, connection: {} }),
    path({}),
    service({ ports: [{ port: 80 }] }),
    slice({ endpoints: [{ addresses: ['10.0.0.1'], conditions: {} }], ports: [{ port: 80 }] }),
    { apiVersion: 'v1', kind: 'Secret', metadata, type: 'kubernetes.io/tls', data: {}, stringData: { 'tls.crt': 'x', 'tls.key': 'y' } },
  ];
  /** Puts `value` at a place in a copy of `node` that the numbers lead to. */
  const replaced = (node: unknown, way: readonly number[], value: unknown): unknown => {
    const [step, ...rest] = way;
    if (step === undefined || typeof node !== 'object' || node === null) return value;
    const keys = Object.keys(node);
    const key = keys[step % (keys.length + 1)] ?? 'added';
    const copy = (Array.isArray(node) ? [...node] : { ...node }) as Record<string, unknown>;
    copy[key] = replaced(copy[key], rest, value);
    return copy;
  };
  fc.assert(
    fc.property(fc.constantFrom(...good), fc.array(fc.nat({ max: 9 }), { minLength: 1, maxLength: 9 }), fc.jsonValue({ maxDepth: 2 }), (object, way, value) => {
      const raw = replaced(object, way, value);
      const decoded = decode(raw);
      if (decoded === undefined) return;
      const errors = decoded.problems.filter(({ severity }) => severity === 'error');
      assert.equal(decoded.object === undefined, errors.length > 0);
      for (const { field, message, hint } of decoded.problems) {
        assert.ok(message !== '' && hint !== '', JSON.stringify(decoded.problems));
        assert.equal(fieldPath(parseFieldPath(field)), field);
      }
    }),
    { numRuns: 3000 },
  );
});
