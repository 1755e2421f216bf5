/**
 * Requests that are unclear: 400 (or another 4xx, 501) and close, and the backend never sees a byte of them. The oracle is
 * the recording backend (hardening, items 1 to 5, 10, 11).
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { Backend } from './backend.ts';
import { raw } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { wholeFile } from './lifetime.ts';
import { catchAll, service } from './manifests.ts';

let backend: Backend;
let gateway: GatewayUnderTest;

before(async () => {
  backend = await Backend.start(wholeFile);
  gateway = await GatewayUnderTest.start(wholeFile, { 'all.yaml': service('web', [backend.port]) + catchAll('web') }, ['--workers', '1']);
});

const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';

/** Text and the status that it must get. */
const refused: readonly (readonly [string, string, number])[] = [
  ['CL and TE', `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, 400],
  ['TE twice', `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${SMUGGLED}`, 400],
  ['chunked not final', `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n${SMUGGLED}`, 400],
  ['chunked twice', `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, 400],
  ['unknown coding', `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, 501],
  ['TE on 1.0', `POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, 400],
  ['TE with vertical tab', `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, 400],
  ['two lengths', `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n${SMUGGLED}`, 400],
  ['length list', `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n${SMUGGLED}`, 400],
  ['signed length', `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n${SMUGGLED}`, 400],
  ['hex length', `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n${SMUGGLED}`, 400],
  ['huge length', `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n${SMUGGLED}`, 400],
  ['bare LF', `GET / HTTP/1.1\nHost: a\n\n${SMUGGLED}`, 400],
  ['bare LF in a field', `GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n${SMUGGLED}`, 400],
  ['bare CR', `GET / HTTP/1.1\r\nHost: a\r\nX: y\rZ: a\r\n\r\n${SMUGGLED}`, 400],
  ['obs-fold', `GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n${SMUGGLED}`, 400],
  ['space before colon', `GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n${SMUGGLED}`, 400],
  ['NUL', `GET / HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n${SMUGGLED}`, 400],
  ['two hosts', `GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n${SMUGGLED}`, 400],
  ['no host', `GET / HTTP/1.1\r\nX: a\r\n\r\n${SMUGGLED}`, 400],
  ['bad host', `GET / HTTP/1.1\r\nHost: a b\r\n\r\n${SMUGGLED}`, 400],
  ['user info in host', `GET / HTTP/1.1\r\nHost: u@a\r\n\r\n${SMUGGLED}`, 400],
  ['absolute form that differs', `GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n${SMUGGLED}`, 400],
  ['two spaces', `GET  / HTTP/1.1\r\nHost: a\r\n\r\n${SMUGGLED}`, 400],
  ['version', `GET / HTTP/1.2\r\nHost: a\r\n\r\n${SMUGGLED}`, 400],
  ['not quite the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n', 400],
  ['encoded slash', `GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n${SMUGGLED}`, 400],
  ['encoded backslash', `GET /a%5Cb HTTP/1.1\r\nHost: a\r\n\r\n${SMUGGLED}`, 400],
  ['encoded NUL', `GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n${SMUGGLED}`, 400],
  ['bad escape', `GET /a%zz HTTP/1.1\r\nHost: a\r\n\r\n${SMUGGLED}`, 400],
  ['chunk size sign', `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n${SMUGGLED}`, 400],
  ['chunk size 0x', `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n${SMUGGLED}`, 400],
  ['chunk bare LF', `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n${SMUGGLED}`, 400],
  ['chunk longer than its size', `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n${SMUGGLED}`, 400],
  ['URI too long', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
  ['head too large', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
  ['too many fields', `GET / HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(101)}\r\n`, 431],
];

for (const [name, text, status] of refused) {
  test(`refused: ${name}`, async () => {
    const answer = await raw(gateway.http, text);
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), answer.slice(0, 200));
    assert.match(answer, /\r\ncontent-type: application\/problem\+json\r\n/i);
    assert.match(answer, /\r\nconnection: close\r\n/i);
    assert.equal(answer.match(/^HTTP\/1\.1 \d/gm)?.length, 1, 'one answer, then the connection closes');
    assert.doesNotMatch(backend.streams.join(''), /smuggled/);
  });
}

test('a refused request has its line in the access log, with the bytes of the answer', async () => {
  const answer = await raw(gateway.http, 'GET /logged%zz HTTP/1.1\r\nHost: a\r\n\r\n');
  const line = await gateway.untilAccess((entry) => entry.path === '/logged%zz');
  assert.equal(line.status, 400);
  assert.equal(line.reason, 'bad_path');
  assert.equal(line.responseBytes, answer.split('\r\n\r\n')[1]?.length);
});

for (const protocol of ['h2c', 'TLS/1.0', 'websocket']) {
  test(`an upgrade to ${protocol} that is not for the gateway is ignored, and what follows it is never a request`, async () => {
    const count = backend.requests.length;
    const answer = await raw(gateway.http, `GET /ignored HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n${SMUGGLED}`);
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n[\s\S]*Connection: close\r\n[\s\S]*\r\n\r\nok$/);
    assert.equal(backend.requests.length, count + 1);
    assert.doesNotMatch(backend.requests[count]?.head ?? '', /upgrade/i);
  });
}

test('an upgrade with a body is refused with a clear answer', async () => {
  const answer = await raw(gateway.http, `GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx${SMUGGLED}`);
  assert.match(answer, /^HTTP\/1\.1 501 [\s\S]*A request with a body can not ask for another protocol/);
});

for (const method of ['TRACE', 'CONNECT']) {
  test(`${method} is 405, names what is allowed, and is in the access log; no backend sees it`, async () => {
    const target = method === 'CONNECT' ? 'a:443' : '/traced';
    const count = backend.requests.length;
    const answer = await raw(gateway.http, `${method} ${target} HTTP/1.1\r\nHost: a\r\nCookie: secret=1\r\nMax-Forwards: 5\r\n\r\n${SMUGGLED}`);
    assert.match(answer, /^HTTP\/1\.1 405 /);
    assert.match(answer, /^Content-Type: application\/problem\+json\r$/m);
    assert.doesNotMatch(answer, /secret/);
    const allowed = /^Allow: (.*)\r$/m.exec(answer)?.[1]?.split(', ') ?? [];
    assert.ok(allowed.includes('GET') && !allowed.includes(method), answer);
    assert.equal(answer.match(/^HTTP\//gm)?.length, 1, 'the connection goes on');
    const line = await gateway.untilAccess((entry) => entry.method === method);
    assert.deepEqual([line.status, line.reason], [405, `${method.toLowerCase()}_refused`]);
    assert.equal(backend.requests.length, count);
  });
}

test('field names with underscores are dropped, and counted', async () => {
  await raw(gateway.http, 'GET / HTTP/1.1\r\nHost: a\r\nX_Under: 1\r\nX-Dash: 2\r\nConnection: close\r\n\r\n');
  const head = backend.requests.at(-1)?.head ?? '';
  assert.match(head, /X-Dash: 2/);
  assert.doesNotMatch(head, /X_Under/i);
});

test('paths reach the backend normalised', async () => {
  for (const [sent, seen] of [
    ['/a/./b/../c', '/a/c'],
    ['/%7euser', '/~user'],
    ['/a//b', '/a//b'],
    ['/a%c3%a9', '/a%C3%A9'],
    ['/../../x', '/x'],
    ['/a/%2e%2e/b?x=%2f', '/b?x=%2f'],
  ] as const) {
    await raw(gateway.http, `GET ${sent} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    assert.equal(backend.requests.at(-1)?.head.split(' ')[1], seen);
  }
});

test('trailers that name framing, routing or authentication are dropped, others pass', async () => {
  await raw(
    gateway.http,
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\nHost: evil\r\nContent-Length: 9\r\nAuthorization: x\r\n\r\n',
  );
  const stream = backend.streams.find((text) => text.includes('X-Sum: 1')) ?? '';
  assert.ok(stream !== '');
  assert.doesNotMatch(stream, /evil|Content-Length: 9|Authorization/);
});
