/** AuthPolicies and ApiConsumers as clients and backends see them. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { Backend } from './backend.ts';
import { type Answer, get, raw, send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { Http2Client } from './http2-client.ts';
import { wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

let backend: Backend;
let gateway: GatewayUnderTest;

const policy = (name: string, target: string, rest: string): string => `---
apiVersion: tidegate.dev/v1alpha1
kind: AuthPolicy
metadata: { name: ${name}, namespace: default }
spec:
  targetRefs: [{ group: tidegate.dev, kind: ApiRoute, name: shop, sectionName: ${target} }]
  ${rest}
`;
const secret = (name: string, values: string): string => `---
apiVersion: v1
kind: Secret
metadata: { name: ${name}, namespace: default }
stringData: ${values}
`;
const consumer = (name: string, spec: string): string => `---
apiVersion: tidegate.dev/v1alpha1
kind: ApiConsumer
metadata: { name: ${name}, namespace: default }
spec: ${spec}
`;
const rule = (name: string, filters = '{}'): string => `
    - name: ${name}
      matches: [{ path: { value: /${name} } }]
      filters: ${filters}
      backendRefs: [{ name: web, port: 80 }]`;
const acme = (keys: string): string =>
  secret('acme', keys) + consumer('acme', '{ groups: [gold], apiKeys: [{ secretRef: { name: acme, key: a } }, { secretRef: { name: acme, key: b } }] }');

before(async () => {
  backend = await Backend.start(wholeFile);
  gateway = await GatewayUnderTest.start(
    wholeFile,
    {
      'services.yaml': service('web', [backend.port]),
      'routes.yaml': apiRoute(
        'shop',
        `  hostnames: [shop.test]
  rules:${rule('keys', '{ urlRewrite: { path: { type: ReplacePrefixMatch, value: /admin } } }')}${rule('kept', '{ cache: {} }')}${rule('admin')}${rule('people')}${rule('lost')}${rule('bad')}${rule('open')}`,
      ),
      'policies.yaml':
        policy(
          'keys',
          'keys',
          `methods: [{ apiKey: { from: [{ header: x-api-key }, { queryParam: k }] } }]\n  forward: { headers: { x-user: identity.subject }, token: Strip }`,
        ) +
        policy('kept', 'kept', 'methods: [{ apiKey: { from: [{ queryParam: k }] } }]\n  forward: { token: Strip }') +
        policy('admin', 'admin', `methods: [{ apiKey: {} }]\n  authorization: [{ expression: "'gold' in identity.groups", message: needs gold }]`) +
        policy('people', 'people', 'methods: [{ basic: { secretRef: { name: users } } }]\n  forward: { headers: { x-user: identity.subject } }') +
        policy('lost', 'lost', 'methods: [{ basic: { secretRef: { name: nowhere } } }]') +
        policy('bad', 'bad', 'methods: [{ apiKey: { form: [] } }]') +
        policy('open', 'open', 'methods: [{ apiKey: {} }]\n  anonymous: Allow\n  forward: { headers: { x-user: identity.subject } }'),
      'acme.yaml': acme('{ a: key-a, b: key-b }'),
      'globex.yaml': secret('globex', '{ key: key-of-globex }') + consumer('globex', '{ apiKeys: [{ secretRef: { name: globex, key: key } }] }'),
      'users.yaml': secret('users', '{ auth: "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=" }'),
    },
    ['--workers', '2'],
  );
});

const shop = (path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> => get(gateway.http, path, { host: 'shop.test', ...headers });
const lastHead = (): string => backend.requests.at(-1)?.head ?? '';

test('an API key gets through, and the backend is told whose it is in place of the key', async () => {
  assert.equal((await shop('/keys/1', { 'x-api-key': 'key-a', 'X-User': 'root' })).status, 200);
  assert.match(lastHead(), /^GET \/admin\/1 HTTP/);
  assert.match(lastHead(), /\r\nx-user: acme/i);
  assert.doesNotMatch(lastHead(), /key-a|root/);
  assert.equal((await shop('/keys/2?a=1&k=key-b&b=2')).status, 200);
  assert.match(lastHead(), /^GET \/admin\/2\?a=1&b=2 HTTP/);
});

test('a key that is stripped does not get through to the backend by way of a cache', async () => {
  assert.equal((await shop('/kept/1?a=1&k=key-a&b=2')).status, 200);
  assert.match(lastHead(), /^GET \/kept\/1\?a=1&b=2 HTTP/);
});

test('nobody, unknown keys and keys twice are refused, with a reason in the log and none told', async () => {
  const before = backend.requests.length;
  const nobody = await shop('/keys/nobody');
  assert.equal(nobody.status, 401);
  assert.equal(nobody.headers['www-authenticate'], 'ApiKey');
  assert.equal(nobody.headers['content-type'], 'application/problem+json');
  const unknown = await shop('/keys/unknown', { 'x-api-key': 'key-c' });
  assert.equal(unknown.status, 401);
  assert.doesNotMatch(unknown.body, /unknown_api_key|acme/);
  const twice = await raw(gateway.http, 'GET /keys/twice HTTP/1.1\r\nHost: shop.test\r\nX-Api-Key: key-a\r\nX-Api-Key: key-b\r\nConnection: close\r\n\r\n');
  assert.match(twice, /^HTTP\/1.1 400 /);
  assert.equal(backend.requests.length, before);
  for (const [path, reason] of [
    ['/keys/nobody', 'no_credential'],
    ['/keys/unknown', 'unknown_api_key'],
    ['/keys/twice', 'repeated_credential'],
  ]) {
    assert.equal((await gateway.untilAccess((line) => line.path === path)).reason, reason);
  }
});

test('the log names the consumer, and no credential', async () => {
  await shop('/keys/logged?k=key-a&x=1', { referer: 'http://shop.test/keys/page?a=b&k=key-a' });
  const line = await gateway.untilAccess(({ path }) => path.startsWith('/keys/logged'));
  assert.equal(line.consumer, 'acme');
  assert.equal(line.path, '/keys/logged?k=[redacted]&x=1');
  assert.equal(line.referer, 'http://shop.test/keys/page?a=b&k=[redacted]');
  const dump = await get(gateway.admin, '/debug/snapshot');
  assert.match(dump.body, /acme/);
  assert.doesNotMatch(dump.body, /key-a|key-of-globex|5en6G6MezRro/);
});

test('a rule by groups: 403 for who is known and not in it, however the path is written', async () => {
  const before = backend.requests.length;
  assert.equal((await shop('/admin', { 'x-api-key': 'key-a' })).status, 200);
  for (const path of ['/admin', '/%61dmin', '/x/../admin', '/admin/', '/./admin/x']) {
    const answer = await shop(path, { 'x-api-key': 'key-of-globex' });
    assert.equal(answer.status, 403, path);
    assert.match(answer.body, /needs gold/);
    assert.equal((await shop(path)).status, 401, path);
  }
  assert.equal((await shop('/open/..%2fadmin', { 'x-api-key': 'key-of-globex' })).status, 400);
  assert.equal((await shop('/open%5c..%5cadmin')).status, 400);
  assert.equal(backend.requests.length, before + 1);
});

test('passwords of an htpasswd file', async () => {
  const basic = (pair: string) => ({ authorization: `Basic ${Buffer.from(pair).toString('base64')}` });
  assert.equal((await shop('/people', basic('alice:secret'))).status, 200);
  const wrong = await shop('/people', basic('alice:Secret'));
  assert.equal(wrong.status, 401);
  assert.equal(wrong.headers['www-authenticate'], 'Basic realm="people", charset="UTF-8"');
  assert.equal((await shop('/people', basic('bob:secret'))).status, 401);
});

test('what can not be checked is closed: a Secret that is missing, a policy that never was good', async () => {
  assert.equal((await shop('/lost', { authorization: 'Basic YTpi' })).status, 503);
  assert.equal((await gateway.untilAccess(({ path }) => path === '/lost')).reason, 'passwords_missing');
  assert.equal((await shop('/bad', { 'x-api-key': 'key-a' })).status, 503);
  assert.equal((await gateway.untilAccess(({ path }) => path === '/bad')).reason, 'auth_policy_invalid');
});

test('what forward names is nothing for a client to say, in trailers no more than in headers', async () => {
  const head = 'Host: shop.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: x-user, x-sum\r\n';
  const credentials = 'x-api-key: key-a\r\nAuthorization: Basic YWxpY2U6c2VjcmV0\r\n';
  for (const rule of ['keys', 'people', 'open']) {
    const body = `2\r\nhi\r\n0\r\nX-User: root\r\nx-sum: ${rule}\r\n\r\n`;
    const answer = await raw(gateway.http, `POST /${rule}/trailers HTTP/1.1\r\n${head}${credentials}\r\n${body}`);
    assert.match(answer, /^HTTP\/1.1 200 /);
    assert.ok(
      backend.streams.some((bytes) => bytes.includes(`\r\nx-sum: ${rule}\r\n`)),
      rule,
    );
  }
  for (const bytes of backend.streams) assert.doesNotMatch(bytes, /root/);
});

test('who is anonymous says nothing of itself to the backend', async () => {
  assert.equal((await shop('/open', { 'x-user': 'root' })).status, 200);
  assert.doesNotMatch(lastHead(), /x-user/i);
});

test('gRPC and HTTP/2 are told in their own way', async () => {
  const client = new Http2Client(wholeFile, `http://127.0.0.1:${gateway.http}`);
  const grpc = (headers: Readonly<Record<string, string>>) =>
    client.send('/admin/x', { method: 'POST', headers: { ':authority': 'shop.test', 'content-type': 'application/grpc', te: 'trailers', ...headers } });
  const nobody = await grpc({});
  assert.deepEqual([nobody.headers[':status'], nobody.headers['grpc-status']], [200, '16']);
  const other = await grpc({ 'x-api-key': 'key-of-globex' });
  assert.deepEqual([other.headers[':status'], other.headers['grpc-status']], [200, '7']);
  const plain = await client.send('/admin/x', { headers: { ':authority': 'shop.test' } });
  assert.deepEqual([plain.headers[':status'], plain.headers['www-authenticate']], [401, 'ApiKey']);
});

test('decisions are counted by policy and method', async () => {
  const { body } = await get(gateway.admin, '/metrics');
  for (const labels of [
    'policy="default/keys",method="apiKey",decision="allowed"',
    'policy="default/keys",method="apiKey",decision="refused"',
    'policy="default/keys",method="none",decision="refused"',
    'policy="default/admin",method="authorization",decision="refused"',
    'policy="default/lost",method="basic",decision="failed"',
  ]) {
    assert.match(body, new RegExp(`tidegate_auth_decisions_total\\{${labels}\\} [1-9]`));
  }
});

test('a key that is replaced: the new one holds before the old one goes, and the routes are left alone', async () => {
  await gateway.write('acme.yaml', acme('{ a: key-b, b: key-c }'));
  await gateway.until('/open', (status) => status === 200, { host: 'shop.test', 'x-api-key': 'key-c' });
  assert.equal((await shop('/keys/new', { 'x-api-key': 'key-b' })).status, 200);
  await gateway.until('/keys/old', (status) => status === 401, { host: 'shop.test', 'x-api-key': 'key-a' });
  await gateway.write('acme.yaml', '');
  await gateway.until('/keys/gone', (status) => status === 401, { host: 'shop.test', 'x-api-key': 'key-c' });
  assert.equal((await send(gateway.http, '/keys/other', { headers: { host: 'shop.test', 'x-api-key': 'key-of-globex' } })).status, 200);
});
