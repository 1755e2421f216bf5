import assert from 'node:assert/strict';
import { test } from 'node:test';
import { route } from '../router/testdata/routes.ts';
import type { AuthMethodSpec, AuthSpec } from '../snapshot/auth.ts';
import type { HostPattern } from '../snapshot/match.ts';
import type { Limit } from '../snapshot/rate-limit.ts';
import type { Backend, Route } from '../snapshot/route.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { PassthroughRoute } from '../snapshot/tls.ts';
import type { Endpoint, Upstream } from '../snapshot/upstream.ts';
import { type ExplainInput, type ExplainReport, ExplainUsageError, explainRequest, renderExplanation } from './explain.ts';

function upstream(service: string, loadBalancer: Upstream['loadBalancer'] = { type: 'RoundRobin' }): readonly [string, Upstream] {
  const key = `default/${service}/80`;
  return [
    key,
    { key, namespace: 'default', service, port: 80, loadBalancer, connectTimeout: 5_000, idleTimeout: 60_000, maxRequestsPerConnection: 0, protocol: 'HTTP1' },
  ];
}

function snapshot(routes: readonly Route[], more: Partial<Snapshot> = {}): Snapshot {
  return {
    routes,
    upstreams: new Map([upstream('shop'), upstream('next', { type: 'ConsistentHash', consistentHash: { type: 'Header', name: 'x-user' } })]),
    endpoints: new Map<string, readonly Endpoint[]>([
      ['default/shop/80', [{ address: '10.0.0.1', port: 8080, state: 'Ready', zone: 'a' }]],
      ['default/next/80', []],
    ]),
    certificates: new Map(),
    serverNames: [],
    ...more,
  };
}

function explained(routes: readonly Route[], input: Partial<ExplainInput>, more: Partial<Snapshot> = {}): ExplainReport {
  return explainRequest(snapshot(routes, more), { method: 'GET', url: 'http://shop.example.com/', headers: [], clientIp: '192.0.2.7', ...input });
}

