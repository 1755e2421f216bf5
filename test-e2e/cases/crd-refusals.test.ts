/** What the API server refuses for us, by the schemas and rules in crds/: every rule, and unknown fields at every place. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { endWith, wholeFile } from '../../test/gateway/lifetime.ts';
import type { ApiAnswer } from '../cluster/api-client.ts';
import { Cluster } from '../cluster/cluster.ts';
import { AUTH_RULES } from './auth-rules.ts';
import { EXAMPLES } from './crd-examples.ts';
import { type CustomKind, customKinds, type Schema, walk } from './crd-schemas.ts';

interface RuleCase {
  readonly kind: string;
  /** Place of the rule in the schema. */
  readonly path: string;
  readonly message: string;
  /** Specs that keep the rule, each for a reason of its own. */
  readonly kept: readonly unknown[];
  readonly broken: readonly unknown[];
}

/** @param rule of a rule's spec to its route's */
const rules = (...list: readonly unknown[]): readonly unknown[] => list.map((rule) => ({ rules: [rule] }));

const matching = (field: string): RuleCase => ({
  kind: 'ApiRoute',
  path: `spec.rules[].matches[].${field}[]`,
  message: 'Present takes no value, the other types need one',
  kept: rules(
    { matches: [{ [field]: [{ name: 'a', value: '1' }] }] },
    { matches: [{ [field]: [{ name: 'a', type: 'Exact', value: '' }] }] },
    { matches: [{ [field]: [{ name: 'a', type: 'Present' }] }] },
  ),
  broken: rules(
    { matches: [{ [field]: [{ name: 'a' }] }] },
    { matches: [{ [field]: [{ name: 'a', type: 'RegularExpression' }] }] },
    { matches: [{ [field]: [{ name: 'a', type: 'Present', value: '1' }] }] },
  ),
});

const replacing = (filter: string): RuleCase => ({
  kind: 'ApiRoute',
  path: `spec.rules[].filters.${filter}.path`,
  message: 'ReplaceRegex takes pattern and substitution, the other types take value',
  kept: rules(
    { filters: { [filter]: { path: { type: 'ReplaceRegex', pattern: 'a', substitution: '' } } } },
    { filters: { [filter]: { path: { type: 'ReplaceFullPath', value: '/' } } } },
    { filters: { [filter]: { path: { type: 'ReplacePrefixMatch', value: '' } } } },
  ),
  broken: rules(
    { filters: { [filter]: { path: { type: 'ReplaceRegex', pattern: 'a' } } } },
    { filters: { [filter]: { path: { type: 'ReplaceRegex', pattern: 'a', substitution: 'b', value: '/' } } } },
    { filters: { [filter]: { path: { type: 'ReplaceFullPath' } } } },
    { filters: { [filter]: { path: { type: 'ReplaceFullPath', value: '/', pattern: 'a' } } } },
    { filters: { [filter]: { path: { type: 'ReplacePrefixMatch', value: '/', substitution: 'b' } } } },
  ),
});

const headerValues = (filter: string, list: 'set' | 'add'): RuleCase => ({
  kind: 'ApiRoute',
  path: `spec.rules[].filters.${filter}.${list}[]`,
  message: 'a header needs one of value and expression',
  kept: rules(
    { filters: { [filter]: { [list]: [{ name: 'a', value: '1' }] } } },
    { filters: { [filter]: { [list]: [{ name: 'a', expression: 'request.method' }] } } },
  ),
  broken: rules(
    { filters: { [filter]: { [list]: [{ name: 'a' }] } } },
    { filters: { [filter]: { [list]: [{ name: 'a', value: '1', expression: 'request.method' }] } } },
  ),
});

const answer = { directResponse: { statusCode: 200 } };
const redirect = { requestRedirect: { hostname: 'www.example.com' } };
const rewrite = { urlRewrite: { hostname: 'inner.example.com' } };

const limits = (...list: readonly object[]): readonly unknown[] =>
  list.map((limit) => ({ targetRefs: [{ kind: 'ApiRoute', name: 'a' }], limits: [{ requests: 1, ...limit }] }));
const rateTargets = (...list: readonly object[]): readonly unknown[] =>
  list.map((target) => ({ targetRefs: [{ name: 'a', ...target }], limits: [{ requests: 1, period: '1s' }] }));
const backendTargets = (...list: readonly object[]): readonly unknown[] => list.map((target) => ({ targetRefs: [{ name: 'a', ...target }] }));
const balancers = (...list: readonly object[]): readonly unknown[] =>
  list.map((loadBalancer) => ({ targetRefs: [{ kind: 'Service', name: 'a' }], loadBalancer }));

