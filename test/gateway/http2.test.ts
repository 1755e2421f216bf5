/** HTTP/2 from clients, as they see it: every filter once, bodies, the log, floods, the drain. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { constants } from 'node:http2';
import { before, test } from 'node:test';
import { answering, Backend } from './backend.ts';
import { get, raw } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { answerOf, exchangeBytes, Http2Client } from './http2-client.ts';
import { wholeFile } from './lifetime.ts';
import { apiRoute, catchAll, service } from './manifests.ts';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const SETTINGS = '\0\0\0\x04\0\0\0\0\0';
const MEBIBYTE = Buffer.alloc(1 << 20, 'abcdefghijklmnopqrstuvwxyz0123456789-_');

let backend: Backend;
let gateway: GatewayUnderTest;
let plain: Http2Client;
let secure: Http2Client;

before(async () => {
  backend = await Backend.start(wholeFile, answering('ok'));
  gateway = await GatewayUnderTest.start(
    wholeFile,
    {
      'all.yaml':
        service('web', [backend.port]) +
        apiRoute(
          'shop',
          `  rules:
    - matches: [{ path: { value: /match }, methods: [POST], headers: [{ name: X-Tenant, value: acme }], queryParams: [{ name: beta, value: "true" }], cookies: [{ name: canary, value: "1" }] }]
      filters: { directResponse: { statusCode: 299, body: matched } }
    - matches: [{ path: { value: /v1/orders } }]
      filters:
        requestHeaderModifier: { set: [{ name: x-a, value: "1" }], remove: [x-internal] }
        responseHeaderModifier: { set: [{ name: X-B, value: "2" }], remove: [content-type] }
        urlRewrite: { hostname: orders.internal, path: { type: ReplacePrefixMatch, value: /orders } }
      backendRefs: [{ name: web, port: 80 }]
    - matches: [{ path: { value: /moved } }]
      filters: { requestRedirect: { hostname: www.test, path: { type: ReplacePrefixMatch, value: /new }, statusCode: 301 } }
    - matches: [{ path: { value: /down } }]
      filters: { directResponse: { statusCode: 503, contentType: application/json, body: '{"down":"ä"}', headers: [{ name: X-D, value: "1" }] } }
    - matches: [{ path: { value: /denied } }]
      filters: { ipAccess: { deny: [127.0.0.0/8] } }
      backendRefs: [{ name: web, port: 80 }]
    - matches: [{ path: { value: /small } }]
      filters: { limits: { maxRequestBodyBytes: 10, maxRequestHeaderBytes: 500 } }
      backendRefs: [{ name: web, port: 80 }]
    - matches: [{ path: { value: /quick } }]
      timeouts: { request: 300ms }
      backendRefs: [{ name: web, port: 80 }]
    - { name: limited, matches: [{ path: { value: /limited } }], backendRefs: [{ name: web, port: 80 }] }
    - backendRefs: [{ name: web, port: 80 }]`,
        ),
      'limits.yaml': `apiVersion: tidegate.dev/v1alpha1
kind: RateLimitPolicy
metadata: { name: window, namespace: default }
spec:
  targetRefs: [{ group: tidegate.dev, kind: ApiRoute, name: shop, sectionName: limited }]
  limits: [{ name: per-key, algorithm: TokenBucket, requests: 5, period: 1h, key: [{ type: Header, name: x-key }] }]
`,
    },
    ['--workers', '1'],
  );
  plain = new Http2Client(wholeFile, `http://127.0.0.1:${gateway.http}`);
  secure = new Http2Client(wholeFile, `https://127.0.0.1:${gateway.https}`);
});

for (const [what, client] of [
  ['by prior knowledge', () => plain],
  ['by ALPN', () => secure],
] as const) {
  test(`${what}: routing by every part of a request`, async () => {
    const headers = { 'x-tenant': 'acme', cookie: ['other=1', 'canary=1'] };
    const matched = await client().send('/match?beta=true', { method: 'POST', headers, body: '' });
    assert.deepEqual([matched.status, matched.body], [299, 'matched']);
    assert.equal((await client().send('/match?beta=false', { method: 'POST', headers, body: '' })).body, 'ok');
  });

  test(`${what}: rewrite and header modifiers`, async () => {
    const answer = await client().send('/v1/orders/7?x=1', { headers: { 'x-internal': 'secret', 'x-a': 'client', cookie: ['a=1', 'b=2'] } });
    const head = backend.requests.at(-1)?.head ?? '';
    assert.match(head, /^GET \/orders\/7\?x=1 HTTP\/1\.1\r\n/);
    assert.match(head, /^host: orders\.internal$/im);
    assert.match(head, /^x-a: 1$/im);
    assert.match(head, /^cookie: a=1; b=2$/im);
    assert.match(head, /^x-forwarded-for: 127\.0\.0\.1$/im);
    assert.match(head, client() === secure ? /^x-forwarded-proto: https$/im : /^x-forwarded-proto: http$/im);
    assert.doesNotMatch(head, /secret|client|^:|^te:|^connection:/m);
    assert.equal(answer.headers['x-b'], '2');
    assert.equal(answer.headers['content-type'], undefined);
    assert.match(String(answer.headers['x-request-id']), /^[0-9a-f]{32}$/);
  });

  test(`${what}: redirect and direct response`, async () => {
    const moved = await client().send('/moved/a?b=c', { headers: { ':authority': 'shop.test' } });
    assert.deepEqual([moved.status, moved.headers.location], [301, `${client() === secure ? 'https' : 'http'}://www.test/new/a?b=c`]);
    const down = await client().send('/down');
    assert.deepEqual([down.status, Buffer.from(down.body, 'latin1').toString(), down.headers['x-d']], [503, '{"down":"ä"}', '1']);
  });

  test(`${what}: address lists and sizes`, async () => {
    assert.equal((await client().send('/denied')).status, 403);
    assert.equal((await client().send('/small', { method: 'POST', headers: { 'content-length': '18' }, body: 'much more than ten' })).status, 413);
    assert.equal((await client().send('/small', { method: 'POST', body: 'much more than ten' })).status, 413);
    assert.equal((await client().send('/small', { headers: { 'x-long': 'y'.repeat(400) } })).status, 431);
    assert.equal((await client().send('/small', { method: 'POST', body: 'short' })).status, 200);
    const large = await client().send('/', { headers: { 'x-long': 'y'.repeat(17_000) } });
    assert.equal(large.status, 431);
    assert.equal(JSON.parse(large.body).requestId, large.headers['x-request-id']);
  });

  test(`${what}: a client that is slow with its body gets 408`, async () => {
    const stream = client().stream('/quick', { method: 'POST', body: '' });
    stream.write('half');
    assert.equal((await answerOf(stream)).status, 408);
  });

  test(`${what}: rate limits`, async () => {
    const headers = { 'x-key': what };
    const answers = await Promise.all(Array.from({ length: 20 }, () => client().send('/limited', { headers })));
    assert.equal(answers.filter((answer) => answer.status === 200).length, 5);
    const refused = answers.find((answer) => answer.status === 429);
    assert.equal(refused?.headers['x-ratelimit-remaining'], '0');
    assert.equal(refused?.headers['ratelimit-policy'], '"per-key";q=5;w=3600');
    assert.ok(Number(refused?.headers['retry-after']) > 0);
  });

  test(`${what}: a mebibyte both ways, on several streams at once`, async () => {
    backend.respond = ({ body }) => Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`), Buffer.from(body, 'latin1')]);
    const answers = await Promise.all(Array.from({ length: 4 }, () => client().send('/echo', { method: 'POST', body: MEBIBYTE })));
    for (const { body } of answers) assert.ok(body === MEBIBYTE.toString('latin1'));
    backend.respond = answering('ok');
  });

  test(`${what}: chunked answers and their trailers`, async () => {
    backend.respond = () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-checksum\r\n\r\n5\r\nhello\r\n0\r\nX-Checksum: 1\r\n\r\n';
    const answer = await client().send('/');
    assert.deepEqual(
      [answer.body, answer.trailers?.['x-checksum'], answer.headers['transfer-encoding'], answer.headers.trailer],
      ['hello', '1', undefined, undefined],
    );
    backend.respond = answering('ok');
  });

  test(`${what}: HEAD`, async () => {
    backend.respond = () => 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n';
    const answer = await client().send('/', { method: 'HEAD' });
    assert.deepEqual([answer.status, answer.body, answer.headers['content-length']], [200, '', '5']);
    backend.respond = answering('ok');
  });

  test(`${what}: an answer that breaks off resets its stream`, async () => {
    backend.respond = (_request, socket) => {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf');
      return undefined;
    };
    await assert.rejects(client().send('/broken'), { code: 'ERR_HTTP2_STREAM_ERROR' });
    backend.respond = answering('ok');
    assert.equal((await client().send('/')).body, 'ok');
  });

  test(`${what}: a request that is cancelled is so at the backend`, async () => {
    backend.respond = () => undefined;
    const asked = backend.requests.length;
    const stream = client().stream('/cancelled');
    await backend.untilRequests(asked + 1);
    const open = backend.sockets.size;
    stream.close(constants.NGHTTP2_CANCEL);
    await backend.until(() => backend.sockets.size === open - 1);
    backend.respond = answering('ok');
    const line = await gateway.untilAccess(({ path, reason }) => path === '/cancelled' && reason === 'client_gone');
    assert.equal(line.status, 499);
  });
}

test('the log tells the protocol, TLS and the server name', async () => {
  await plain.send('/logged?a=1', { headers: { 'user-agent': 'test' } });
  await secure.send('/logged?b=1');
  const first = await gateway.untilAccess(({ path }) => path === '/logged?a=1');
  assert.deepEqual(
    [first.protocol, first.method, first.host, first.status, first.userAgent, first.tlsVersion],
    ['HTTP/2.0', 'GET', '127.0.0.1', 200, 'test', undefined],
  );
  const second = await gateway.untilAccess(({ path }) => path === '/logged?b=1');
  assert.deepEqual([second.protocol, second.tlsVersion], ['HTTP/2.0', 'TLSv1.3']);
  const { body } = await get(gateway.admin, '/metrics');
  assert.match(body, /^tidegate_connections\{listener="https",state="[a-z]+"\} 1$/m);
});

test('the preface is known whatever its pieces; anything else is HTTP/1', async () => {
  const isServed = (received: string): boolean => received.includes('\0\0\0\x04\x01\0\0\0\0');
  assert.ok(isServed(await exchangeBytes(gateway.http, [...PREFACE, ...SETTINGS], isServed)));
  const isAnswered = (received: string): boolean => received.includes('\r\n\r\n');
  const post = 'POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n';
  assert.match(await exchangeBytes(gateway.http, [...post], isAnswered), /^HTTP\/1\.1 200 /);
  assert.match(await exchangeBytes(gateway.http, ['PRI * HTTP/2.0\r\n\r\n', 'GET / HTTP/1.1\r\n\r\n'], isAnswered), /^HTTP\/1\.1 400 /);
});

test('an upgrade to h2c is neither honoured nor passed on', async () => {
  const answer = await raw(
    gateway.http,
    'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n',
  );
  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.doesNotMatch(backend.requests.at(-1)?.head ?? '', /upgrade|h2c|http2/i);
});

test('a rapid reset ends its connection, and nobody else notices', async () => {
  backend.respond = ({ head }) => (head.includes('/attacked') ? undefined : 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  let attack = PREFACE + SETTINGS;
  for (let id = 1; id < 600; id += 2) {
    const streamId = `\0\0${String.fromCharCode(id >> 8, id & 0xff)}`;
    // GET, http, :path and :authority as literals (RFC 7541 section 6.2.2); then RST_STREAM with CANCEL.
    attack += `\0\0\x15\x01\x05${streamId}\x82\x86\x04\x09/attacked\x01\x06a.test\0\0\x04\x03\0${streamId}\0\0\0\x08`;
  }
  const received = exchangeBytes(gateway.http, [attack], () => false);
  assert.equal((await plain.send('/')).body, 'ok');
  // GOAWAY with ENHANCE_YOUR_CALM as its last word.
  assert.ok((await received).endsWith('\x07\0\0\0\0\0\0\0\x01\x91\0\0\0\x0b'));
  await gateway.untilAccess(({ reason }) => reason === 'http2_enhance_your_calm');
  assert.equal((await secure.send('/')).body, 'ok');
  await backend.until(() => backend.sockets.size < 10);
  backend.respond = answering('ok');
});

test('with --h2c off the preface is a bad request', async (t) => {
  const other = await GatewayUnderTest.start(t, { 'all.yaml': service('web', [backend.port]) + catchAll('web') }, ['--workers', '1', '--h2c', 'off']);
  assert.match(await exchangeBytes(other.http, [PREFACE + SETTINGS], () => false), /^HTTP\/1\.1 400 /);
  assert.equal((await new Http2Client(t, `https://127.0.0.1:${other.https}`).send('/')).body, 'ok');
});

test('SIGTERM: what is under way is served to its end, what is idle is told to go', async (t) => {
  const slow = await Backend.start(t, () => undefined);
  const other = await GatewayUnderTest.start(t, { 'all.yaml': service('web', [slow.port]) + catchAll('web') }, ['--workers', '1']);
  const busy = new Http2Client(t, `https://127.0.0.1:${other.https}`);
  const idle = new Http2Client(t, `http://127.0.0.1:${other.http}`);
  await once(idle.session, 'connect');
  const answer = busy.send('/slow');
  await slow.untilRequests(1);
  const gone = [once(idle.session, 'close'), once(busy.session, 'close')];
  const stopped = other.stop();
  await gone[0];
  // Node's client leaves with the first of the two.
  assert.ok(idle.goAways.length > 0 && idle.goAways.every((code) => code === 0), String(idle.goAways));
  for (const socket of slow.sockets) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate');
  assert.deepEqual([(await answer).status, (await answer).body], [200, 'late']);
  await gone[1];
  assert.equal(await stopped, 0);
  assert.equal(busy.error ?? idle.error, undefined);
});