test('a request that goes to a backend: route, match, filters in order, what is sent, backends', () => {
  const limit: Limit = {
    name: 'per-client',
    id: 'x',
    policy: 'default/slow',
    algorithm: 'TokenBucket',
    requests: 5,
    period: 10_000,
    burst: 7,
    key: [{ type: 'ClientIP' }, { type: 'Header', name: 'x-user' }],
    mode: 'Enforce',
  };
  const backends: Backend[] = [
    { upstream: 'default/shop/80', weight: 90, backup: false },
    { upstream: 'default/next/80', weight: 10, backup: false, requestHeaderModifier: { set: [{ name: 'x-next', value: '1' }], add: [], remove: ['x-old'] } },
    { weight: 0, backup: false, unresolvedStatus: 500 },
    { upstream: 'default/shop/80', weight: 1, backup: true },
  ];
  const shop = route(
    'shop',
    0,
    {
      hosts: ['*.example.com'],
      matches: [{ path: '=/never' }, { path: '/v1', methods: ['GET', 'HEAD'], headers: ['x-user'], query: ['q=1'], scheme: 'http' }],
    },
    {
      filters: {
        ipAccess: { allow: ['192.0.2.0/24'], deny: [] },
        rateLimit: [limit],
        requestHeaderModifier: { set: [{ name: 'x-a', value: '1' }], add: [], remove: ['x-user'] },
        responseHeaderModifier: { set: [], add: [], remove: ['server'] },
        urlRewrite: { hostname: 'shop.internal', path: { type: 'ReplacePrefixMatch', value: '/v2' } },
      },
      backends,
    },
  );
  const report = explained([shop], {
    url: 'http://Shop.Example.com:8080/x/../v1/%6frders?q=1',
    headers: [
      ['x-user', 'me'],
      ['accept', '*/*'],
      ['under_score', 'dropped'],
    ],
  });
  assert.deepEqual(report.request, {
    method: 'GET',
    scheme: 'http',
    authority: 'Shop.Example.com:8080',
    host: 'shop.example.com',
    path: '/v1/orders',
    query: '?q=1',
    clientIp: '192.0.2.7',
  });
  assert.deepEqual(report.route, {
    id: 'ApiRoute/default/shop/0',
    kind: 'ApiRoute',
    namespace: 'default',
    name: 'shop',
    rule: '0',
    isDefaultBackend: false,
    host: '*.example.com',
    match: 1,
    matches: 2,
    parts: ['PathPrefix /v1', 'method GET or HEAD', 'header x-user present', 'query parameter q = "1"', 'scheme http'],
    timeouts: { request: 300_000, backendRequest: 60_000, idle: 60_000 },
  });
  assert.deepEqual(
    report.filters.map(({ policy, outcome }) => [policy, outcome]),
    [
      ['ipAccess', 'passed'],
      ['rateLimit', 'depends on earlier requests'],
      ['requestHeaderModifier', 'passed'],
      ['urlRewrite', 'passed'],
      ['responseHeaderModifier', 'on the answer'],
    ],
  );
  assert.deepEqual(report.rateLimits, [
    {
      policy: 'default/slow',
      limit: 'per-client',
      algorithm: 'TokenBucket',
      requests: 5,
      period: 10_000,
      burst: 7,
      key: ['ClientIP', 'Header x-user'],
      mode: 'Enforce',
      scope: 'Local',
    },
  ]);
  assert.deepEqual(report.sent, {
    method: 'GET',
    host: 'shop.internal',
    target: '/v2/orders?q=1',
    fields: [
      ['accept', '*/*'],
      ['x-a', '1'],
    ],
  });
  assert.equal(report.answer, undefined);
  assert.deepEqual(report.backends, [
    {
      upstream: 'default/shop/80',
      weight: 90,
      totalWeight: 100,
      backup: false,
      filters: [],
      loadBalancer: 'RoundRobin',
      endpoints: [{ address: '10.0.0.1', port: 8080, state: 'Ready', zone: 'a' }],
    },
    {
      upstream: 'default/next/80',
      weight: 10,
      totalWeight: 100,
      backup: false,
      filters: ['request headers: remove x-old; set x-next'],
      loadBalancer: 'ConsistentHash by Header x-user',
      endpoints: [],
    },
    { weight: 0, totalWeight: 100, backup: false, filters: [], unresolvedStatus: 500, endpoints: [] },
    {
      upstream: 'default/shop/80',
      weight: 1,
      totalWeight: 100,
      backup: true,
      filters: [],
      loadBalancer: 'RoundRobin',
      endpoints: [{ address: '10.0.0.1', port: 8080, state: 'Ready', zone: 'a' }],
    },
  ]);
  assert.deepEqual(JSON.parse(JSON.stringify(report)), report, 'the report is plain data');
  const text = renderExplanation(report);
  for (const line of [
    'GET http://Shop.Example.com:8080/v1/orders?q=1 from 192.0.2.7',
    'route:       ApiRoute/default/shop/0',
    'host: *.example.com; match 2 of 2: PathPrefix /v1, method GET or HEAD',
    'RateLimitPolicy default/slow, limit per-client: TokenBucket, 5 per 10s, burst 7, by ClientIP, Header x-user',
    'sent:        GET /v2/orders?q=1',
    'Host: shop.internal',
    'backends:    default/shop/80 (weight 90 of 100, RoundRobin)',
    '10.0.0.1:8080 Ready in a',
    'default/next/80 (weight 10 of 100, ConsistentHash by Header x-user): no endpoint',
    'request headers: remove x-old; set x-next',
    'not resolved (weight 0 of 100): its share is answered with 500',
    'default/shop/80 (backup, weight 1, RoundRobin)',
  ]) {
    assert.ok(text.includes(line), `${line}\nis not in\n${text}`);
  }
});

