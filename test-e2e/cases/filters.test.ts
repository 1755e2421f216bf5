/** Filters of ApiRoutes and limits by the API server: one gateway, and a rule for each. Those of identity are in policies.test.ts. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { ec, jwkOf, setOf, tokenOf } from '../../src/policies/auth/jwt/tokens.fixture.ts';
import { shopDescriptors } from '../../src/transcoding/shop.fixture.ts';
import { fileDescriptors } from '../../src/transcoding/well-known.fixture.ts';
import { GrpcBackend } from '../../test/gateway/grpc-backend.ts';
import { wholeFile } from '../../test/gateway/lifetime.ts';
import { RedisServer } from '../../test/redis/redis-server.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { type Answer, ask, askUntil, type Question } from '../cluster/client.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { GatewayAddress } from '../cluster/gateway.ts';
import { openGateway, startReplica } from '../cluster/gateways.ts';
import { listenAsPod } from '../cluster/pod-listener.ts';
import { Workload } from '../cluster/workload.ts';

const HOST = 'filters.test';
const PORT = 8080;
const issuer = 'https://id.filters.test';
const pair = ec();

const cluster = Cluster.open(wholeFile);
let namespace: string;
let gateway: GatewayAddress;
/** Where those whom policies ask are; undefined where there are no such addresses, as on kind. */
let filesAddress: string | undefined;
let authorityAddress: string | undefined;
let files: GrpcBackend;

const backendRefs = [{ name: 'web', port: 80 }];
const backendRef = backendRefs[0];

/** A rule for a filter of its name. */
const rule = (name: string, filters: object, more: object = { backendRefs }): object => ({
  name,
  matches: [{ path: { value: `/${name}` } }],
  filters,
  ...more,
});

const RULES = [
  rule('cors', { cors: { allowOrigins: ['https://*.example.com'], allowMethods: ['PUT'], maxAge: '10m' } }),
  rule('compression', { compression: { minBytes: 10 } }),
  rule('decompression', { decompression: {} }),
  rule('transform', {
    transform: {
      request: { body: "{'n': request.body.n + 1}" },
      response: { body: "{'got': response.body.body}", status: '201', headers: { 'x-method': 'response.body.method' } },
    },
  }),
  rule('pages', { errorPages: { pages: [{ statuses: ['404', '500-599'], contentType: 'text/plain', body: 'sorry' }], intercept: true } }),
  rule('cache', { cache: { defaultTTL: '1h' } }),
  rule('headers', {
    requestHeaderModifier: { set: [{ name: 'x-by', expression: "request.method + ' ' + request.path" }] },
    responseHeaderModifier: { add: [{ name: 'x-status', expression: 'response.status' }] },
  }),
  rule('limits', { limits: { maxRequestBodyBytes: 4 } }),
  rule('access', { ipAccess: { deny: ['0.0.0.0/0', '::/0'] } }),
  rule('fault', { faultInjection: { abort: { statusCode: 418, percent: 100 } } }),
  {
    name: 'aggregate',
    matches: [{ path: { value: '/aggregate/{id}' } }],
    filters: {
      aggregate: {
        calls: [
          { name: 'first', backendRef, request: { path: "'/users/' + request.path.id" } },
          { name: 'second', backendRef, request: { path: "'/orders?user=' + first.body.path" } },
          { name: 'third', backendRef: { name: 'nobody', port: 80 }, request: { path: "'/'" }, onError: { value: 'null' } },
        ],
        response: { body: "{'paths': [first.body.path, second.body.path], 'partial': third.failed}" },
      },
    },
  },
  {
    name: 'grpc',
    matches: [{ path: { value: '/v1' } }],
    filters: { grpcJson: { backendRef: { name: 'grpc', port: 80 }, descriptorSetRef: { name: 'descriptors', key: 'shop.pb' }, services: ['shop.Orders'] } },
  },
  {
    name: 'files',
    matches: ['/echo', '/files'].map((value) => ({ path: { value } })),
    filters: {
      grpcJson: {
        ...{ backendRef: { name: 'files', port: 80 }, descriptorSetRef: { name: 'descriptors', key: 'files.pb' }, services: ['demo.Files'] },
        ...{ requestHeaders: ['X-Tenant'], responseHeaders: ['x-total', 'x-late'] },
      },
    },
  },
  rule('introspected', { directResponse: { statusCode: 200 } }, {}),
  rule('asked', {}),
  rule('limited', { directResponse: { statusCode: 200 } }, {}),
  rule('token', { directResponse: { statusCode: 200 } }, {}),
];

