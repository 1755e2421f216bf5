/** External authorization by real servers: of HTTP on node:http, of Envoy's gRPC API on @grpc/grpc-js. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { Authority } from '../certificates/authority.ts';
import { Backend } from './backend.ts';
import { type Answer, raw, send } from './client.ts';
import { ALLOWED, type Check, ExtAuthzServer } from './ext-authz-server.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, wholeFile } from './lifetime.ts';
import { apiRoute, endpoints, service } from './manifests.ts';

let backend: Backend;
let gateway: GatewayUnderTest;
let grpc: ExtAuthzServer;
/** Over TLS, by a name. */
let secure: ExtAuthzServer;
let web: Server;
const asked: IncomingMessage[] = [];
let answerCheck: RequestListener;

const authPolicy = (rule: string, spec: string): string => `---
apiVersion: tidegate.dev/v1alpha1
kind: AuthPolicy
metadata: { name: ${rule}, namespace: default }
spec:
  targetRefs: [{ kind: ApiRoute, name: shop, sectionName: ${rule} }]
  ${spec}
`;

const RULES = ['http', 'url', 'some', 'open', 'gone', 'goneopen', 'late', 'grpc', 'grpcurl', 'grpcopen', 'grpcs', 'othername', 'nobody', 'keyed'];

before(async () => {
  backend = await Backend.start(wholeFile);
  grpc = await ExtAuthzServer.start(wholeFile, () => ALLOWED);
  const authority = new Authority('authority of the test');
  const issued = authority.issue({ names: ['localhost'] });
  secure = await ExtAuthzServer.start(wholeFile, () => ALLOWED, issued);
  const trusted = await mkdtemp(join(tmpdir(), 'tidegate-authority-'));
  endWith(wholeFile, () => rm(trusted, { recursive: true }));
  await writeFile(join(trusted, 'ca.pem'), authority.cert);
  web = createServer((message, response) => {
    asked.push(message);
    answerCheck(message, response);
  });
  web.listen(0, '127.0.0.1');
  await once(web, 'listening');
  endWith(wholeFile, () => {
    web.close();
    web.closeAllConnections();
  });
  const { port } = web.address() as AddressInfo;
  const rules = RULES.map((name) => `    - { name: ${name}, matches: [{ path: { value: /${name} } }], backendRefs: [{ name: web, port: 80 }] }`).join('\n');
  gateway = await GatewayUnderTest.start(
    wholeFile,
    {
      'route.yaml': service('web', [backend.port]) + apiRoute('shop', `  rules:\n${rules}`),
      'check.yaml': `${service('check', [port])}${service('empty', [])}---
apiVersion: v1
kind: Service
metadata: { name: authz, namespace: default }
spec: { ports: [{ name: http, port: 80, appProtocol: kubernetes.io/h2c }] }
${endpoints('authz', [grpc.port])}`,
      'policies.yaml': [
        authPolicy(
          'http',
          'externalAuthorization: { backendRef: { name: check, port: 80 }, path: /verify?a=b, timeout: 10s, headersToBackend: [x-user, x-none] }',
        ),
        authPolicy('url', `externalAuthorization: { url: "http://127.0.0.1:${port}/by/url?c=d", timeout: 10s }`),
        authPolicy('some', 'externalAuthorization: { backendRef: { name: check, port: 80 }, timeout: 10s, requestHeaders: [Authorization, X-Kept] }'),
        authPolicy('open', 'externalAuthorization: { backendRef: { name: check, port: 80 }, timeout: 10s, failOpen: true, headersToBackend: [x-user] }'),
        authPolicy('gone', 'externalAuthorization: { backendRef: { name: empty, port: 80 } }'),
        authPolicy('goneopen', 'externalAuthorization: { backendRef: { name: empty, port: 80 }, failOpen: true }'),
        authPolicy('late', 'externalAuthorization: { backendRef: { name: check, port: 80 }, timeout: 50ms }'),
        authPolicy('grpc', 'externalAuthorization: { backendRef: { name: authz, port: 80 }, protocol: GRPC, timeout: 10s, headersToBackend: [x-spoofed] }'),
        authPolicy('grpcurl', `externalAuthorization: { url: "http://127.0.0.1:${grpc.port}", protocol: GRPC, timeout: 10s, requestHeaders: [x-kept] }`),
        authPolicy('grpcopen', 'externalAuthorization: { backendRef: { name: authz, port: 80 }, protocol: GRPC, timeout: 10s, failOpen: true }'),
        authPolicy('grpcs', `externalAuthorization: { url: "https://localhost:${secure.port}", protocol: GRPC, timeout: 10s }`),
        authPolicy('othername', `externalAuthorization: { url: "https://127.0.0.1:${secure.port}", protocol: GRPC, timeout: 10s }`),
        authPolicy('nobody', 'externalAuthorization: { backendRef: { name: missing, port: 80 } }'),
        authPolicy('keyed', 'methods: [{ apiKey: {} }]\n  externalAuthorization: { backendRef: { name: authz, port: 80 }, protocol: GRPC, timeout: 10s }'),
      ].join(''),
      'consumer.yaml': `---
apiVersion: v1
kind: Secret
metadata: { name: acme, namespace: default }
stringData: { key: key-of-acme }
---
apiVersion: tidegate.dev/v1alpha1
kind: ApiConsumer
metadata: { name: acme, namespace: default }
spec: { apiKeys: [{ secretRef: { name: acme, key: key } }] }
`,
    },
    ['--workers', '1'],
    { NODE_EXTRA_CA_CERTS: join(trusted, 'ca.pem') },
  );
});

