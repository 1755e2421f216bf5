/** Logins at a real OpenID provider, without a gateway around them. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser } from '../../../../test/gateway/browser.ts';
import { wholeFile } from '../../../../test/gateway/lifetime.ts';
import { CLIENT, OidcServer } from '../../../../test/gateway/oidc-server.ts';
import type { Exchange, Reply } from '../../../exchange/exchange.ts';
import { Fetcher } from '../../../fetch/fetcher.ts';
import type { Documents } from '../../../fetch/worker-documents.ts';
import { discoveryUrl } from '../../../snapshot/documents.ts';
import { exchangeOf } from '../../exchange.fixture.ts';
import { Logins } from './login.ts';
import { OidcProvider, type ProviderError } from './provider.ts';
import { Seal } from './seal.ts';
import { renewSession, Sessions } from './session.ts';

const REDIRECT = 'http://app.test/oauth2/callback';
const fetcher = new Fetcher({ allowLoopback: true });
let server: OidcServer;

before(async () => {
  server = await OidcServer.start(wholeFile, { redirectUris: [REDIRECT], claims: { email: 'alice@example.com' } });
});
after(() => fetcher.close());

/** As the pod would have them. */
function documentsOf(issuer: string, change: (metadata: Record<string, unknown>) => object = (same) => same): Documents {
  const state = fetcher.fetch({ url: discoveryUrl(issuer) }).then(({ body }) => ({
    ...{ key: '', text: JSON.stringify(change(JSON.parse(String(body)))), revision: 1, fetchedAt: 0, failure: undefined, refetchFrom: 0 },
  }));
  return { get: () => undefined, first: () => state, refetch: () => state };
}

const sessions = new Sessions('tg', new Seal('s'.repeat(32), 'session'));
const troubles: ProviderError[] = [];

function loginsAt(documents = documentsOf(server.issuer), settings = {}): { readonly logins: Logins; readonly provider: OidcProvider } {
  const provider = new OidcProvider(
    { issuer: server.issuer, clientId: CLIENT.id, clientSecret: CLIENT.secret, scopes: ['openid'], ...settings },
    documents,
    fetcher,
  );
  const logins = new Logins(
    { cookieName: 'tg', redirectPath: '/oauth2/callback', logoutPath: '/logout' },
    provider,
    sessions,
    new Seal('s'.repeat(32), 'login'),
    (error) => troubles.push(error),
  );
  return { logins, provider };
}

const fieldOf = ({ fields = [] }: Reply, name: string): string => fields.find(([one]) => one === name)?.[1] ?? '';
const cookiesOf = ({ fields = [] }: Reply): string[] => fields.filter(([one]) => one === 'Set-Cookie').map(([, value]) => value);
/** As a browser that had none before sends them back. */
const sentBack = (reply: Reply): string =>
  cookiesOf(reply)
    .filter((line) => !line.includes('Max-Age=0'))
    .map((line) => line.split(';')[0])
    .join('; ');

/** Logs in at the provider. @returns what the browser comes back with, and its cookies */
async function goThere(begun: Reply): Promise<{ readonly url: string; readonly cookie: string }> {
  const page = await new Browser({}).open(fieldOf(begun, 'Location'), (url) => url.startsWith('http://app.test/'));
  return { url: page.url, cookie: sentBack(begun) };
}

const asked = (url: string, cookie = ''): Exchange => exchangeOf({ url, headers: cookie === '' ? {} : { cookie } });

test('a login leads back to what was asked for, with a session that says who it is', async () => {
  const { logins, provider } = loginsAt();
  const begun = await logins.begin(asked('http://app.test/page?a=b'));
  assert.equal(begun.status, 302);
  const location = new URL(fieldOf(begun, 'Location'));
  assert.equal(location.origin, server.issuer);
  assert.equal(location.searchParams.get('code_challenge_method'), 'S256');
  assert.equal(location.searchParams.get('redirect_uri'), REDIRECT);
  assert.equal(location.searchParams.get('scope'), 'openid');
  assert.equal(fieldOf(begun, 'Cache-Control'), 'no-store');
  const { url, cookie } = await goThere(begun);
  const done = await logins.complete(asked(url, cookie));
  assert.equal(done.status, 302, done.reason);
  assert.equal(fieldOf(done, 'Location'), 'http://app.test/page?a=b');
  assert.match(cookiesOf(done).at(-1) ?? '', /^tg_login\.0=; Path=\/; Max-Age=0;/);
  const session = sessions.read(asked('http://app.test/', sentBack(done)));
  assert.equal(session?.claims.sub, 'alice');
  assert.equal(session?.claims.email, 'alice@example.com');
  assert.ok((session?.expiresAt ?? 0) > Date.now() + 3_000_000);

  // Renewed by its refresh token, it names the same one.
  const tokens = await provider.refresh(session?.refreshToken ?? '');
  assert.equal(session && renewSession(session, tokens, Date.now()).claims.sub, 'alice');
  await assert.rejects(provider.refresh('no such token'), { failure: 'ended' });

  // The same code and cookie once more: the code is used up.
  const again = await logins.complete(asked(url, cookie));
  assert.deepEqual([again.status, again.reason], [400, 'oidc_code']);

  const left = await logins.leave(asked('http://app.test/logout', sentBack(done)));
  assert.match(fieldOf(left, 'Location'), new RegExp(`^${server.issuer}/session/end\\?.*id_token_hint=`));
  assert.deepEqual(cookiesOf(left), ['tg=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax']);
});