function object(apiVersion: string, kind: string, name: string, fields: object): KubernetesObject {
  return { apiVersion, kind, metadata: { name, namespace }, ...fields };
}

function policy(kind: string, name: string, spec: object): KubernetesObject {
  const targetRefs = [{ group: 'tidegate.dev', kind: 'ApiRoute', name: 'filters', sectionName: name }];
  return object('tidegate.dev/v1alpha1', kind, name, { spec: { targetRefs, ...spec } });
}

/** A Service whose one endpoint is a server of this process. */
function served(name: string, address: string | undefined, port: object = {}): KubernetesObject[] {
  const slice = {
    ...{ addressType: 'IPv4', ports: [{ name: 'web', port: PORT, protocol: 'TCP' }] },
    endpoints: address === undefined ? [] : [{ addresses: [address], conditions: { ready: true } }],
  };
  return [
    object('v1', 'Service', name, { spec: { ports: [{ name: 'web', port: 80, ...port }] } }),
    { ...object('discovery.k8s.io/v1', 'EndpointSlice', name, slice), metadata: { name, namespace, labels: { 'kubernetes.io/service-name': name } } },
  ];
}

/** Knows one token, when it is asked about it (RFC 7662), and when it is asked about requests that have it. */
async function startAuthority(): Promise<void> {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += String(chunk);
    });
    request.on('end', () => {
      if (request.url === '/introspect') {
        const isGood = body.startsWith('token=good&') && request.headers.authorization === `Basic ${Buffer.from('gw:secret').toString('base64')}`;
        response.end(JSON.stringify(isGood ? { active: true, sub: 'ada' } : { active: false }));
      } else {
        const isGood = request.headers.authorization === 'Bearer good' && request.headers['x-forwarded-uri'] === '/asked?a=b';
        response.writeHead(isGood ? 200 : 403, isGood ? { 'x-user': 'ada' } : {}).end();
      }
    });
  });
  authorityAddress = await listenAsPod(wholeFile, server, PORT);
}

const here = async (path: string, question: Partial<Question> = {}): Promise<Answer> => ask(gateway, { host: HOST, path, ...question });

before(async () => {
  namespace = await cluster.namespace(wholeFile, 'filters');
  await Workload.start(wholeFile, cluster, { namespace, name: 'web' });
  files = await GrpcBackend.start(wholeFile, fileDescriptors(), ['demo.Files'], async (server) => {
    filesAddress = await listenAsPod(wholeFile, server, PORT);
  });
  await startAuthority();
  const [shop, filesSet] = [shopDescriptors(), fileDescriptors()].map((set) => set.toString('base64'));
  await cluster.apply([
    object('v1', 'ConfigMap', 'descriptors', { binaryData: { 'shop.pb': shop, 'files.pb': filesSet } }),
    ...served('files', filesAddress, { appProtocol: 'kubernetes.io/h2c' }),
    ...served('authority', authorityAddress),
    object('v1', 'Secret', 'gateway', { stringData: { secret: 'secret' } }),
    policy('AuthPolicy', 'introspected', {
      methods: [
        {
          oauth2Introspection: {
            endpoint: `http://${authorityAddress ?? 'nowhere.test'}:${PORT}/introspect`,
            ...{ clientId: 'gw', clientSecretRef: { name: 'gateway', key: 'secret' } },
          },
        },
      ],
      authorization: [{ expression: "identity.subject == 'ada'" }],
    }),
    policy('AuthPolicy', 'asked', {
      externalAuthorization: { backendRef: { name: 'authority', port: 80 }, path: '/check', timeout: '10s', headersToBackend: ['x-user'] },
    }),
    object('v1', 'Service', 'nobody', { spec: { ports: [{ port: 80 }] } }),
    object('v1', 'Service', 'grpc', { spec: { ports: [{ port: 80, appProtocol: 'kubernetes.io/h2c' }] } }),
    object('tidegate.dev/v1alpha1', 'ApiRoute', 'filters', { spec: { ingressClassName: 'tidegate', hostnames: [HOST], rules: RULES } }),
    policy('AuthPolicy', 'token', { methods: [{ jwt: { issuer, audiences: ['shop'], jwks: { inline: setOf(jwkOf(pair, 'one')) } } }] }),
    policy('RateLimitPolicy', 'token', {
      limits: [
        { requests: 2, period: '1h', key: [{ type: 'Claim', name: 'sub' }], when: "!('x-free' in request.headers)", cost: "request.method == 'POST' ? 2 : 1" },
      ],
    }),
  ]);
  gateway = await openGateway(wholeFile, cluster, { namespaces: [namespace], replicas: 1 });
  await askUntil(gateway, { host: HOST, path: '/headers' }, ({ status }) => status === 200);
});