const reach = (path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET', body?: string): Promise<Answer> => {
  asked.length = 0;
  grpc.checks.length = 0;
  backend.requests.length = 0;
  return send(gateway.http, path, { method, headers: { host: 'shop.test', ...headers }, ...(body === undefined ? {} : { body }) });
};
const lastCheck = (): Check['attributes'] => {
  const check = grpc.checks.at(-1);
  assert.ok(check !== undefined, 'the server was not asked');
  return check.attributes;
};
const seen = (): string => backend.requests.at(-1)?.head ?? '';

async function refused(path: string, expected: number, reason: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const answer = await reach(path, headers);
  assert.equal(answer.status, expected, `${path}: ${answer.body}`);
  assert.equal(backend.requests.length, 0, 'the backend was called');
  await gateway.untilAccess((line) => line.requestId === answer.headers['x-request-id'] && line.reason === reason);
  return answer;
}

test('HTTP: the check is told of the request, and 2xx lets it pass with the headers that the policy names', async () => {
  answerCheck = (_message, response) => response.writeHead(204, [...['X-User', 'alice', 'X-User', 'a2', 'X-Other', 'o'], ...['Set-Cookie', 'a=b']]).end();
  const answer = await reach(
    '/http/%7Eitem?x=1&y=%20',
    { 'x-user': 'mallory', 'x-none': 'mallory', 'x-original-url': 'http://evil', 'x-forwarded-uri': '/evil', cookie: 'c=d', authorization: 'Bearer t' },
    'POST',
    'body',
  );
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.headers['set-cookie'], ['a=b']);
  const { method, url, headers } = asked[0] as IncomingMessage;
  assert.deepEqual([method, url, headers.host], ['POST', '/verify?a=b', 'check.default']);
  assert.deepEqual(
    ['x-forwarded-method', 'x-forwarded-uri', 'x-forwarded-host', 'x-forwarded-proto', 'x-original-method', 'x-original-url', 'x-auth-request-redirect'].map(
      (name) => headers[name],
    ),
    ['POST', '/http/~item?x=1&y=%20', 'shop.test', 'http', 'POST', 'http://shop.test/http/~item?x=1&y=%20', '/http/~item?x=1&y=%20'],
  );
  assert.deepEqual(
    [headers.cookie, headers.authorization, headers['x-forwarded-for'], headers['transfer-encoding']],
    ['c=d', 'Bearer t', '127.0.0.1', undefined],
  );
  assert.ok(headers['content-length'] === undefined || headers['content-length'] === '0');
  assert.match(seen(), /^POST \/http\/~item\?x=1&y=%20 /);
  assert.deepEqual(
    [...seen().matchAll(/^x-user: (.*)$/gim)].map((match) => match[1]),
    ['alice', 'a2'],
  );
  assert.doesNotMatch(seen(), /x-none|x-other|x-forwarded-uri|mallory/i);
  assert.equal(backend.requests[0]?.body, 'body');
});