const policies = (...list: readonly object[]): readonly unknown[] => list.map((fields) => ({ targetRefs: [{ kind: 'Service', name: 'a' }], ...fields }));
const checks = (...list: readonly object[]): readonly unknown[] => policies(...list.map((active) => ({ healthCheck: { active } })));

const PASSED: object = { hostnames: ['a.example.com'], tls: { mode: 'Passthrough' }, rules: [{ backendRefs: [{ name: 'a', port: 443 }] }] };

const RULES: readonly RuleCase[] = [
  ...AUTH_RULES,
  {
    kind: 'ApiRoute',
    path: 'spec.rules[].filters.cors',
    message: 'credentials are never for every origin: name the origins',
    kept: rules(
      { filters: { ...answer, cors: { allowOrigins: ['*'] } } },
      { filters: { ...answer, cors: { allowOrigins: ['https://a.example'], allowCredentials: true } } },
    ),
    broken: rules({ filters: { ...answer, cors: { allowOrigins: ['https://a.example', '*'], allowCredentials: true } } }),
  },
  {
    kind: 'ApiRoute',
    path: 'spec',
    message:
      'with tls.mode Passthrough there are hostnames, one rule with backendRefs, and nothing that looks into requests: no secretName, redirect, matches or filters',
    kept: [PASSED, { ...PASSED, tls: { mode: 'Passthrough', redirect: false } }, { ...PASSED, tls: {} }],
    broken: [
      { ...PASSED, hostnames: [] },
      { ...PASSED, rules: [{}] },
      { ...PASSED, tls: { mode: 'Passthrough', secretName: 'a' } },
      { ...PASSED, tls: { mode: 'Passthrough', redirect: true } },
      { ...PASSED, rules: [{ backendRefs: [{ name: 'a', port: 443 }], filters: answer }] },
      { ...PASSED, rules: [{ backendRefs: [{ name: 'a', port: 443 }], matches: [{ path: { value: '/a' } }] }] },
    ],
  },
  matching('headers'),
  matching('queryParams'),
  matching('cookies'),
  {
    kind: 'ApiRoute',
    path: 'spec.rules[].filters',
    message: 'a rule answers once: use requestRedirect or directResponse',
    kept: rules({ filters: redirect }, { filters: answer }),
    broken: rules({ filters: { ...redirect, ...answer } }),
  },
  {
    kind: 'ApiRoute',
    path: 'spec.rules[].filters',
    message: 'urlRewrite and requestRedirect exclude each other',
    kept: rules({ filters: rewrite, backendRefs: [{ name: 'a', port: 80 }] }),
    broken: rules({ filters: { ...redirect, ...rewrite } }),
  },
  replacing('urlRewrite'),
  replacing('requestRedirect'),
  headerValues('requestHeaderModifier', 'set'),
  headerValues('requestHeaderModifier', 'add'),
  headerValues('responseHeaderModifier', 'set'),
  headerValues('responseHeaderModifier', 'add'),
  {
    kind: 'ApiRoute',
    path: 'spec.rules[].timeouts',
    message: 'backendRequest cannot be longer than request',
    kept: rules(
      { timeouts: { request: '1s', backendRequest: '1000ms' } },
      { timeouts: { request: '0s', backendRequest: '1h' } },
      { timeouts: { backendRequest: '1h' } },
      { timeouts: { request: '1ms' } },
    ),
    broken: rules({ timeouts: { request: '1s', backendRequest: '1001ms' } }, { timeouts: { request: '59s', backendRequest: '1m' } }),
  },
  {
    kind: 'ApiRoute',
    path: 'spec.rules[].retry',
    message: 'backoff cannot be longer than maxBackoff',
    kept: rules({ retry: { backoff: '1s', maxBackoff: '1000ms' } }, { retry: { backoff: '1h' } }, { retry: { maxBackoff: '0s' } }),
    broken: rules({ retry: { backoff: '1s', maxBackoff: '999ms' } }),
  },
  {
    kind: 'ApiRoute',
    path: 'spec.rules[].retry',
    message: 'on is there twice, with and without quotes',
    kept: rules({ retry: { on: [503] } }, { retry: { true: ['reset'] } }),
    broken: rules({ retry: { on: [503], true: [503] } }),
  },
  {
    kind: 'ApiRoute',
    path: 'spec.rules[].fallback',
    message: 'on is there twice, with and without quotes',
    kept: rules({ fallback: { on: [503], response: { statusCode: 200 } } }, { fallback: { true: [503], response: { statusCode: 200 } } }),
    broken: rules({ fallback: { on: [503], true: [503], response: { statusCode: 200 } } }),
  },
  {
    kind: 'ApiRoute',
    path: 'spec.rules[].fallback',
    message: 'a fallback has one of backendRef and response',
    kept: rules({ fallback: { response: { statusCode: 200 } } }, { fallback: { backendRef: { name: 'a', port: 80 } } }),
    broken: rules({ fallback: {} }, { fallback: { response: { statusCode: 200 }, backendRef: { name: 'a', port: 80 } } }),
  },
  {
    kind: 'ApiRoute',
    path: 'spec.rules[].filters.faultInjection',
    message: 'faultInjection needs delay, abort or both',
    kept: rules(
      { filters: { faultInjection: { abort: { statusCode: 503, percent: 1 } } } },
      { filters: { faultInjection: { delay: { duration: '1s', percent: 1 } } } },
    ),
    broken: rules({ filters: { faultInjection: {} } }),
  },
  {
    kind: 'BackendPolicy',
    path: 'spec.targetRefs[]',
    message: 'the group of kind Service is ""',
    kept: backendTargets({ kind: 'Service' }, { kind: 'Service', group: '' }),
    broken: backendTargets({ kind: 'Service', group: 'tidegate.dev' }, { kind: 'Service', group: 'core' }),
  },
  {
    kind: 'BackendPolicy',
    path: 'spec.loadBalancer',
    message: 'consistentHash goes with type ConsistentHash, which needs it',
    kept: balancers({}, { type: 'RoundRobin' }, { type: 'ConsistentHash', consistentHash: { type: 'Path' } }),
    broken: balancers({ type: 'ConsistentHash' }, { type: 'Random', consistentHash: { type: 'Path' } }, { consistentHash: { type: 'Path' } }),
  },
  {
    kind: 'BackendPolicy',
    path: 'spec.loadBalancer',
    message: 'slowStart does not go with SourceIP and ConsistentHash',
    kept: balancers({ slowStart: '30s' }, { type: 'PeakEWMA', slowStart: '30s' }, { type: 'SourceIP' }),
    broken: balancers({ type: 'SourceIP', slowStart: '30s' }, { type: 'ConsistentHash', consistentHash: { type: 'Path' }, slowStart: '30s' }),
  },
  {
    kind: 'BackendPolicy',
    path: 'spec.healthCheck',
    message: 'healthCheck needs active or passive',
    kept: policies({ healthCheck: { active: {} } }, { healthCheck: { passive: {} } }),
    broken: policies({ healthCheck: {} }, { healthCheck: { panicThresholdPercent: 50 } }),
  },
  {
    kind: 'BackendPolicy',
    path: 'spec.healthCheck.active',
    message: 'path and expectedStatuses go with type HTTP',
    kept: checks({ path: '/a', expectedStatuses: ['200'] }, { type: 'HTTP', path: '/a' }, { type: 'TCP' }),
    broken: checks({ type: 'TCP', path: '/a' }, { type: 'GRPC', expectedStatuses: ['200'] }),
  },
  {
    kind: 'BackendPolicy',
    path: 'spec.healthCheck.active',
    message: 'service goes with type GRPC',
    kept: checks({ type: 'GRPC', service: 'a.B' }, { type: 'GRPC' }),
    broken: checks({ service: 'a.B' }, { type: 'TCP', service: 'a.B' }),
  },
  {
    kind: 'BackendPolicy',
    path: 'spec',
    message: 'protocol H2C is HTTP/2 in clear, and does not go with tls; write HTTP2',
    kept: policies({ protocol: 'H2C' }, { protocol: 'HTTP2', tls: { insecureSkipVerify: true } }),
    broken: policies({ protocol: 'H2C', tls: { insecureSkipVerify: true } }),
  },
  {
    kind: 'BackendPolicy',
    path: 'spec.loadBalancer.consistentHash',
    message: 'Header, Cookie and QueryParam need a name, the other types take none',
    kept: balancers(...['Header', 'Cookie', 'QueryParam'].map((type) => ({ type: 'ConsistentHash', consistentHash: { type, name: 'a' } }))),
    broken: balancers(
      ...['Header', 'Cookie', 'QueryParam'].map((type) => ({ type: 'ConsistentHash', consistentHash: { type } })),
      ...['SourceIP', 'Path'].map((type) => ({ type: 'ConsistentHash', consistentHash: { type, name: 'a' } })),
    ),
  },
  {
    kind: 'RateLimitPolicy',
    path: 'spec.targetRefs[]',
    message: 'the group of kind ApiRoute is "tidegate.dev"',
    kept: rateTargets({ kind: 'ApiRoute' }, { kind: 'ApiRoute', group: 'tidegate.dev' }),
    broken: rateTargets({ kind: 'ApiRoute', group: '' }, { kind: 'ApiRoute', group: 'networking.k8s.io' }),
  },
  {
    kind: 'RateLimitPolicy',
    path: 'spec.targetRefs[]',
    message: 'the group of kind Ingress is "networking.k8s.io"',
    kept: rateTargets({ kind: 'Ingress' }, { kind: 'Ingress', group: 'networking.k8s.io' }),
    broken: rateTargets({ kind: 'Ingress', group: '' }, { kind: 'Ingress', group: 'tidegate.dev' }),
  },
  {
    kind: 'RateLimitPolicy',
    path: 'spec.limits[]',
    message: 'a limit needs one of period and calendar',
    kept: limits({ period: '1s' }, { calendar: 'Day', algorithm: 'FixedWindow' }),
    broken: limits({}, { period: '1s', calendar: 'Day', algorithm: 'FixedWindow' }),
  },
  {
    kind: 'RateLimitPolicy',
    path: 'spec.limits[]',
    message: 'calendar goes with algorithm FixedWindow only',
    kept: limits({ calendar: 'Month', algorithm: 'FixedWindow' }),
    broken: limits({ calendar: 'Month' }, { calendar: 'Month', algorithm: 'SlidingWindow' }),
  },
  {
    kind: 'RateLimitPolicy',
    path: 'spec.limits[]',
    message: 'burst goes with TokenBucket and LeakyBucket only',
    kept: limits({ period: '1s', burst: 5 }, { period: '1s', burst: 5, algorithm: 'TokenBucket' }, { period: '1s', burst: 5, algorithm: 'LeakyBucket' }),
    broken: limits({ period: '1s', burst: 5, algorithm: 'FixedWindow' }, { period: '1s', burst: 5, algorithm: 'SlidingWindow' }),
  },
  {
    kind: 'RateLimitPolicy',
    path: 'spec.limits[].key[]',
    message: 'Header, Cookie, QueryParam and Claim need a name, the other types take none',
    kept: limits(
      ...['Header', 'Cookie', 'QueryParam', 'Claim'].map((type) => ({ period: '1s', key: [{ type, name: 'a' }] })),
      ...['ClientIP', 'Method', 'Path', 'Consumer'].map((type) => ({ period: '1s', key: [{ type }] })),
    ),
    broken: limits(
      ...['Header', 'Cookie', 'QueryParam', 'Claim'].map((type) => ({ period: '1s', key: [{ type }] })),
      ...['ClientIP', 'Method', 'Path', 'Consumer'].map((type) => ({ period: '1s', key: [{ type, name: 'a' }] })),
    ),
  },
  {
    kind: 'RateLimitPolicy',
    path: 'spec.limits[].key[]',
    message: 'type Expression, and no other, needs an expression',
    kept: limits({ period: '1s', key: [{ type: 'Expression', expression: 'identity.subject' }] }),
    broken: limits({ period: '1s', key: [{ type: 'Expression' }] }, { period: '1s', key: [{ type: 'Method', expression: 'identity.subject' }] }),
  },
];