test('cors: preflights and origins', async () => {
  const headers = { origin: 'https://a.example.com', 'access-control-request-method': 'PUT' };
  const preflight = await here('/cors', { method: 'OPTIONS', headers });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers['access-control-allow-origin'], headers.origin);
  assert.equal((await here('/cors', { headers: { origin: 'https://b.example' } })).headers['access-control-allow-origin'], undefined);
});

test('compression of answers, decompression of requests', async () => {
  const { headers } = await here('/compression', { headers: { 'accept-encoding': 'br' } });
  assert.equal(headers['content-encoding'], 'br');
  const { sample } = await here('/decompression', { method: 'POST', headers: { 'content-encoding': 'gzip' }, body: gzipSync('plain') });
  assert.equal(sample?.body, 'plain');
});

test('transform: bodies, status and headers', async () => {
  const { status, headers, body } = await here('/transform', { method: 'POST', body: '{"n":1}' });
  assert.deepEqual([status, headers['x-method'], body], [201, 'POST', '{"got":"{\\"n\\":2}"}']);
  assert.equal((await here('/transform', { method: 'POST', body: '{' })).status, 400);
});

test('errorPages in place of what the backend says', async () => {
  const { status, body } = await here('/pages', { headers: { 'x-sample-status': '503' } });
  assert.deepEqual([status, body], [503, 'sorry']);
});

test('cache: the second answer comes from the gateway', async () => {
  const first = await here('/cache');
  const second = await here('/cache');
  assert.equal(first.headers['cache-status'], 'tidegate; fwd=uri-miss; stored');
  assert.equal(second.headers['cache-status'], 'tidegate; hit');
  assert.equal(second.body, first.body);
});

test('header values by expressions', async () => {
  const { sample, headers } = await here('/headers/a');
  assert.equal(sample?.headers['x-by'], 'GET /headers/a');
  assert.equal(headers['x-status'], '200');
});

test('limits, ipAccess and faultInjection', async () => {
  assert.equal((await here('/limits', { method: 'POST', body: '12345' })).status, 413);
  assert.equal((await here('/access')).status, 403);
  assert.equal((await here('/fault')).status, 418);
});

test('aggregate: calls that need each other, and one that fails', async () => {
  const { status, body } = await here('/aggregate/7');
  assert.equal(status, 200);
  assert.deepEqual(JSON.parse(body), { paths: ['/users/7', '/orders?user=%2Fusers%2F7'], partial: true });
});

test('grpcJson: paths are those of the descriptor set in the ConfigMap', async () => {
  // Its Service has no endpoints.
  assert.equal((await here('/v1/orders/7')).status, 503);
  assert.equal((await here('/v1/unheard-of')).status, 404);
  assert.equal((await here('/v1/orders/seven')).status, 400);
});

/** A case that needs those whom policies ask. */
function local(name: string, run: () => Promise<void>): void {
  test(name, async (t) => (filesAddress === undefined || authorityAddress === undefined ? t.skip('pods do not run on this machine') : run()));
}