test('nothing matches: 404, with the nearest rules and what failed', () => {
  const report = explained([route('post', 0, { matches: [{ path: '/v1', methods: ['POST'] }] }), route('elsewhere', 1, { hosts: ['other.org'] })], {
    url: 'http://shop.example.com/v1/x',
  });
  assert.equal(report.route, undefined);
  assert.equal(report.answer?.status, 404);
  assert.deepEqual(report.nearMisses, [
    { route: 'ApiRoute/default/post/0', match: 0, part: 'methods', expected: 'POST', got: 'GET' },
    { route: 'ApiRoute/default/elsewhere/0', match: 0, part: 'host', expected: 'other.org', got: 'shop.example.com' },
  ]);
  assert.match(renderExplanation(report), /near misses: ApiRoute\/default\/post\/0 match 1: methods: expected POST; got GET\n/);
});

test('others that fit are told with the rule that wins over them, and why', () => {
  const report = explained([route('any', 0, {}), route('exact', 1, { hosts: ['shop.example.com'] })], {});
  assert.equal(report.route?.name, 'exact');
  assert.deepEqual(report.outranked, [{ route: 'ApiRoute/default/any/0', match: 0, decidedBy: 'a rule with an exact host goes before one with no host' }]);
  assert.match(
    renderExplanation(report),
    /^also fit: {4}ApiRoute\/default\/any\/0 match 1: loses to ApiRoute\/default\/exact\/0: a rule with an exact host goes before one with no host$/m,
  );
});

test('a filter that answers ends the request', () => {
  const shop = route(
    'shop',
    0,
    {},
    {
      filters: {
        requestRedirect: { hostname: 'www.example.com', scheme: 'https', statusCode: 301 },
        requestHeaderModifier: { set: [{ name: 'x-a', value: '1' }], add: [], remove: [] },
      },
      backends: [],
    },
  );
  const report = explained([shop], { url: 'http://shop.example.com/a?b=1' });
  assert.deepEqual(report.answer, { status: 301, reason: 'redirect', by: 'requestRedirect', location: 'https://www.example.com/a?b=1' });
  assert.equal(report.sent, undefined);
  assert.deepEqual(
    report.filters.map(({ policy, outcome }) => [policy, outcome]),
    [
      ['requestRedirect', 'answers'],
      ['requestHeaderModifier', 'not reached'],
    ],
  );
  assert.match(renderExplanation(report), /answer: {6}301 \(redirect\) by requestRedirect, Location: https:\/\/www\.example\.com\/a\?b=1\n?/);
});

test('plain HTTP is redirected where TLS asks for it, HTTPS is not', () => {
  const routes = [route('shop', 0, {}, { httpsRedirect: true })];
  const plain = explained(routes, { url: 'http://shop.example.com:8080/a' });
  assert.equal(plain.answer?.status, 308);
  assert.equal(plain.answer?.location, 'https://shop.example.com/a');
  const tls = explained(routes, { url: 'https://shop.example.com/a' });
  assert.equal(tls.answer, undefined);
  assert.equal(tls.sent?.target, '/a');
});

test('the certificate is that of the nearest server name, else the default one', () => {
  const serverNames: Snapshot['serverNames'] = [
    { host: { type: 'Suffix', value: 'com' }, certificates: ['a/com'] },
    { host: { type: 'OneLabel', value: 'example.com' }, certificates: ['a/wild-rsa', 'a/wild-ecdsa'] },
    { host: { type: 'Exact', value: 'shop.example.com' }, certificates: ['a/shop'] },
  ];
  const of = (url: string, more: Partial<Snapshot> = { serverNames, defaultCertificate: 'a/default' }) =>
    explained([route('any', 0, {})], { url }, more).request.certificates;
  assert.deepEqual(of('https://shop.example.com/'), ['a/shop']);
  assert.deepEqual(of('https://b.example.com/'), ['a/wild-rsa', 'a/wild-ecdsa']);
  assert.deepEqual(of('https://c.b.example.com/'), ['a/com']);
  assert.deepEqual(of('https://other.org/'), ['a/default']);
  assert.deepEqual(of('https://other.org/', {}), []);
  assert.equal(of('http://shop.example.com/'), undefined);
});