test('HTTP: 401, 403 and redirects go to the client with headers and body; nothing else of the answer counts', async () => {
  for (const [code, fields, body] of [
    [401, { 'www-authenticate': 'Basic realm="x"', 'content-type': 'text/plain', 'set-cookie': 'n=1' }, 'who?'],
    [403, { 'x-why': 'never' }, ''],
    [302, { location: 'https://login.test/?rd=x' }, 'moved'],
    [307, { location: '/in' }, ''],
  ] as const) {
    answerCheck = (_message, response) => response.writeHead(code, fields).end(body);
    const answer = await refused('/http', code, 'ext_authz_denied');
    for (const [name, value] of Object.entries(fields)) assert.equal(String(answer.headers[name]), value);
    if (body !== '') assert.equal(answer.body, body);
  }
  for (const code of [304, 400, 404, 429, 500, 503]) {
    answerCheck = (_message, response) => response.writeHead(code).end();
    const answer = await refused('/http', 503, 'ext_authz_bad_answer');
    assert.equal(answer.headers['content-type'], 'application/problem+json');
  }
});

test('HTTP: by URL, with its own Host, path and query; and with some of the headers', async () => {
  answerCheck = (_message, response) => response.end('ok');
  assert.equal((await reach('/url/x', { 'x-a': '1' })).status, 200);
  const { url, headers } = asked[0] as IncomingMessage;
  assert.deepEqual(
    [url, headers.host, headers['x-a'], headers['x-forwarded-uri']],
    ['/by/url?c=d', `127.0.0.1:${(web.address() as AddressInfo).port}`, '1', '/url/x'],
  );
  assert.equal((await reach('/some', { 'x-a': '1', 'x-kept': '2', authorization: 'Basic x', cookie: 'a=b' })).status, 200);
  const some = (asked[0] as IncomingMessage).headers;
  assert.deepEqual(
    [some['x-a'], some.cookie, some['x-kept'], some.authorization, some['x-forwarded-for']],
    [undefined, undefined, '2', 'Basic x', '127.0.0.1'],
  );
});

test('a check that fails, is late, or has nowhere to go closes the route; only failOpen opens it, and no header is spoofed then', async () => {
  answerCheck = (_message, response) => void response.destroy();
  await refused('/http', 503, 'ext_authz_failed');
  assert.equal((await reach('/open', { 'x-user': 'mallory' })).status, 200);
  assert.doesNotMatch(seen(), /mallory/);
  answerCheck = () => {};
  await refused('/late', 503, 'ext_authz_timeout');
  await refused('/gone', 503, 'ext_authz_failed');
  await refused('/nobody', 503, 'ext_authz_failed');
  assert.equal((await reach('/goneopen')).status, 200);
  // What is no failure is no reason to let anybody pass.
  answerCheck = (_message, response) => response.writeHead(403).end();
  await refused('/open', 403, 'ext_authz_denied');
  answerCheck = (_message, response) => response.writeHead(500).end();
  assert.equal((await reach('/open')).status, 200);
  // A client can bring about what is no answer: by conditions, ranges, or more than the service takes.
  for (const status of [304, 400, 404, 412, 416, 431]) {
    answerCheck = (_message, response) => response.writeHead(status).end();
    await refused('/open', 503, 'ext_authz_bad_answer', { 'if-none-match': '*' });
  }
  // A no whose rest can't be had is none the less.
  answerCheck = (_message, response) => response.writeHead(403).end(Buffer.alloc(1024 * 1024 + 1));
  await refused('/open', 503, 'ext_authz_failed');
  answerCheck = (_message, response) => response.writeHead(401, { 'content-encoding': 'gzip' }).end('plain');
  await refused('/open', 503, 'ext_authz_failed');
  answerCheck = (_message, response) => void response.writeHead(403, { 'content-length': '9' }).write('no', () => response.destroy());
  await refused('/open', 503, 'ext_authz_failed');
  for (const status of [200, 500]) {
    answerCheck = (_message, response) => void response.writeHead(status, { 'content-length': '9' }).write('?', () => response.destroy());
    assert.equal((await reach('/open')).status, 200);
  }
});

