/** Tokens through sockets: JWT with keys from everywhere, and introspection, at a provider that misbehaves. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { ec, octOf, setOf, tokenOf } from '../../src/policies/auth/jwt/tokens.fixture.ts';
import { Backend } from './backend.ts';
import { get, raw } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { IdentityProvider, ISSUER } from './identity-provider.ts';
import { wholeFile } from './lifetime.ts';
import { service } from './manifests.ts';

const BAD_KEYS = ['html', 'list', 'long', 'moved', 'gone', 'slow'] as const;
const HMAC = 'a secret of thirty-two characters!';

const rule = (name: string): string => `{ name: ${name}, matches: [{ path: { type: PathPrefix, value: /${name} } }], backendRefs: [{ name: web, port: 80 }] }`;
const policy = (name: string, method: string): string => `---
apiVersion: tidegate.dev/v1alpha1
kind: AuthPolicy
metadata: { name: ${name}, namespace: default }
spec:
  targetRefs: [{ group: tidegate.dev, kind: ApiRoute, name: web, sectionName: ${name} }]
  methods: [${method}]
  forward: { token: Strip }
`;
const jwt = (jwks: string, more = ''): string => `{ jwt: { issuer: "${ISSUER}", audiences: [shop], jwks: ${jwks}${more} } }`;
const secret = (hmac: string, password = 'pass'): string => `---
apiVersion: v1
kind: Secret
metadata: { name: keys, namespace: default }
stringData: { jwks: '${setOf(octOf(hmac))}', password: ${password} }
`;

let provider: IdentityProvider;
let backend: Backend;
let gateway: GatewayUnderTest;

const bearer = (token: string): { readonly authorization: string } => ({ authorization: `Bearer ${token}` });

async function metric(name: string): Promise<number> {
  const { body } = await get(gateway.admin, '/metrics');
  const line = body.split('\n').find((one) => one.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

before(async () => {
  provider = await IdentityProvider.start(wholeFile);
  provider.answers.set('/html', (_, response) => response.end('<html>'));
  provider.answers.set('/list', (_, response) => response.end('[]'));
  provider.answers.set('/long', (_, response) => response.end(Buffer.alloc(10 * 1024 * 1024, ' ')));
  provider.answers.set('/moved', (_, response) => response.writeHead(302, { location: `http://127.0.0.1:${provider.port}/keys` }).end());
  provider.answers.set('/slow', () => {});
  backend = await Backend.start(wholeFile);
  const url = `http://127.0.0.1:${provider.port}`;
  const names = ['url', 'places', 'hmac', 'asked', ...BAD_KEYS];
  gateway = await GatewayUnderTest.start(wholeFile, {
    'web.yaml': `${service('web', [backend.port])}---
apiVersion: tidegate.dev/v1alpha1
kind: ApiRoute
metadata: { name: web, namespace: default }
spec: { rules: [${names.map(rule).join(', ')}] }
`,
    'policies.yaml': [
      policy('url', jwt(`{ uri: "${url}/keys" }`)),
      policy('places', jwt(`{ uri: "${url}/keys" }`, ', from: [{ cookie: token }, { queryParam: access_token }]')),
      policy('hmac', jwt('{ secretRef: { name: keys, key: jwks } }', ', algorithms: [HS256]')),
      policy('asked', `{ oauth2Introspection: { endpoint: "${url}/introspect", clientId: gw, clientSecretRef: { name: keys, key: password } } }`),
      ...BAD_KEYS.map((name) => policy(name, jwt(`{ uri: "${url}/${name}" }`))),
    ].join(''),
    'keys.yaml': secret(HMAC),
  });
});

describe('jwt', () => {
  test('a good token passes, and does not reach the backend', async () => {
    assert.equal((await get(gateway.http, '/url', bearer(provider.token()))).status, 200);
    assert.doesNotMatch(backend.requests.at(-1)?.head ?? '', /authorization/i);
    assert.equal((await get(gateway.http, '/places', { cookie: `a=b; token=${provider.token()}` })).status, 200);
    assert.match(backend.requests.at(-1)?.head ?? '', /\r\nCookie: a=b(\r\n|$)/i);
    assert.equal((await get(gateway.http, `/places?access_token=${provider.token()}&q=1`)).status, 200);
    assert.match(backend.requests.at(-1)?.head ?? '', /^GET \/places\?q=1 /);
  });

  test('without one, or with a bad one: 401, the same for every flaw', async () => {
    const nobody = await get(gateway.http, '/url');
    assert.equal(nobody.status, 401);
    assert.equal(nobody.headers['www-authenticate'], 'Bearer');
    const details = new Set<string>();
    for (const [token, reason] of [
      [provider.token({ exp: 1 }), 'token_expired'],
      [provider.token({ iss: 'else' }), 'wrong_issuer'],
      [provider.token({ aud: 'else' }), 'wrong_audience'],
      [provider.token({}, 'one', ec()), 'bad_signature'],
      [`${provider.token()}=`, 'token_malformed'],
      [tokenOf(HMAC, { alg: 'HS256' }, { iss: ISSUER, aud: 'shop' }), 'token_algorithm'],
    ] as const) {
      const { status, headers, body } = await get(gateway.http, '/url', bearer(token));
      assert.equal(status, 401);
      assert.equal(headers['www-authenticate'], 'Bearer error="invalid_token"');
      details.add(JSON.stringify({ ...JSON.parse(body), requestId: '' }));
      await gateway.untilAccess((line) => line.path === '/url' && line.reason === reason);
    }
    assert.equal(details.size, 1, [...details].join('\n'));
  });

  test('two Authorization fields are 400', async () => {
    const lines = `Authorization: Bearer ${provider.token()}\r\n`.repeat(2);
    assert.match(await raw(gateway.http, `GET /url HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n${lines}\r\n`), /^HTTP\/1.1 400 /);
  });

  test('a token that comes again is not verified again', async () => {
    const token = provider.token({ sub: 'again' });
    for (let round = 0; round < 20; round++) assert.equal((await get(gateway.http, '/url', bearer(token))).status, 200);
    // One for each worker at most.
    const hits = await metric('tidegate_jwt_cache_hits_total');
    assert.ok(hits >= 10, `${hits} hits`);
  });

  test('keys are exchanged: the new ones are fetched with the first token that needs them, once for the pod and for 30 s', async () => {
    const before = provider.count('/keys');
    const old = provider.keys[0] as (typeof provider.keys)[number];
    provider.keys = [['two', ec()], old];
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => get(gateway.http, '/url', bearer(provider.token({ jti: String(index) }, 'two')))),
    );
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    assert.equal(provider.count('/keys'), before + 1);
    for (let round = 0; round < 20; round++) {
      assert.equal((await get(gateway.http, '/url', bearer(provider.token({}, `made-up-${round}`, ec())))).status, 401);
    }
    assert.equal(provider.count('/keys'), before + 1);
  });

  for (const name of BAD_KEYS) {
    test(`keys that are ${name}: 503 for who brings a token, and nobody passes`, async () => {
      const answer = await get(gateway.http, `/${name}`, bearer(provider.token()));
      assert.equal(answer.status, 503);
      assert.doesNotMatch(answer.body, /127\.0\.0\.1|jwks|keys/);
      await gateway.untilAccess((line) => line.path === `/${name}` && line.reason === 'keys_unavailable');
      assert.equal((await get(gateway.http, `/${name}`)).status, 401);
    });
  }

  test('keys that are there at last are found without anybody asking', async () => {
    provider.answers.set('/gone', provider.answers.get('/keys') as never);
    const token = provider.token();
    await gateway.until('/gone', (status) => status === 200, bearer(token));
    await gateway.untilLogged('a document can be fetched again', (line) => String(line.url).endsWith('/gone'));
    const { body } = await get(gateway.admin, '/metrics');
    assert.match(body, /tidegate_documents\{kind="jwks",state="missing"\} 5/);
    for (const result of ['ok', 'bad_content', 'too_large', 'redirected', 'bad_status', 'timed_out']) {
      assert.match(body, new RegExp(`tidegate_document_fetches_total\\{kind="jwks",result="${result}"\\} [1-9]`), result);
    }
  });

  test('keys of a Secret, and new ones', async () => {
    const claims = { iss: ISSUER, aud: 'shop' };
    const next = 'another secret of 32 characters!!';
    assert.equal((await get(gateway.http, '/hmac', bearer(tokenOf(HMAC, { alg: 'HS256' }, claims)))).status, 200);
    assert.equal((await get(gateway.http, '/hmac', bearer(tokenOf(next, { alg: 'HS256' }, claims)))).status, 401);
    await gateway.write('keys.yaml', secret(next));
    await gateway.until('/hmac', (status) => status === 200, bearer(tokenOf(next, { alg: 'HS256' }, claims)));
    await gateway.until('/hmac', (status) => status === 401, bearer(tokenOf(HMAC, { alg: 'HS256' }, claims)));
  });

  test('no token is in a log or in the snapshot, nor a key', async () => {
    const { body } = await get(gateway.admin, '/debug/snapshot');
    for (const text of [body, JSON.stringify(gateway.access), JSON.stringify(gateway.log)]) {
      assert.doesNotMatch(text, /eyJ[A-Za-z0-9_-]{10}/);
      assert.ok(!text.includes(Buffer.from(HMAC).toString('base64url')));
    }
  });
});

describe('oauth2Introspection', () => {
  test('a good token passes, a bad one does not, and each is asked about once by a worker', async () => {
    provider.introspect = (token) => ({ active: token === 'good', sub: 'ada' });
    for (let round = 0; round < 10; round++) {
      assert.equal((await get(gateway.http, '/asked', bearer('good'))).status, 200);
      assert.equal((await get(gateway.http, '/asked', bearer('bad'))).status, 401);
    }
    assert.ok(provider.questions.length <= 4 * 2, String(provider.questions.length));
    assert.match(provider.questions[0] ?? '', /^Basic Z3c6cGFzcw== token=good/);
    await gateway.untilAccess((line) => line.path === '/asked' && line.reason === 'token_inactive');
  });

  test('a token that ends before its answer does', async () => {
    provider.introspect = () => ({ active: true, exp: Math.floor(Date.now() / 1000) + 2 });
    // On a machine that has much else to do an answer may be over before it is there.
    let token = '';
    for (let status = 0, round = 0; status !== 200; round++) {
      token = `short-${round}`;
      ({ status } = await get(gateway.http, '/asked', bearer(token)));
    }
    await gateway.until('/asked', (status) => status === 401, bearer(token));
  });

  test('a server that fails: 503', async () => {
    for (const [name, answer] of [
      ['error', (_: unknown, response: { writeHead(status: number): { end(): void } }) => response.writeHead(500).end()],
      ['nonsense', (_: unknown, response: { end(text: string): void }) => response.end('{"active":"yes"}')],
      ['cut', (_: unknown, response: { destroy(): void }) => response.destroy()],
    ] as const) {
      provider.answers.set('/introspect', answer as never);
      assert.equal((await get(gateway.http, '/asked', bearer(`new-${name}`))).status, 503, name);
    }
    provider.answers.delete('/introspect');
    await gateway.untilAccess((line) => line.path === '/asked' && line.reason === 'introspection_failed');
    provider.introspect = () => ({ active: true });
    assert.equal((await get(gateway.http, '/asked', bearer('new-error'))).status, 200);
  });
});