test('a host whose TLS is passed through: where its connections go; HTTP to it, and hosts below its wildcard that end here, are as ever', () => {
  const pass = (name: string, hosts: HostPattern[], upstreamKey?: string): PassthroughRoute => ({
    ...{ id: `ApiRoute/default/${name}/0`, kind: 'ApiRoute', namespace: 'default', name, rule: '0', hosts, idleTimeout: 600_000 },
    backends: [upstreamKey === undefined ? { unresolvedStatus: 500, weight: 1, backup: false } : { upstream: upstreamKey, weight: 1, backup: false }],
  });
  const passthrough = {
    routes: [
      pass('wild', [{ type: 'Suffix', value: 'example.com' }], 'default/shop/80'),
      pass('empty', [{ type: 'Exact', value: 'empty.example.com' }], 'default/next/80'),
      pass('lost', [{ type: 'Exact', value: 'lost.example.com' }]),
    ],
    terminated: [{ type: 'Exact', value: 'own.example.com' }] satisfies HostPattern[],
  };
  const of = (url: string) => explained([route('any', 0, {})], { url }, { passthrough });
  const report = of('https://Shop.example.com/whatever');
  assert.deepEqual(report.passthrough, {
    ...{ id: 'ApiRoute/default/wild/0', kind: 'ApiRoute', namespace: 'default', name: 'wild', rule: '0' },
    ...{ host: '*.example.com', idleTimeout: 600_000 },
  });
  assert.deepEqual([report.route, report.sent, report.answer, report.request.certificates], [undefined, undefined, undefined, undefined]);
  assert.deepEqual(
    report.backends.map(({ upstream: key, endpoints }) => [key, endpoints.length]),
    [['default/shop/80', 1]],
  );
  const text = renderExplanation(report);
  for (const line of [/^passthrough: ApiRoute\/default\/wild\/0$/m, /server name: \*\.example\.com;/, /timeouts: idle 10m/, /10\.0\.0\.1:8080 Ready/]) {
    assert.match(text, line);
  }
  assert.equal(of('https://empty.example.com/').passthrough?.closed, 'no_endpoint');
  assert.equal(of('https://lost.example.com/').passthrough?.closed, 'backend_not_resolved');
  assert.match(renderExplanation(of('https://lost.example.com/')), /connections are closed: backend_not_resolved/);
  for (const url of ['https://own.example.com/', 'http://shop.example.com/', 'https://other.org/']) {
    assert.deepEqual([of(url).passthrough, of(url).route?.name], [undefined, 'any'], url);
  }
});

test('time-outs are told as manifests have them; what is not bounded has none', () => {
  const timeouts = { request: Number.MAX_SAFE_INTEGER, backendRequest: 1500, idle: 90_000, tunnel: 3_600_000 };
  const text = renderExplanation(explained([{ ...route('any', 0, {}), timeouts }], {}));
  assert.match(text, /timeouts: request none, backendRequest 1s500ms, idle 1m30s, tunnel 1h$/m);
});

test('without an endpoint or a resolved backend the gateway answers', () => {
  const answer = (backends: Route['backends']) => {
    const report = explained([route('shop', 0, {}, { backends })], {});
    return [report.answer?.status, report.sent === undefined];
  };
  assert.deepEqual(answer([]), [404, true]);
  assert.deepEqual(answer([{ upstream: 'default/next/80', weight: 1, backup: false }]), [503, true]);
  assert.deepEqual(answer([{ unresolvedStatus: 500, weight: 1, backup: false }]), [500, true]);
  assert.deepEqual(answer([{ unresolvedStatus: 503, weight: 1, backup: false }]), [503, true]);
  assert.deepEqual(answer([{ upstream: 'default/shop/80', weight: 0, backup: false }]), [503, true]);
  assert.deepEqual(
    answer([
      { upstream: 'default/next/80', weight: 1, backup: false },
      { upstream: 'default/shop/80', weight: 1, backup: true },
    ]),
    [undefined, false],
  );
});

