import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exchangeOf } from '../../exchange.fixture.ts';
import { isOwnCookie, isSealedCookie, SessionCookies, setCookie } from './cookies.ts';

const cookies = new SessionCookies('s');

/** What a browser sends back of some Set-Cookie values. */
function sentBack(lines: readonly string[]): Record<string, string> {
  const kept = lines.filter((line) => !line.includes('Max-Age=0')).map((line) => line.split(';')[0]);
  return kept.length === 0 ? {} : { cookie: kept.join('; ') };
}

test('a session is in as many cookies as it needs, each small enough for a browser', () => {
  for (const [length, count] of [
    [0, 1],
    [1, 1],
    [3698, 1],
    [3699, 2],
    [11_098, 3],
  ] as const) {
    const text = 'x'.repeat(length);
    const lines = cookies.write(exchangeOf(), text) ?? [];
    assert.equal(lines.length, count, String(length));
    for (const line of lines) assert.ok(line.length < 4096);
    assert.equal(cookies.read(exchangeOf({ headers: sentBack(lines) })), text);
  }
  assert.equal(cookies.write(exchangeOf(), 'x'.repeat(11_099)), undefined);
});

test('a shorter one ends the cookies that the longer one had, and leaving ends all', () => {
  const long = sentBack(cookies.write(exchangeOf(), 'x'.repeat(9000)) ?? []);
  const lines = cookies.write(exchangeOf({ headers: long }), 'short') ?? [];
  assert.deepEqual(lines.slice(1), ['s.1=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax', 's.2=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax']);
  assert.equal(cookies.clear(exchangeOf({ headers: long })).length, 3);
  assert.deepEqual(cookies.clear(exchangeOf()), []);
});

test('a session of which a cookie is missing or begins otherwise is none', () => {
  const [first = '', second = ''] = (cookies.write(exchangeOf(), 'x'.repeat(5000)) ?? []).map((line) => line.split(';')[0]);
  for (const cookie of [first, second, `s=x; ${second}`, 's=', 's=0.x', 's=4.x', 's=1', 's=-1.x']) {
    assert.equal(cookies.read(exchangeOf({ headers: { cookie } })), undefined, cookie.slice(0, 20));
  }
  assert.ok(cookies.isPresent(exchangeOf({ headers: { cookie: 's=x' } })));
  assert.ok(!cookies.isPresent(exchangeOf({ headers: { cookie: second } })));
});

test('cookies are for HTTP alone, for links from elsewhere, and on HTTPS for HTTPS alone', () => {
  assert.equal(setCookie(exchangeOf(), 'a', 'b', undefined), 'a=b; Path=/; HttpOnly; SameSite=Lax');
  assert.equal(setCookie(exchangeOf({ url: 'https://a.test/' }), 'a', 'b', 600), 'a=b; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure');
});

test("which cookies are the gateway's own", () => {
  for (const own of ['s', 's.1', 's.2', 's_login.0', 's_login.3']) assert.ok(isOwnCookie('s', own), own);
  for (const other of ['', 'S', 'ss', 's.', 's.x', 's_login', 's_login.', 's_other', 'xs', 'x.1']) assert.ok(!isOwnCookie('s', other), other);
});

test('on other routes a cookie is taken away where its value is sealed, too', () => {
  const sealed = 'a'.repeat(43);
  for (const [cookie, value] of [
    ['s', `1.${sealed}`],
    ['s', `3.${sealed}_-9`],
    ['s.2', 'ab'],
    ['s_login.0', sealed],
  ] as const) {
    assert.ok(isSealedCookie('s', cookie, value), cookie);
  }
  for (const value of ['', 'x', '0123456789ABCDEF0123456789ABCDEF', `4.${sealed}`, `${sealed}.x`, `${sealed}=`])
    assert.ok(!isSealedCookie('s', 's', value), value);
  assert.ok(!isSealedCookie('s', 't', sealed));
});
