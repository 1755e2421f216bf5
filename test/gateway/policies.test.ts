/** Filters, rate limits and balancing as a client sees them. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { answering, Backend } from './backend.ts';
import { get, raw, send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

const backends: Backend[] = [];
let gateway: GatewayUnderTest;

before(async () => {
  for (const name of ['a', 'b', 'c']) backends.push(await Backend.start(wholeFile, answering(name)));
  const [a, b, c] = backends.map((backend) => backend.port) as [number, number, number];
  gateway = await GatewayUnderTest.start(
    wholeFile,
    {
      'services.yaml': service('a', [a]) + service('b', [b]) + service('all', [a, b, c]),
      'routes.yaml': apiRoute(
        'shop',
        `  hostnames: [shop.test]
  rules:
    - name: split
      matches: [{ path: { value: /split } }]
      backendRefs: [{ name: a, port: 80, weight: 90 }, { name: b, port: http, weight: 10 }]
    - name: match
      matches: [{ path: { value: /match }, methods: [POST], headers: [{ name: X-Tenant, value: acme }], queryParams: [{ name: beta, value: "true" }], cookies: [{ name: canary, type: Present }] }]
      backendRefs: [{ name: b, port: 80 }]
    - name: fallthrough
      matches: [{ path: { value: /match } }]
      backendRefs: [{ name: a, port: 80 }]
    - name: rewrite
      matches: [{ path: { value: /v1/orders } }]
      filters:
        requestHeaderModifier: { set: [{ name: x-a, value: "1" }], remove: [x-internal] }
        responseHeaderModifier: { set: [{ name: x-b, value: "2" }], remove: [content-type] }
        urlRewrite: { hostname: orders.internal, path: { type: ReplacePrefixMatch, value: /orders } }
      backendRefs: [{ name: a, port: 80 }]
    - matches: [{ path: { value: /raw } }]
      filters: { urlRewrite: { path: { type: ReplaceRegex, pattern: "^/raw/([^/]*)(.*)", substitution: '/<\\1>"{|^\`}\\2' } } }
      backendRefs: [{ name: a, port: 80 }]
    - matches: [{ path: { value: /cut } }]
      filters: { urlRewrite: { path: { type: ReplaceRegex, pattern: "20", substitution: "2" } } }
      backendRefs: [{ name: a, port: 80 }]
    - matches: [{ path: { value: /full } }]
      filters: { urlRewrite: { path: { type: ReplaceFullPath, value: "/full/<[1]>" } } }
      backendRefs: [{ name: a, port: 80 }]
    - matches: [{ path: { value: /moved } }]
      filters: { requestRedirect: { hostname: www.test, path: { type: ReplacePrefixMatch, value: /new }, statusCode: 301 } }
    - matches: [{ path: { value: /down } }]
      filters: { directResponse: { statusCode: 503, contentType: application/json, body: '{"down":"ä"}', headers: [{ name: x-d, value: "1" }] } }
    - matches: [{ path: { value: /denied } }]
      filters: { ipAccess: { deny: [127.0.0.0/8] } }
      backendRefs: [{ name: a, port: 80 }]
    - matches: [{ path: { value: /small } }]
      filters: { limits: { maxRequestBodyBytes: 10, maxRequestHeaderBytes: 300 } }
      backendRefs: [{ name: a, port: 80 }]
    - matches: [{ path: { value: /ref } }]
      backendRefs:
        - { name: a, port: 80, filters: { requestHeaderModifier: { set: [{ name: x-q, expression: request.query.q }] }, responseHeaderModifier: { set: [{ name: x-r, expression: "request.query.r + string(response.status)" }] } } }
    - matches: [{ path: { value: /robin } }]
      backendRefs: [{ name: all, port: 80 }]
    - matches: [{ path: { value: /backup } }]
      backendRefs: [{ name: a, port: 80 }, { name: b, port: 80, backup: true }]
    - { name: limited, matches: [{ path: { value: /limited } }], backendRefs: [{ name: a, port: 80 }] }
    - { name: shadowed, matches: [{ path: { value: /shadowed } }], backendRefs: [{ name: a, port: 80 }] }`,
      ),
      'guarded.yaml': `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: guarded, namespace: default, annotations: { nginx.ingress.kubernetes.io/auth-url: "http://auth.test/" } }
spec:
  ingressClassName: tidegate
  rules:
    - host: shop.test
      http: { paths: [{ path: /guarded, pathType: Prefix, backend: { service: { name: a, port: { number: 80 } } } }] }
`,
      'limits.yaml': `apiVersion: tidegate.dev/v1alpha1
kind: RateLimitPolicy
metadata: { name: window, namespace: default }
spec:
  targetRefs: [{ group: tidegate.dev, kind: ApiRoute, name: shop, sectionName: limited }]
  limits: [{ name: per-key, algorithm: TokenBucket, requests: 5, period: 1h, key: [{ type: Header, name: x-key }] }]
---
apiVersion: tidegate.dev/v1alpha1
kind: RateLimitPolicy
metadata: { name: shadow, namespace: default }
spec:
  targetRefs: [{ group: tidegate.dev, kind: ApiRoute, name: shop, sectionName: shadowed }]
  limits: [{ name: dry, requests: 1, period: 1h, mode: Shadow }]
`,
    },
    ['--workers', '2'],
  );
});

async function shop(path: string, headers: Readonly<Record<string, string>> = {}): ReturnType<typeof get> {
  return get(gateway.http, path, { host: 'shop.test', ...headers });
}

test('a 90/10 split', async () => {
  const counts = { a: 0, b: 0 };
  for (let index = 0; index < 200; index++) counts[(await shop('/split')).body as 'a' | 'b']++;
  assert.ok(Math.abs(counts.b - 20) <= 4, JSON.stringify(counts));
});

test('every part of a match must hold, else the next rule serves', async () => {
  const headers = { host: 'shop.test', 'x-tenant': 'acme', cookie: 'other=1; canary=yes' };
  assert.equal((await send(gateway.http, '/match?beta=true', { method: 'POST', headers })).body, 'b');
  assert.equal((await send(gateway.http, '/match?beta=false', { method: 'POST', headers })).body, 'a');
  assert.equal((await send(gateway.http, '/match?beta=true', { method: 'GET', headers })).body, 'a');
  assert.equal((await send(gateway.http, '/match?beta=true', { method: 'POST', headers: { ...headers, cookie: 'other=1' } })).body, 'a');
});

test('rewrite and header modifiers', async () => {
  const answer = await shop('/v1/orders/7?x=1', { 'x-internal': 'secret', 'x-a': 'client' });
  const head = backends[0]?.requests.at(-1)?.head ?? '';
  assert.match(head, /^GET \/orders\/7\?x=1 HTTP/);
  assert.match(head, /^Host: orders\.internal$/im);
  assert.match(head, /^x-a: 1$/im);
  assert.doesNotMatch(head, /secret|client/);
  assert.equal(answer.headers['x-b'], '2');
  assert.equal(answer.headers['content-type'], undefined);
});

test('what a rewrite makes that has no place in a path reaches the backend escaped, and escapes stay as they are', async () => {
  for (const [sent, seen] of [
    ['/raw/a%20b/c%41?x=<', '/%3Ca%20b%3E%22%7B%7C%5E%60%7D/cA?x=<'],
    ['/cut/a%20z', '/cut/a%252z'],
    ['/full', '/full/%3C%5B1%5D%3E'],
  ] as const) {
    await raw(gateway.http, `GET ${sent} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n`);
    assert.equal(backends[0]?.requests.at(-1)?.head.split('\r\n')[0], `GET ${seen} HTTP/1.1`);
  }
});

test('redirect and direct response', async () => {
  const moved = await shop('/moved/a?b=c');
  assert.equal(moved.status, 301);
  assert.equal(moved.headers.location, 'http://www.test/new/a?b=c');
  const down = await shop('/down');
  assert.equal(down.status, 503);
  assert.equal(down.body, '{"down":"ä"}');
  assert.equal(down.headers['content-type'], 'application/json');
  assert.equal(down.headers['x-d'], '1');
  const metrics = (await get(gateway.admin, '/metrics')).body;
  for (const filter of ['requestRedirect', 'directResponse'])
    assert.match(metrics, new RegExp(`^tidegate_filter_results_total\\{filter="${filter}",result="answered"\\} [1-9]`, 'm'));
});

test('an Ingress with a guard that is not supported serves nobody', async () => {
  const before = backends[0]?.requests.length;
  const answer = await shop('/guarded/file');
  assert.equal(answer.status, 503);
  assert.equal(answer.headers['content-type'], 'application/problem+json');
  assert.equal(JSON.parse(answer.body).status, 503);
  assert.equal(backends[0]?.requests.length, before);
  const line = await gateway.untilAccess(({ path }) => path === '/guarded/file');
  assert.equal(line.reason, 'unsupported_guard');
  assert.equal(line.route, 'Ingress/default/guarded/0');
});

test('header values of a backendRef are made by expressions; what can not be made is 503, and not sent on', async () => {
  const [a] = backends as [Backend];
  const good = await send(gateway.http, '/ref?q=1&r=2', { headers: { host: 'shop.test' } });
  assert.deepEqual([good.status, good.headers['x-r']], [200, '2200']);
  assert.match(a.requests.at(-1)?.head ?? '', /\r\nx-q: 1(\r\n|$)/i);
  const before = a.requests.length;
  const without = await send(gateway.http, '/ref?r=2', { headers: { host: 'shop.test' } });
  assert.deepEqual([without.status, without.headers['content-type'], a.requests.length], [503, 'application/problem+json', before]);
  const unsafe = await send(gateway.http, '/ref?q=1%0d%0ax-evil:1&r=2', { headers: { host: 'shop.test' } });
  assert.deepEqual([unsafe.status, a.requests.length], [503, before]);
  const answered = await send(gateway.http, '/ref?q=1', { headers: { host: 'shop.test' } });
  assert.deepEqual([answered.status, answered.headers['content-type'], a.requests.length], [503, 'application/problem+json', before + 1]);
  const metrics = (await get(gateway.admin, '/metrics')).body;
  assert.match(metrics, /^tidegate_filter_results_total\{filter="requestHeaderModifier",result="failed"\} 2$/m);
  assert.match(metrics, /^tidegate_filter_results_total\{filter="responseHeaderModifier",result="failed"\} 1$/m);
});

test('address lists and sizes', async () => {
  assert.equal((await shop('/denied')).status, 403);
  assert.match((await get(gateway.admin, '/metrics')).body, /^tidegate_ip_access_refused_total 1$/m);
  assert.equal((await send(gateway.http, '/small', { method: 'POST', headers: { host: 'shop.test' }, body: 'much more than ten' })).status, 413);
  assert.equal(
    (await send(gateway.http, '/small', { method: 'POST', headers: { host: 'shop.test', 'transfer-encoding': 'chunked' }, body: 'much more than ten' })).status,
    413,
  );
  assert.equal((await shop('/small', { 'x-long': 'y'.repeat(400) })).status, 431);
  assert.equal((await shop('/small')).status, 200);
});

test('a limit lets exactly its number pass over all workers and connections, and says so', async () => {
  const answers = await Promise.all(Array.from({ length: 40 }, () => shop('/limited', { 'x-key': 'one' })));
  assert.equal(answers.filter((answer) => answer.status === 200).length, 5);
  const refused = answers.find((answer) => answer.status === 429);
  assert.ok(Number(refused?.headers['retry-after']) > 0);
  assert.equal(refused?.headers['x-ratelimit-limit'], '5');
  assert.equal(refused?.headers['x-ratelimit-remaining'], '0');
  assert.equal(refused?.headers['ratelimit-policy'], '"per-key";q=5;w=3600');
  assert.match(String(refused?.headers.ratelimit), /^"per-key";r=0;t=\d+$/);
  const other = await shop('/limited', { 'x-key': 'two' });
  assert.equal(other.status, 200);
  assert.equal(other.headers['x-ratelimit-remaining'], '4');
});

test('a reload of anything else refills no bucket', async () => {
  await gateway.write('extra.yaml', apiRoute('extra', '  hostnames: [extra.test]\n  rules: [{ backendRefs: [{ name: b, port: 80 }] }]'));
  await gateway.until('/', (status) => status === 200, { host: 'extra.test' });
  assert.equal((await shop('/limited', { 'x-key': 'one' })).status, 429);
});

test('a shadow limit never refuses nor shows, but counts', async () => {
  for (let index = 0; index < 3; index++) {
    const answer = await shop('/shadowed');
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.ratelimit, undefined);
  }
  const { body } = await get(gateway.admin, '/metrics');
  assert.match(body, /tidegate_rate_limit_decisions_total\{policy="default\/shadow",limit="dry",decision="[a-z_]+"\} 2/);
});

test('round robin over all endpoints, and backups only when needed', async () => {
  const seen = new Set<string>();
  for (let index = 0; index < 12; index++) seen.add((await shop('/robin')).body);
  assert.deepEqual([...seen].sort(), ['a', 'b', 'c']);
  assert.equal((await shop('/backup')).body, 'a');
  await gateway.write('services.yaml', service('a', []) + service('b', [backends[1]?.port ?? 0]) + service('all', [backends[2]?.port ?? 0]));
  await gateway.until('/backup', (_status, body) => body === 'b', { host: 'shop.test' });
});