test('gRPC: the server is told of the request, and changes what the backend and the client get', async () => {
  const header = (key: string, value: string, rest: object = {}): object => ({ header: { key, value }, ...rest });
  grpc.decide = () => ({
    ...ALLOWED,
    ok_response: {
      headers: [
        header('x-user', 'alice'),
        header('x-list', 'two', { append: { value: true } }),
        header('host', 'evil.test'),
        header('content-length', '0'),
        header('x-absent', 'new', { append_action: 'ADD_IF_ABSENT' }),
        header('x-list', 'never', { append_action: 'ADD_IF_ABSENT' }),
      ],
      headers_to_remove: ['authorization', 'host'],
      response_headers_to_add: [header('x-answer', 'yes')],
      query_parameters_to_set: [{ key: 'who', value: 'a&b' }],
      query_parameters_to_remove: ['token'],
    },
  });
  const answer = await reach(
    '/grpc/x?token=t&who=1&who=2&z=3',
    { authorization: 'Bearer t', 'x-user': 'mallory', 'x-spoofed': 'mallory', 'x-list': 'one' },
    'POST',
    'body',
  );
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['x-answer'], 'yes');
  const { source, request } = lastCheck();
  assert.equal(source.address.socket_address.address, '127.0.0.1');
  const { id, method, path, host, scheme, protocol, size, headers } = request.http;
  assert.deepEqual(
    { method, path, host, scheme, protocol, size },
    { method: 'POST', path: '/grpc/x?token=t&who=1&who=2&z=3', host: 'shop.test', scheme: 'http', protocol: 'HTTP/1.1', size: 4 },
  );
  assert.equal(id, answer.headers['x-request-id']);
  assert.deepEqual([headers[':path'], headers.authorization, headers['x-list']], [path, 'Bearer t', 'one']);
  assert.match(seen(), /^POST \/grpc\/x\?z=3&who=a%26b /);
  assert.match(seen(), /^host: shop.test$/im);
  assert.match(seen(), /^x-user: alice$/im);
  assert.match(seen(), /^x-absent: new$/im);
  assert.deepEqual(
    [...seen().matchAll(/^x-list: (.*)$/gim)].map((match) => match[1]),
    ['one', 'two'],
  );
  assert.doesNotMatch(seen(), /mallory|authorization|evil|never/i);
  assert.equal(backend.requests[0]?.body, 'body');
});

test('gRPC: denied with what the server says; by URL; and no answer is no permission', async () => {
  grpc.decide = () => ({
    status: { code: status.UNAUTHENTICATED },
    denied_response: { status: { code: 401 }, headers: [{ header: { key: 'www-authenticate', value: 'Bearer' } }], body: 'nö' },
  });
  const denied = await refused('/grpc', 401, 'ext_authz_denied');
  assert.deepEqual([denied.headers['www-authenticate'], denied.body], ['Bearer', 'nö']);
  assert.equal((await refused('/grpcurl', 401, 'ext_authz_denied', { 'x-kept': '1', 'x-a': '2' })).body, 'nö');
  const { headers } = lastCheck().request.http;
  assert.deepEqual(
    Object.keys(headers).filter((name) => !name.startsWith(':')),
    ['x-kept'],
  );
  grpc.decide = () => ({ status: { code: status.PERMISSION_DENIED } });
  await refused('/grpc', 403, 'ext_authz_denied');
  await refused('/grpcopen', 403, 'ext_authz_denied');
  grpc.decide = () => status.INTERNAL;
  await refused('/grpc', 503, 'ext_authz_bad_answer');
  assert.equal((await reach('/grpcopen')).status, 200);
  // A header that would split the message.
  grpc.decide = () => ({ ...ALLOWED, ok_response: { headers: [{ header: { key: 'x-a', value: 'a\r\nx-b: c' } }] } });
  await refused('/grpc', 503, 'ext_authz_bad_answer');
  // A no stays one, whatever comes along with it; and so does what the service says of the request.
  grpc.decide = () => ({ status: { code: status.PERMISSION_DENIED }, denied_response: { headers: [{ header: { key: 'x-a', value: 'a\r\nx-b: c' } }] } });
  await refused('/grpcopen', 503, 'ext_authz_bad_answer');
  for (const code of [status.INVALID_ARGUMENT, status.PERMISSION_DENIED, status.RESOURCE_EXHAUSTED, status.UNAUTHENTICATED]) {
    grpc.decide = () => code;
    await refused('/grpcopen', 503, 'ext_authz_bad_answer');
  }
  grpc.decide = () => ALLOWED;
});