const cluster = Cluster.open(wholeFile);
let namespace: string;
before(async () => {
  namespace = await cluster.namespace(wholeFile, 'crd');
});

/** What the API server says to a new object, which it does not keep. */
async function tryToCreate(kind: CustomKind, spec: unknown, validation = 'Strict'): Promise<ApiAnswer> {
  const object = { apiVersion: kind.apiVersion, kind: kind.kind, metadata: { name: 'tried', namespace }, spec };
  return cluster.api.call('POST', `/apis/${kind.apiVersion}/namespaces/${namespace}/${kind.plural}?dryRun=All&fieldValidation=${validation}`, object);
}

function kindOf(name: string): CustomKind {
  const found = customKinds.find((kind) => kind.kind === name);
  assert.ok(found !== undefined, `crds/ has ${name}`);
  return found;
}

describe('rules of the CRDs', () => {
  test('all have a case here, and every case a rule', () => {
    const written: string[] = [];
    for (const { kind, spec } of customKinds) {
      walk(spec, 'spec', (schema, path) => {
        for (const { message } of schema['x-kubernetes-validations'] ?? []) written.push(`${kind} ${path}: ${message}`);
      });
    }
    assert.deepEqual(RULES.map(({ kind, path, message }) => `${kind} ${path}: ${message}`).sort(), written.sort());
  });

  for (const { kind, path, message, kept, broken } of RULES) {
    test(`${kind} ${path}: ${message}`, async () => {
      const custom = kindOf(kind);
      for (const spec of kept) {
        const { status, body } = await tryToCreate(custom, spec);
        assert.equal(status, 201, `${JSON.stringify(spec)}: ${body.message}`);
      }
      for (const spec of broken) {
        const { status, body } = await tryToCreate(custom, spec);
        assert.equal(status, 422, JSON.stringify(spec));
        const told = (body.details.causes as { field: string; message: string }[]).find((cause) => cause.message.includes(message));
        assert.ok(told !== undefined, `${JSON.stringify(spec)}: ${body.message}`);
        assert.equal(told.field.replaceAll(/\[\d+\]/g, '[]'), path);
      }
    });
  }
});

