/** Logins through the gateway at a real OpenID provider (npm oidc-provider), by a browser that keeps cookies and follows redirects. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { Backend } from './backend.ts';
import { Browser } from './browser.ts';
import { send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { wholeFile } from './lifetime.ts';
import { service } from './manifests.ts';
import { CLIENT, OidcServer } from './oidc-server.ts';

const SESSION_KEY = 'thirty-two characters for a key!';
const HTML = { accept: 'text/html' };

let backend: Backend;
let provider: OidcServer;
let gateway: GatewayUnderTest;
/** Another replica, with the same key. */
let replica: GatewayUnderTest;

const oidc = (name: string, target: string, fields: string, rest = ''): string => `---
apiVersion: tidegate.dev/v1alpha1
kind: AuthPolicy
metadata: { name: ${name}, namespace: default }
spec:
  targetRefs: [{ kind: ApiRoute, ${target} }]
  methods: [{ oidc: { issuer: "${provider.issuer}", clientId: ${CLIENT.id}, clientSecretRef: { name: login, key: client }, ${fields} } }]
  ${rest}
`;

before(async () => {
  backend = await Backend.start(wholeFile);
  provider = await OidcServer.start(wholeFile, {
    redirectUris: ['http://app.test/oauth2/callback', 'http://app.test/open/back', 'http://other.test/oauth2/callback', 'http://pod.test/back'],
    claims: { email: 'alice@example.com', groups: ['staff'] },
  });
  const session = 'sessionSecretRef: { name: login, key: session }';
  const files = {
    'all.yaml': `${service('web', [backend.port])}---
apiVersion: v1
kind: Secret
metadata: { name: login, namespace: default }
stringData: { client: ${CLIENT.secret}, session: "${SESSION_KEY}" }
---
apiVersion: tidegate.dev/v1alpha1
kind: ApiRoute
metadata: { name: app, namespace: default }
spec:
  hostnames: [app.test]
  rules:
    - { name: private, matches: [{ path: { value: /private } }], backendRefs: [{ name: web, port: 80 }] }
    - { name: public, matches: [{ path: { value: /public } }], backendRefs: [{ name: web, port: 80 }] }
    - { name: open, matches: [{ path: { value: /open } }], backendRefs: [{ name: web, port: 80 }] }
---
apiVersion: tidegate.dev/v1alpha1
kind: ApiRoute
metadata: { name: other, namespace: default }
spec: { hostnames: [other.test], rules: [{ backendRefs: [{ name: web, port: 80 }] }] }
---
apiVersion: tidegate.dev/v1alpha1
kind: ApiRoute
metadata: { name: pod, namespace: default }
spec: { hostnames: [pod.test], rules: [{ backendRefs: [{ name: web, port: 80 }] }] }
${oidc('app', 'name: app, sectionName: private', session)}${oidc('open', 'name: app, sectionName: open', `${session}, redirectPath: /open/back, logoutPath: /open/out`, 'anonymous: Allow')}${oidc(
  'other',
  'name: other',
  session,
  `authorization: [{ expression: "'staff' in identity.claims.groups && identity.claims.email == 'alice@example.com'" }]
  forward: { headers: { x-user: identity.subject } }`,
)}${oidc('pod', 'name: pod', 'redirectPath: /back, logoutPath: /out')}`,
  };
  gateway = await GatewayUnderTest.start(wholeFile, files, ['--workers', '2']);
  replica = await GatewayUnderTest.start(wholeFile, files, ['--workers', '1']);
});

const browserAt = ({ http }: GatewayUnderTest): Browser => new Browser({ 'app.test': http, 'other.test': http, 'pod.test': http });
const cookiesOf = (browser: Browser, host = 'app.test'): string => [...browser.jar(host)].map((pair) => pair.join('=')).join('; ');
const ask = (where: GatewayUnderTest, host: string, path: string, headers: Readonly<Record<string, string>>) =>
  send(where.http, path, { headers: { host, ...headers } });

/** A browser that has logged in. */
async function loggedIn(url = 'http://app.test/private'): Promise<Browser> {
  const browser = browserAt(gateway);
  const page = await browser.open(url);
  assert.equal(page.status, 200, page.body);
  return browser;
}

