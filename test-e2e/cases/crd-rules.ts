/** What the CRDs refuse by CEL: for each rule, specs that keep it and such that break it. */
import { AUTH_RULES, type CrdRule } from './auth-rules.ts';

/** @param rule of a rule's spec to its route's */
const rules = (...list: readonly unknown[]): readonly unknown[] => list.map((rule) => ({ rules: [rule] }));

const matching = (field: string): CrdRule => ({
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

const replacing = (filter: string): CrdRule => ({
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

const headerValues = (filter: string, list: 'set' | 'add'): CrdRule => ({
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

const call = { name: 'a', backendRef: { name: 'a', port: 80 }, request: { path: "'/'" } };
const aggregate = { aggregate: { calls: [call], response: {} } };
const grpcJson = { grpcJson: { backendRef: { name: 'a', port: 80 }, descriptorSetRef: { name: 'a', key: 'a' }, services: ['a.B'] } };
const retryOfCall = (...list: readonly object[]): readonly unknown[] =>
  rules(...list.map((retry) => ({ filters: { aggregate: { calls: [{ ...call, retry }], response: {} } } })));
const retryOfGrpcJson = (...list: readonly object[]): readonly unknown[] =>
  rules(...list.map((retry) => ({ filters: { grpcJson: { ...grpcJson.grpcJson, retry } } })));
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

export const RULES: readonly CrdRule[] = [
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
    message: 'a rule answers once: use aggregate, requestRedirect or directResponse',
    kept: rules({ filters: aggregate }),
    broken: rules({ filters: { ...aggregate, ...answer } }, { filters: { ...aggregate, ...redirect } }),
  },
  {
    kind: 'ApiRoute',
    path: 'spec.rules[].filters',
    message: 'a rule answers once: use grpcJson, aggregate, requestRedirect or directResponse',
    kept: rules({ filters: grpcJson }),
    broken: rules({ filters: { ...grpcJson, ...answer } }, { filters: { ...grpcJson, ...redirect } }, { filters: { ...grpcJson, ...aggregate } }),
  },
  {
    kind: 'ApiRoute',
    path: 'spec.rules[].filters.grpcJson.retry',
    message: 'backoff cannot be longer than maxBackoff',
    kept: retryOfGrpcJson({ backoff: '1s', maxBackoff: '1000ms' }, { backoff: '1h' }),
    broken: retryOfGrpcJson({ backoff: '1s', maxBackoff: '999ms' }),
  },
  {
    kind: 'ApiRoute',
    path: 'spec.rules[].filters.grpcJson.retry',
    message: 'on is there twice, with and without quotes',
    kept: retryOfGrpcJson({ on: [503] }, { true: ['reset'] }),
    broken: retryOfGrpcJson({ on: [503], true: [503] }),
  },
  {
    kind: 'ApiRoute',
    path: 'spec.rules[].filters.aggregate.calls[].retry',
    message: 'backoff cannot be longer than maxBackoff',
    kept: retryOfCall({ backoff: '1s', maxBackoff: '1000ms' }, { backoff: '1h' }),
    broken: retryOfCall({ backoff: '1s', maxBackoff: '999ms' }),
  },
  {
    kind: 'ApiRoute',
    path: 'spec.rules[].filters.aggregate.calls[].retry',
    message: 'on is there twice, with and without quotes',
    kept: retryOfCall({ on: [503] }, { true: ['reset'] }),
    broken: retryOfCall({ on: [503], true: [503] }),
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