test('a client whose address is denied gets the answer of the filter', () => {
  const routes = [route('shop', 0, {}, { filters: { ipAccess: { allow: [], deny: ['192.0.2.0/24'] } } })];
  assert.equal(explained(routes, {}).answer?.by, 'ipAccess');
  assert.equal(explained(routes, { clientIp: '2001:db8::1' }).answer, undefined);
});

test('routes see the fields that the gateway writes about the client', () => {
  const routes = [route('internal', 0, { matches: [{ headers: ['x-real-ip=192.0.2.7', 'x-forwarded-proto=http'] }] })];
  assert.equal(
    explained(routes, {
      headers: [
        ['X-Real-IP', '10.0.0.1'],
        ['x-forwarded-proto', 'https'],
      ],
    }).route?.name,
    'internal',
  );
});

test('a Host header goes before the URL, and a path alone will do with it', () => {
  const routes = [route('shop', 0, { hosts: ['shop.example.com'], matches: [{ path: '/a' }] })];
  for (const url of ['http://127.0.0.1:8080/a/b', '/a/b']) {
    const report = explained(routes, { url, headers: [['Host', 'shop.example.com']] });
    assert.equal(report.route?.name, 'shop', url);
    assert.equal(report.sent?.target, '/a/b');
  }
});

for (const [url, headers, reason] of [
  ['http://a_b%2fc/', [], 'bad_host'],
  ['http://shop.example.com/a%2fb', [], 'bad_path'],
  ['http://shop.example.com/a%zz', [], 'bad_path'],
  ['http:///a', [], 'bad_host'],
  [
    '/a',
    [
      ['Host', 'a'],
      ['Host', 'b'],
    ],
    'bad_host',
  ],
] as const) {
  test(`${url} ${JSON.stringify(headers)} is refused before any route is looked for`, () => {
    const report = explained([route('any', 0, {})], { url, headers });
    assert.equal(report.answer?.status, 400);
    assert.equal(report.answer?.reason, reason);
    assert.equal(report.route, undefined);
    assert.match(renderExplanation(report), new RegExp(`400 \\(${reason}\\)`));
  });
}

for (const [what, input, message] of [
  ['a URL without scheme', { url: 'shop.example.com/a' }, /no URL; expected such as/],
  ['a URL of another scheme', { url: 'ftp://a/' }, /no URL/],
  ['white space in the URL', { url: 'http://a/b c' }, /no URL/],
  ['a path without a Host header', { url: '/a' }, /needs a Host header/],
  ['no method', { method: '' }, /no method/],
  ['a method with a space', { method: 'GET x' }, /no method/],
  ['a bad client address', { clientIp: 'localhost' }, /no IP address/],
  ['a bad header name', { headers: [['a b', '1']] }, /no header name/],
  ['a line break in a header', { headers: [['a', '1\r\nb: 2']] }, /control character/],
] as const) {
  test(`${what} is wrong usage`, () => {
    assert.throws(
      () => explained([], input),
      (error) => error instanceof ExplainUsageError && message.test(error.message),
    );
  });
}

test('what the rule says about trouble is told, in the report and in words', () => {
  const shop = route(
    'shop',
    0,
    {},
    {
      backends: [{ upstream: 'default/shop/80', weight: 1, backup: false }],
      retry: { attempts: 2, on: ['reset', 503, 'unavailable'], backoff: 25, maxBackoff: 250, budgetPercent: 20, nonIdempotent: true },
      hedge: { after: 100, max: 1 },
      fallback: { on: [502, 503], response: { statusCode: 200, contentType: 'text/plain', body: 'sorry' } },
    },
  );
  const report = explained([shop], {});
  assert.deepEqual([report.route?.retry, report.route?.hedge, report.route?.fallback], [shop.retry, shop.hedge, shop.fallback]);
  const text = renderExplanation(report);
  assert.match(text, /retry: 2 on reset, 503, unavailable, budget 20 %, any method\n +hedge: 1 after 100ms\n +fallback: answer 200 on 502, 503\n/);
});