local('grpcJson: bodies that are no JSON, headers as metadata, and metadata as headers', async () => {
  files.respond = (_stream, { message }, answer) => answer(message, { 'x-total': '1', 'x-hidden': '1' }, { 'x-late': '2' });
  await askUntil(gateway, { host: HOST, path: '/echo', method: 'POST', headers: { 'content-type': 'image/png' }, body: '\0' }, ({ status }) => status === 200);
  const headers = { 'content-type': 'text/csv', 'x-tenant': 'acme', 'x-other': '1' };
  const answer = await here('/echo', { method: 'POST', headers, body: 'a,b' });
  assert.deepEqual([answer.status, answer.headers['content-type'], answer.body], [200, 'text/csv', 'a,b']);
  assert.deepEqual([answer.headers['x-total'], answer.headers['x-late'], answer.headers['x-hidden']], ['1', '2', undefined]);
  const { path, headers: metadata, message } = files.calls.at(-1) as GrpcBackend['calls'][number];
  assert.deepEqual([path, metadata['x-tenant'], metadata['x-other']], ['/demo.Files/Echo', 'acme', undefined]);
  assert.deepEqual(message, { contentType: 'text/csv', data: Buffer.from('a,b').toString('base64') });
  const put = await here('/files/a.txt', { method: 'PUT', headers: { 'content-type': 'text/plain' }, body: 'text' });
  assert.deepEqual(JSON.parse(put.body), { name: 'a.txt', file: { contentType: 'text/plain', data: Buffer.from('text').toString('base64') } });
  assert.equal((await here('/echo', { method: 'POST', headers: { 'content-encoding': 'gzip' }, body: 'x' })).status, 400);
});

local('oauth2Introspection: the server says whose token it is', async () => {
  const good = { authorization: 'Bearer good' };
  await askUntil(gateway, { host: HOST, path: '/introspected' }, ({ status }) => status === 401);
  // 503 until the Secret has been read.
  await askUntil(gateway, { host: HOST, path: '/introspected', headers: good }, ({ status }) => status === 200);
  assert.equal((await here('/introspected', { headers: { authorization: 'Bearer bad' } })).status, 401);
});

local('externalAuthorization: the service lets pass, and says to the backend for whom', async () => {
  const headers = { authorization: 'Bearer good', 'x-user': 'mallory' };
  await askUntil(gateway, { host: HOST, path: '/asked?a=b', headers }, ({ status }) => status === 200);
  assert.equal((await here('/asked?a=b', { headers })).sample?.headers['x-user'], 'ada');
  assert.equal((await here('/asked?a=b', { headers: { authorization: 'Bearer bad' } })).status, 403);
  assert.equal((await here('/asked?a=c', { headers })).status, 403);
});

test('jwt with inline keys; a limit by claim, with when and cost', async () => {
  const token = (sub: string): Readonly<Record<string, string>> => {
    const claims = { iss: issuer, aud: 'shop', sub, exp: Math.floor(Date.now() / 1000) + 600 };
    return { authorization: `Bearer ${tokenOf(pair, { alg: 'ES256', kid: 'one' }, claims)}` };
  };
  assert.equal((await here('/token')).status, 401);
  const paid = await here('/token', { method: 'POST', headers: token('ada') });
  assert.deepEqual([paid.status, paid.headers.ratelimit], [200, '"token";r=0;t=3600']);
  assert.equal((await here('/token', { headers: token('ada') })).status, 429);
  assert.equal((await here('/token', { headers: { ...token('ada'), 'x-free': '1' } })).status, 200);
  assert.equal((await here('/token', { headers: token('bob') })).status, 200);
});

test('a global limit is one for two gateways', async (t) => {
  const redis = await RedisServer.start(t);
  // A busy machine is no store that is down.
  const url = `redis://127.0.0.1:${redis.port}?timeout=5000`;
  await cluster.apply([
    policy('RateLimitPolicy', 'limited', { scope: 'Global', onStoreFailure: 'Deny', limits: [{ name: 'all', requests: 5, period: '1h' }] }),
  ]);
  const replicas = await Promise.all([1, 2].map(async () => startReplica(t, cluster, { namespaces: [namespace], args: ['--redis', url] })));
  const question = { host: HOST, path: '/limited' };
  const statuses: number[] = [];
  for (let round = 0; round < 4; round++) for (const replica of replicas) statuses.push((await ask(replica, question)).status);
  assert.deepEqual(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);
  // The gateway of the other cases has no Redis.
  await askUntil(gateway, question, ({ status }) => status === 503);
});