/** Every object of a value, by its path in the schema, with a way to put a field into a copy of the whole. */
function objectsOf(value: unknown): Map<string, (field: string) => { readonly changed: unknown; readonly place: string }> {
  const found = new Map<string, (field: string) => { changed: unknown; place: string }>();
  const visit = (inner: unknown, steps: readonly (string | number)[]): void => {
    if (Array.isArray(inner)) {
      for (const [index, item] of inner.entries()) visit(item, [...steps, index]);
      return;
    }
    if (typeof inner !== 'object' || inner === null) return;
    const path = steps.map((step) => (typeof step === 'number' ? '[]' : `.${step}`)).join('');
    found.set(`spec${path}`, (field) => {
      const changed = structuredClone(value);
      // biome-ignore lint/suspicious/noExplicitAny: one step after another into plain data.
      const target = steps.reduce((at: any, step) => at[step], changed);
      target[field] = 'unknown';
      return { changed, place: `spec${steps.map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`)).join('')}.${field}` };
    });
    for (const [name, item] of Object.entries(inner)) visit(item, [...steps, name]);
  };
  visit(value, []);
  return found;
}

describe('unknown fields', () => {
  for (const custom of customKinds) {
    describe(custom.kind, () => {
      const objects = objectsOf(EXAMPLES[custom.kind]);

      test('its example is good, and has every object that the schema knows', async () => {
        const { status, body } = await tryToCreate(custom, EXAMPLES[custom.kind]);
        assert.equal(status, 201, body.message);
        const known: string[] = [];
        walk(custom.spec, 'spec', (schema: Schema, path) => {
          if (schema.properties !== undefined) known.push(path);
          assert.notEqual(schema['x-kubernetes-preserve-unknown-fields'], true, `${path} takes anything`);
        });
        assert.deepEqual([...objects.keys()].sort(), known.sort());
      });

      test('are refused wherever they stand, and with the name of their place', async () => {
        for (const insert of objects.values()) {
          const { changed, place } = insert('unheardOf');
          const { status, body } = await tryToCreate(custom, changed);
          assert.equal(status, 400, place);
          assert.ok(body.message.includes(`unknown field "${place}"`), `${place}: ${body.message}`);
        }
      });

      test('are dropped where the client asked for no validation', async () => {
        const { changed } = objects.get('spec')?.('unheardOf') ?? {};
        const { status, body } = await tryToCreate(custom, changed, 'Ignore');
        assert.equal(status, 201);
        assert.deepEqual(body.spec, EXAMPLES[custom.kind]);
      });
    });
  }
});

describe('kubectl apply', () => {
  test('tells of a rule and of an unknown field in words that a user can act on', async (t) => {
    const manifest = (spec: string): string => `apiVersion: tidegate.dev/v1alpha1\nkind: ApiRoute\nmetadata: { name: told }\nspec: ${spec}\n`;
    endWith(t, () => cluster.kubectl(['delete', 'apiroute', 'told', '--namespace', namespace, '--ignore-not-found']));
    const apply = (spec: string): ReturnType<typeof cluster.kubectl> => cluster.kubectl(['apply', '--namespace', namespace, '--filename', '-'], manifest(spec));
    const unknown = await apply('{ hostname: a.example.com, rules: [{}] }');
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /unknown field "spec\.hostname"/);
    const twice = await apply('{ rules: [{ filters: { requestRedirect: {}, directResponse: { statusCode: 200 } } }] }');
    assert.equal(twice.code, 1);
    assert.match(twice.stderr, /spec\.rules\[0\]\.filters: Invalid value: .*a rule answers once: use requestRedirect or directResponse/);
    assert.equal((await apply('{ rules: [{}] }')).code, 0);
  });
});