test('what stands where a path names a segment is told', () => {
  const { route: found } = explained([route('users', 0, { matches: [{ path: '/users/{id}', methods: ['GET'] }] })], {
    url: 'http://shop.example.com/users/a%20b/c',
  });
  assert.deepEqual(found?.parts, ['PathPrefix /users/{id}', 'segment id = "a b"', 'method GET']);
  const odd = explained([route('users', 0, { matches: [{ path: '/users/{id}' }] })], { url: 'http://shop.example.com/users/%FF' });
  assert.deepEqual(odd.route?.parts, ['PathPrefix /users/{id}', 'segment id = "not UTF-8"']);
});

test('limits are told with what they are for, what they cost, and where they count', () => {
  const limit: Limit = {
    ...{ name: 'gold', id: 'x', policy: 'default/quota', algorithm: 'FixedWindow', requests: 1000, period: 0, calendar: 'Month', burst: 0 },
    ...{ key: [{ type: 'Consumer' }, { type: 'Expression', expression: 'request.path.id' }], mode: 'Shadow', onStoreFailure: 'Deny' },
    ...{ when: "'gold' in identity.groups", cost: '2' },
  };
  const report = explained([route('shop', 0, {}, { filters: { rateLimit: [limit] } })], {});
  const [told] = report.rateLimits;
  assert.deepEqual([told?.when, told?.cost, told?.scope, told?.onStoreFailure], ["'gold' in identity.groups", '2', 'Global', 'Deny']);
  assert.ok(
    renderExplanation(report).includes(
      "limit gold: FixedWindow, 1000 per Month, by Consumer, Expression request.path.id, when 'gold' in identity.groups, cost 2, Global (without Redis: Deny), Shadow",
    ),
  );
});

test("a login's own paths are told as what they are, by the policy that answers there", () => {
  const oidc: AuthMethodSpec = {
    ...{ type: 'oidc' as const, issuer: 'https://id.test', clientId: 'web', clientSecret: 'a/b/c', redirectPath: '/back', logoutPath: '/out' },
    ...{ scopes: ['openid'], cookieName: 'tg_session' },
  };
  const auth = (methods: AuthSpec['methods']): AuthSpec => ({
    ...{ policy: 'default/login', namespace: 'default', methods, anonymous: 'Deny', stripToken: false, credentialParameters: [] },
  });
  const at = (target: string, methods: AuthSpec['methods'] = [oidc], method = 'GET') => {
    const login = route('shop', 0, { matches: [{ path: '=/back' }, { path: '=/out' }] }, { filters: { auth: auth(methods) }, backends: [] });
    const report = explained([login], { url: `http://shop.example.com${target}`, method });
    assert.deepEqual(report.filters.at(-1)?.outcome, 'answers');
    return report.answer;
  };
  assert.deepEqual(at('/back?code=a&state=b'), {
    ...{ status: 302, reason: 'oidc_logged_in', by: 'auth' },
    detail: 'AuthPolicy default/login: a browser that comes back from https://id.test gets its session, and goes to what it asked for; others get 400 or 403.',
  });
  assert.equal(at('/back?return_to=/cart')?.reason, 'oidc_login');
  assert.equal(at('/back', [oidc], 'POST')?.reason, 'oidc_logged_in');
  assert.equal(at('/out')?.detail, 'AuthPolicy default/login: the session ends here and at https://id.test.');
  assert.match(at('/out', [{ type: 'apiKey', from: [] }, oidc])?.detail ?? '', /A credential of a method before it is judged first\.$/);
});