test('who did not begin the login in this browser does not complete it', async () => {
  const { logins } = loginsAt();
  const mine = await goThere(await logins.begin(asked('http://app.test/mine')));
  const attackers = await goThere(await logins.begin(asked('http://app.test/theirs')));
  // An attacker's callback in the victim's browser, with no cookie, the victim's own, a forged one.
  const forged = `tg_login.0=${new Seal('another secret of some length...', 'login').close('["x","y","z","/",9999999999999]')}`;
  for (const cookie of ['', mine.cookie, forged, mine.cookie.slice(0, -4), 'tg_login.0=x']) {
    const refused = await logins.complete(asked(attackers.url, cookie));
    assert.deepEqual([refused.status, refused.reason], [400, 'oidc_state'], cookie.slice(0, 20));
    assert.deepEqual(cookiesOf(refused), []);
  }
  const state = new URL(mine.url).searchParams.get('state') ?? '';
  for (const search of ['', '?code=x', '?state=', `?state=${state}x&code=y`, `?state=1${state.slice(1)}&code=y`, `?state=9${state.slice(1)}`, '?state=0']) {
    assert.equal((await logins.complete(asked(`http://app.test/oauth2/callback${search}`, mine.cookie))).reason, 'oidc_state', search);
  }
  // Two of what there may be one of; a code of another login; another issuer (RFC 9207).
  assert.equal((await logins.complete(asked(`${mine.url}&state=x`, mine.cookie))).status, 403);
  const swapped = new URL(mine.url);
  swapped.searchParams.set('code', new URL(attackers.url).searchParams.get('code') ?? '');
  assert.equal((await logins.complete(asked(swapped.href, mine.cookie))).reason, 'oidc_code', 'PKCE ties a code to its login');
  const mixed = new URL(mine.url);
  mixed.searchParams.set('iss', 'http://evil.test');
  assert.equal((await logins.complete(asked(mixed.href, mine.cookie))).reason, 'oidc_token');
  // None of it has used up the login.
  assert.equal((await logins.complete(asked(mine.url, mine.cookie))).status, 302);
});

test('the way back is on the same host, whatever was asked for', async () => {
  const { logins } = loginsAt();
  for (const [path, back] of [
    ['//evil.test/x', 'http://app.test//evil.test/x'],
    ['/a?next=http://evil.test', 'http://app.test/a?next=http://evil.test'],
    [`/${'x'.repeat(3000)}`, 'http://app.test/'],
  ] as const) {
    const { url, cookie } = await goThere(await logins.begin(asked(`http://app.test${path}`)));
    assert.equal(fieldOf(await logins.complete(asked(url, cookie)), 'Location'), back);
  }
});

test('a login that is asked for by itself leads to return_to on the same origin, else to /', async () => {
  const { logins } = loginsAt();
  for (const [returnTo, back] of [
    [undefined, '/'],
    ['/cart?x=1&y=%2F#top', '/cart?x=1&y=%2F#top'],
    ['http://app.test/cart', '/cart'],
    ['http://app.test:80/cart', '/cart'],
    ['cart', '/cart'],
    ['', '/'],
    ['https://app.test/cart', '/'],
    ['http://app.test:8080/cart', '/'],
    ['http://evil.test/cart', '/'],
    ['http://app.test@evil.test/', '/'],
    ['//evil.test/x', '/'],
    ['/\\evil.test/x', '/'],
    ['\t//evil.test/x', '/'],
    ['javascript:alert(1)', '/'],
    ['http://[', '/'],
    ['/a\r\nSet-Cookie: x=y', '/aSet-Cookie:%20x=y'],
    ['/logout', '/'],
    ['/oauth2/callback?return_to=/oauth2/callback', '/'],
    [`/${'x'.repeat(3000)}`, '/'],
  ] as const) {
    const query = returnTo === undefined ? '' : `?return_to=${encodeURIComponent(returnTo)}`;
    const cookie = sentBack(await logins.start(asked(`${REDIRECT}${query}`)));
    const [, , , target] = JSON.parse(new Seal('s'.repeat(32), 'login').open(cookie.slice('tg_login.0='.length)) ?? '[]') as string[];
    assert.equal(target, back, String(returnTo));
  }
  // Any link may lead here: it does not end the session that is there.
  const begun = await logins.start(asked(`${REDIRECT}?return_to=/cart`, 'tg=1.session'));
  assert.ok(
    (begun.fields ?? []).every(([name, value]) => name !== 'Set-Cookie' || !/^tg=/.test(value)),
    JSON.stringify(begun.fields),
  );
  const { url, cookie } = await goThere(await logins.start(asked(`${REDIRECT}?return_to=/cart`)));
  assert.equal(fieldOf(await logins.complete(asked(url, cookie)), 'Location'), 'http://app.test/cart');
});