test('a browser logs in, comes back to its page, and is known by every worker and every replica', async () => {
  const browser = browserAt(gateway);
  const page = await browser.open('http://app.test/private/page?a=b&c=%2F');
  assert.deepEqual([page.status, page.body, page.url], [200, 'ok', 'http://app.test/private/page?a=b&c=%2F']);
  assert.ok(
    browser.visited.some((url) => url.startsWith('http://app.test/oauth2/callback?')),
    'a path that no rule covers',
  );
  assert.deepEqual([...browser.jar('app.test').keys()], ['tg_session'], 'the login is over, and its cookie with it');
  const before = provider.requests.get('/token');
  for (let index = 0; index < 12; index++) assert.equal((await browser.request('http://app.test/private')).status, 200);
  assert.equal((await ask(replica, 'app.test', '/private', { cookie: cookiesOf(browser) })).status, 200);
  assert.equal(provider.requests.get('/token'), before, 'nobody asked the provider again');
  const head = backend.requests.at(-1)?.head ?? '';
  assert.doesNotMatch(head, /cookie/i);
  const mixed = await ask(gateway, 'app.test', '/private', {
    cookie: `theme=dark; ${cookiesOf(browser)}; tg_login=x; tg_session_login.2=x; tg_session.1=x; lang=de`,
  });
  assert.equal(mixed.status, 200);
  assert.match(backend.requests.at(-1)?.head ?? '', /^cookie: theme=dark; tg_login=x; lang=de$/im);
  const set = (await browserAt(gateway).request('http://app.test/private')).headers['set-cookie']?.[0] ?? '';
  assert.match(set, /^tg_session_login\.0=[^;]+; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax$/);
});

test('who is no browser gets 401, and so does gRPC, in its own words', async () => {
  for (const headers of [{}, { accept: 'application/json' }, { accept: '*/*' }]) {
    const answer = await ask(gateway, 'app.test', '/private', headers);
    assert.deepEqual([answer.status, answer.headers['www-authenticate'], answer.headers['set-cookie']], [401, 'Cookie', undefined]);
  }
  const grpc = await send(gateway.http, '/private', { method: 'POST', headers: { host: 'app.test', 'content-type': 'application/grpc', ...HTML } });
  assert.deepEqual([grpc.status, grpc.headers['grpc-status']], [200, '16']);
});

test('cookies that are forged, cut, of another route or another browser let nobody in', async () => {
  const browser = await loggedIn();
  const session = browser.jar('app.test').get('tg_session') as string;
  const before = backend.requests.length;
  const swapped = session.slice(0, 40) + (session[40] === 'A' ? 'B' : 'A') + session.slice(41);
  for (const value of ['', 'x', '1.', '1.x', session.slice(2), session.slice(0, -1), `${session}A`, swapped, session.replace('1.', '2.'), `"${session}"`]) {
    const answer = await ask(gateway, 'app.test', '/private', { cookie: `tg_session=${value}` });
    assert.deepEqual([answer.status, answer.headers['content-type']], [401, 'application/problem+json'], value.slice(0, 20));
    assert.equal((await ask(gateway, 'app.test', '/private', { cookie: `tg_session=${value}`, ...HTML })).status, 302, 'a browser may log in anew');
  }
  assert.equal((await ask(gateway, 'other.test', '/', { cookie: `tg_session=${session}` })).status, 401, "another policy's session");
  // A login that was begun elsewhere: an attacker's code in a victim's browser.
  const attacker = browserAt(gateway);
  const callback = (await attacker.open('http://app.test/private', (url) => url.includes('/oauth2/callback?'))).url;
  const victim = await browserAt(gateway).request(callback);
  assert.deepEqual([victim.status, victim.headers['set-cookie']], [400, undefined]);
  await gateway.untilAccess((line) => line.reason === 'oidc_state');
  assert.equal(backend.requests.length, before);
  // Once it is completed, the same URL is worth nothing.
  assert.equal((await attacker.request(callback)).status, 302);
  assert.equal((await attacker.request(callback)).status, 400);
});