test('gRPC: a denial is one message, whatever its status and its headers are', async () => {
  const header = (key: string, value: string): object => ({ header: { key, value }, append: { value: true } });
  for (const code of [200, 204, 205, 304, 299, 599]) {
    grpc.decide = () => ({
      status: { code: status.PERMISSION_DENIED },
      denied_response: {
        status: { code },
        headers: [
          header('set-cookie', 'a=1'),
          header('set-cookie', 'b=2'),
          ...['content-length', 'transfer-encoding', 'connection', 'upgrade', 'trailer', 'keep-alive', 'content-type'].map((name) => header(name, '5')),
        ],
        body: 'no\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
      },
    });
    const answers = await raw(gateway.http, 'GET /grpc HTTP/1.1\r\nHost: shop.test\r\n\r\nGET /none HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n');
    assert.match(answers, new RegExp(`^HTTP/1.1 ${code} .*\\r\\nset-cookie: a=1\\r\\nset-cookie: b=2\\r\\n`));
    assert.equal(answers.match(/^HTTP\/1\.1 404 /gm)?.length, 1, answers);
    assert.doesNotMatch(answers, /^(?:content-length: 5\r|transfer-encoding|upgrade|trailer|keep-alive)/im);
  }
  // What HTTP has no such status for is a plain no.
  for (const code of [0, 100, 101, 199, 600, 1000]) {
    grpc.decide = () => ({ status: { code: status.PERMISSION_DENIED }, denied_response: { status: { code } } });
    await refused('/grpc', 403, 'ext_authz_denied');
  }
  grpc.decide = () => ALLOWED;
});

test('gRPC by an https URL: its name is resolved, and its certificate verified', async () => {
  secure.decide = () => ({ status: { code: status.PERMISSION_DENIED }, denied_response: { status: { code: 403 }, body: 'over TLS' } });
  assert.equal((await refused('/grpcs', 403, 'ext_authz_denied')).body, 'over TLS');
  secure.decide = () => ALLOWED;
  assert.equal((await reach('/grpcs')).status, 200);
  const { length } = secure.checks;
  await refused('/othername', 503, 'ext_authz_failed');
  assert.equal(secure.checks.length, length);
});

test('a caller of gRPC gets a status of gRPC', async () => {
  grpc.decide = () => ({ status: { code: status.UNAUTHENTICATED }, denied_response: { status: { code: 401 }, body: 'who?' } });
  const answer = await reach('/grpc', { 'content-type': 'application/grpc' }, 'POST', '');
  assert.deepEqual([answer.status, answer.headers['grpc-status'], answer.headers['content-type'], answer.body], [200, '16', 'application/grpc', '']);
  grpc.decide = () => ALLOWED;
});

test('after the methods: who they do not let in is not asked about, and whom they know the server is told of', async () => {
  await refused('/keyed', 401, 'no_credential');
  assert.equal(grpc.checks.length, 0);
  assert.equal((await reach('/keyed', { 'x-api-key': 'key-of-acme' })).status, 200);
  assert.equal(lastCheck().source.principal, 'acme');
});

test('decisions are counted, and calls are in the access log', async () => {
  const answer = await reach('/grpc');
  const line = await gateway.untilAccess((one) => one.requestId === answer.headers['x-request-id']);
  assert.equal((line.calls as readonly { name: string; status: number }[])[0]?.name, 'externalAuthorization');
  const metrics = (await send(gateway.admin, '/metrics')).body;
  for (const decision of ['allowed', 'refused', 'failed']) {
    const series = new RegExp(
      `^tidegate_auth_decisions_total\\{[^}]*policy="default/http",method="externalAuthorization",decision="${decision}"[^}]*\\} [1-9]`,
      'm',
    );
    assert.match(metrics, series);
  }
});