test('several logins at once each have their place; the oldest makes room', async () => {
  const { logins } = loginsAt();
  let cookie = '';
  const jar = new Map<string, string>();
  for (const place of [0, 1, 2, 3, 0, 1]) {
    const [name = '', value = ''] = sentBack(await logins.begin(asked('http://app.test/', cookie))).split('=');
    assert.equal(name, `tg_login.${place}`);
    jar.set(name, value);
    cookie = [...jar].map((pair) => pair.join('=')).join('; ');
    // Their times tell which is the oldest.
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
});

test('a provider that says no, does not answer, answers nonsense, or is another than it should be', async () => {
  const reasonOf = async (change: () => void, logins = loginsAt().logins): Promise<string> => {
    const begun = await logins.begin(asked('http://app.test/'));
    if (begun.reason !== 'oidc_login') return `${begun.status} ${begun.reason}`;
    const { url, cookie } = await goThere(begun);
    change();
    const { status, reason } = await logins.complete(asked(url, cookie));
    server.tokenAnswer = undefined;
    return `${status} ${reason}`;
  };
  server.user = undefined;
  assert.equal(await reasonOf(() => {}), '403 oidc_denied');
  server.user = 'alice';
  for (const [status, body, expected] of [
    [500, 'oops', '503 oidc_unavailable'],
    [200, 'oops', '503 oidc_unavailable'],
    [401, '{"error":"invalid_client"}', '503 oidc_unavailable'],
    [302, '', '503 oidc_unavailable'],
    [200, '{"access_token":"a","token_type":"bearer"}', '403 oidc_token'],
    [200, '{"access_token":"a","token_type":"bearer","id_token":"eyJhbGciOiJub25lIn0.e30."}', '403 oidc_token'],
  ] as const) {
    assert.equal(await reasonOf(() => (server.tokenAnswer = { status, body })), expected, body);
  }
  const wrongSecret = loginsAt(undefined, { clientSecret: 'wrong' }).logins;
  assert.equal(await reasonOf(() => {}, wrongSecret), '503 oidc_unavailable');
  const otherIssuer = loginsAt(documentsOf(server.issuer, (metadata) => ({ ...metadata, issuer: `${server.issuer}/` }))).logins;
  assert.equal(await reasonOf(() => {}, otherIssuer), '503 oidc_unavailable');
  const nobody = { get: () => undefined, first: () => Promise.resolve(undefined), refetch: () => Promise.resolve(undefined) };
  assert.equal(await reasonOf(() => {}, loginsAt(nobody).logins), '503 oidc_unavailable');
  const otherKeys = documentsOf(server.issuer, (metadata) => ({ ...metadata, jwks_uri: `${server.issuer}/.well-known/openid-configuration` }));
  assert.match(await reasonOf(() => {}, loginsAt(otherKeys).logins), /^(403 oidc_token|503 oidc_unavailable)$/, 'no key verifies the token');
  for (const { message } of troubles) assert.ok(!message.includes(CLIENT.secret), message);
});

test('a session of many claims is in several cookies; one that no browser could keep is refused', async (t) => {
  for (const [length, cookies] of [
    [2000, 2],
    [5000, 3],
    [8000, 0],
  ] as const) {
    const large = await OidcServer.start(t, { redirectUris: [REDIRECT], claims: { note: 'x'.repeat(length) } });
    const { logins } = loginsAt(documentsOf(large.issuer), { issuer: large.issuer });
    const { url, cookie } = await goThere(await logins.begin(asked('http://app.test/')));
    const done = await logins.complete(asked(url, cookie));
    assert.equal(cookiesOf(done).length, cookies + 1, String(length));
    const session = sessions.read(asked('http://app.test/', sentBack(done)));
    if (cookies > 0) assert.equal(session?.claims.note, 'x'.repeat(length));
    else assert.deepEqual([done.status, done.reason, session], [503, 'oidc_session_too_long', undefined]);
  }
});