test('routes of the host without the policy do not pass the session on', async () => {
  const cookie = cookiesOf(await loggedIn());
  assert.equal((await ask(gateway, 'app.test', '/public', { cookie: `theme=dark; ${cookie}; tg_session_login.2=x; tg_session.1=x` })).status, 200);
  assert.deepEqual((backend.requests.at(-1)?.head ?? '').match(/^cookie:.*$/gim), ['Cookie: theme=dark']);
});

test('anonymous: Allow lets everybody in, but for those with a bad session, and tells the backend nothing of cookies', async () => {
  assert.equal((await ask(gateway, 'app.test', '/open', { cookie: 'tg_session_login.1=x' })).status, 200);
  assert.doesNotMatch(backend.requests.at(-1)?.head ?? '', /cookie/i);
  assert.equal((await ask(gateway, 'app.test', '/open', { cookie: 'tg_session=x' })).status, 401);
});

test('an expired session is renewed, once for all requests that come with it, and lost when the provider says so', async () => {
  provider.idTokenLifetime = 1;
  const browser = browserAt(gateway);
  const { url: callback } = await browser.open('http://other.test/', (url) => url.includes('/oauth2/callback?'));
  // The page is not opened: where that took a second, this gateway would have renewed the session already, and would remember it.
  await browser.request(callback);
  const old = browser.jar('other.test').get('tg_session') as string;
  provider.idTokenLifetime = 3600;
  const before = provider.requests.get('/token') ?? 0;
  // Until it has expired the answer has no new cookie.
  let renewed: string | undefined;
  while (renewed === undefined) {
    const answers = await Promise.all([1, 2, 3, 4].map(() => ask(replica, 'other.test', '/', { cookie: `tg_session=${old}` })));
    for (const answer of answers) assert.equal(answer.status, 200);
    assert.match(backend.requests.at(-1)?.head ?? '', /^x-user: alice$/im, 'claims of the ID token are those of the identity');
    renewed = answers.at(-1)?.headers['set-cookie']?.[0];
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(provider.requests.get('/token'), before + 1);
  const again = await ask(replica, 'other.test', '/', { cookie: renewed.split(';')[0] as string });
  assert.deepEqual([again.status, again.headers['set-cookie']], [200, undefined]);
  // What the provider does not renew ends; who can't be asked is no reason to let anybody in.
  try {
    for (const [status, body, expected] of [
      [400, '{"error":"invalid_grant"}', 401],
      [500, 'oops', 503],
    ] as const) {
      provider.tokenAnswer = { status, body };
      const answer = await ask(gateway, 'other.test', '/', { cookie: `tg_session=${old}` });
      assert.equal(answer.status, expected);
      if (expected === 401) assert.equal((await ask(gateway, 'other.test', '/', { cookie: `tg_session=${old}`, ...HTML })).status, 302);
    }
  } finally {
    provider.tokenAnswer = undefined;
  }
});

test('where a refresh token is good once, requests at several workers with one old session all pass, by one refresh', async () => {
  provider.rotatesRefreshTokens = true;
  provider.idTokenLifetime = 1;
  const browser = browserAt(gateway);
  const { url: callback } = await browser.open('http://other.test/', (url) => url.includes('/oauth2/callback?'));
  await browser.request(callback);
  provider.idTokenLifetime = 3600;
  const cookie = cookiesOf(browser, 'other.test');
  const before = provider.requests.get('/token') ?? 0;
  // A connection for each, so that both workers have some.
  const askAll = () => Promise.all(Array.from({ length: 24 }, () => ask(gateway, 'other.test', '/', { cookie })));
  let answers: Awaited<ReturnType<typeof askAll>>;
  for (;;) {
    answers = await askAll();
    if (answers.some(({ headers }) => headers['set-cookie'] !== undefined)) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const statuses = [...answers, ...(await askAll())].map(({ status }) => status);
  provider.rotatesRefreshTokens = false;
  assert.deepEqual([...new Set(statuses)], [200]);
  assert.equal(provider.requests.get('/token'), before + 1);
  const renewed = String(answers.find(({ headers }) => headers['set-cookie'] !== undefined)?.headers['set-cookie']?.[0]).split(';')[0] as string;
  assert.equal((await ask(gateway, 'other.test', '/', { cookie: renewed })).status, 200);
});

test('redirectPath without a code is a link to log in by, where nobody has to', async () => {
  const browser = browserAt(gateway);
  assert.equal((await browser.open('http://app.test/open')).status, 200);
  assert.equal(browser.jar('app.test').size, 0);
  const page = await browser.open('http://app.test/open/back?return_to=/open/cart');
  assert.deepEqual([page.status, page.url], [200, 'http://app.test/open/cart']);
  assert.deepEqual([...browser.jar('app.test').keys()], ['tg_session']);
  const elsewhere = await browser.open(
    'http://app.test/open/back?return_to=//evil.test/',
    (url) => url.startsWith('http://app.test/') && !url.includes('/open/back'),
  );
  assert.equal(elsewhere.url, 'http://app.test/');
  const script = await ask(gateway, 'app.test', '/open/back', { accept: '*/*' });
  assert.deepEqual([script.status, script.headers['www-authenticate']], [401, 'Cookie']);
  const posted = await send(gateway.http, '/open/back', { method: 'POST', headers: { host: 'app.test', ...HTML } });
  assert.equal(posted.status, 400);
  await gateway.untilAccess((line) => line.reason === 'oidc_state' && line.path === '/open/back');
});

test('logout ends the session here and at the provider', async () => {
  const browser = await loggedIn();
  const answer = await browser.request('http://app.test/logout');
  assert.equal(answer.status, 302);
  assert.match(answer.headers.location ?? '', new RegExp(`^${provider.issuer}/session/end\\?`));
  assert.equal(browser.jar('app.test').size, 0);
  assert.equal((await browser.request('http://app.test/private', { accept: '*/*' })).status, 401);
});

test('without a key for sessions each pod makes one, says so, and knows its own sessions alone', async () => {
  const browser = await loggedIn('http://pod.test/');
  for (let index = 0; index < 6; index++) assert.equal((await browser.request('http://pod.test/')).status, 200);
  assert.equal((await ask(replica, 'pod.test', '/', { cookie: cookiesOf(browser, 'pod.test') })).status, 401);
  assert.ok(gateway.log.some((line) => JSON.stringify(line).includes('there is no key for sessions')));
});

test('who the provider turns away is told so; decisions are counted; nothing secret is in logs and metrics', async () => {
  provider.user = undefined;
  const page = await browserAt(gateway).open('http://app.test/private');
  provider.user = 'alice';
  assert.equal(page.status, 403);
  const callback = await gateway.untilAccess((line) => line.reason === 'oidc_denied');
  assert.match(String(callback.path), /^\/oauth2\/callback\?.*&state=\[redacted\]/);
  const metrics = (await send(gateway.admin, '/metrics')).body;
  for (const decision of ['allowed', 'refused', 'failed']) {
    assert.match(metrics, new RegExp(`^tidegate_auth_decisions_total\\{[^}]*method="oidc",decision="${decision}"[^}]*\\} [1-9]`, 'm'));
  }
  const told = [...gateway.access, ...gateway.log].map((line) => JSON.stringify(line)).join('\n') + metrics;
  for (const secret of [CLIENT.secret, SESSION_KEY]) assert.ok(!told.includes(secret), secret);
  assert.doesNotMatch(told, /[?&](code|state)=[^[]/);
});

test('a Secret that is gone closes the route with 503; with its value back, sessions of before are good again', async () => {
  const browser = await loggedIn();
  const file = (client: string): string => `---
apiVersion: v1
kind: Secret
metadata: { name: login, namespace: default }
stringData: { ${client} }
`;
  const { readFile } = await import('node:fs/promises');
  const all = await readFile(`${gateway.folder}/all.yaml`, 'utf8');
  const secret = /---\napiVersion: v1\nkind: Secret\n[\s\S]*?(?=---)/;
  await gateway.write('all.yaml', all.replace(secret, file('other: value')));
  await gateway.until('/private', (status) => status === 503, { host: 'app.test', cookie: cookiesOf(browser) });
  assert.equal((await ask(gateway, 'app.test', '/private', HTML)).status, 503);
  await gateway.write('all.yaml', all);
  await gateway.until('/private', (status) => status === 200, { host: 'app.test', cookie: cookiesOf(browser) });
});
