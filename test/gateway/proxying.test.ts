/** What reaches the backend and what comes back, on real sockets. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { answering, Backend } from './backend.ts';
import { get, RawConnection, raw, send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

let backend: Backend;
let gateway: GatewayUnderTest;

before(async () => {
  backend = await Backend.start(wholeFile);
  gateway = await GatewayUnderTest.start(wholeFile, {
    'all.yaml': service('web', [backend.port]) + apiRoute('web', '  hostnames: [web.test]\n  rules: [{ backendRefs: [{ name: web, port: 80 }] }]'),
  });
});

function lastHead(): string {
  return backend.requests.at(-1)?.head ?? '';
}

function field(head: string, name: string): string | undefined {
  return new RegExp(`^${name}: *(.*)$`, 'im').exec(head)?.[1]?.trimEnd();
}

test('a request is passed on with the forwarding fields, and its answer comes back with a request id', async () => {
  const answer = await get(gateway.http, '/a/b?c=d', { host: 'web.test', 'x-app': 'kept' });
  assert.equal(answer.status, 200);
  assert.equal(answer.body, 'ok');
  const head = lastHead();
  assert.match(head, /^GET \/a\/b\?c=d HTTP\/1\.1\r\n/);
  assert.equal(field(head, 'Host'), 'web.test');
  assert.equal(field(head, 'x-app'), 'kept');
  assert.equal(field(head, 'X-Forwarded-For'), '127.0.0.1');
  assert.equal(field(head, 'X-Forwarded-Proto'), 'http');
  assert.equal(field(head, 'X-Forwarded-Host'), 'web.test');
  assert.equal(field(head, 'X-Forwarded-Port'), '80');
  assert.equal(field(head, 'X-Real-IP'), '127.0.0.1');
  assert.match(field(head, 'traceparent') ?? '', /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/);
  assert.equal(field(head, 'X-Request-Id'), answer.headers['x-request-id']);
  assert.ok(answer.headers['x-request-id']);
});

test('forwarding and identity fields of an untrusted client are replaced, hop-by-hop ones removed', async () => {
  await get(gateway.http, '/', {
    host: 'web.test',
    'x-forwarded-for': '6.6.6.6',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'evil',
    forwarded: 'for=6.6.6.6',
    'x-real-ip': '6.6.6.6',
    'x-forwarded-client-cert': 'x',
    'x-request-id': 'bad id with spaces',
    connection: 'close, x-drop',
    'x-drop': '1',
    te: 'trailers',
  });
  const head = lastHead();
  assert.equal(field(head, 'X-Forwarded-For'), '127.0.0.1');
  assert.equal(field(head, 'X-Forwarded-Proto'), 'http');
  assert.equal(field(head, 'X-Forwarded-Host'), 'web.test');
  assert.equal(field(head, 'X-Real-IP'), '127.0.0.1');
  for (const name of ['forwarded', 'x-forwarded-client-cert', 'x-drop', 'te']) assert.equal(field(head, name), undefined, name);
  assert.notEqual(field(head, 'X-Request-Id'), 'bad id with spaces');
  assert.equal(head.match(/x-forwarded-for/gi)?.length, 1);
});

test('a sane request id and a valid trace context are kept', async () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const answer = await get(gateway.http, '/', { host: 'web.test', 'x-request-id': 'abc-123', traceparent });
  assert.equal(answer.headers['x-request-id'], 'abc-123');
  assert.equal(field(lastHead(), 'traceparent'), traceparent);
});

test('an unknown host gets a 404 problem', async () => {
  const answer = await get(gateway.http, '/', { host: 'nobody.test' });
  assert.equal(answer.status, 404);
  assert.equal(answer.headers['content-type'], 'application/problem+json');
  const problem = JSON.parse(answer.body) as Record<string, unknown>;
  assert.equal(problem.status, 404);
  assert.equal(problem.requestId, answer.headers['x-request-id']);
  assert.deepEqual(Object.keys(problem).sort(), ['detail', 'requestId', 'status', 'title', 'type']);
  const line = await gateway.untilAccess((entry) => entry.host === 'nobody.test');
  assert.equal(line.reason, 'no_route');
});

test('HTTP/1.0 without Host: only routes for any host take it, and the backend sees the name of its Service', async (t) => {
  // Such a request is legal (RFC 9112 section 3.2). To nobody's name it is as good as an unknown host; an empty Host would be
  // legal towards the backend too, but nginx for one answers 400 to it.
  const unnamed = await raw(gateway.http, 'GET /unnamed HTTP/1.0\r\n\r\n');
  assert.match(unnamed, /^HTTP\/1\.1 404 /);
  const line = await gateway.untilAccess((entry) => entry.path === '/unnamed');
  assert.deepEqual([line.reason, line.protocol], ['no_route', 'HTTP/1.0']);

  const own = await GatewayUnderTest.start(t, {
    'services.yaml': service('web', [backend.port]) + service('alt', [backend.port]).replace('port: 80 ', 'port: 8080 '),
    'routes.yaml': apiRoute(
      'any',
      `  rules:
    - backendRefs: [{ name: web, port: 80 }]
    - matches: [{ path: { value: /rewritten } }]
      filters: { urlRewrite: { hostname: inside.test } }
      backendRefs: [{ name: web, port: 80 }]
    - { matches: [{ path: { value: /port } }], backendRefs: [{ name: alt, port: 8080 }] }`,
    ),
  });
  for (const [path, host] of [
    ['/', 'web.default'],
    ['/rewritten', 'inside.test'],
    ['/port', 'alt.default:8080'],
  ] as const) {
    assert.match(await raw(own.http, `GET ${path} HTTP/1.0\r\n\r\n`), /^HTTP\/1\.1 200 /);
    assert.match(lastHead(), / HTTP\/1\.1\r\n/);
    assert.equal(lastHead().match(/^host:/gim)?.length, 1);
    assert.equal(field(lastHead(), 'Host'), host);
    assert.equal(field(lastHead(), 'X-Forwarded-Host'), undefined);
  }
  assert.match(await raw(own.http, 'GET / HTTP/1.0\r\nHost: given.test\r\n\r\n'), /^HTTP\/1\.1 200 /);
  assert.equal(field(lastHead(), 'Host'), 'given.test');
});

test('request bodies are re-framed: a length stays a length, chunks stay chunks', async () => {
  await send(gateway.http, '/', { method: 'POST', headers: { host: 'web.test', 'content-length': '5' }, body: 'hello' });
  assert.equal(backend.requests.at(-1)?.body, 'hello');
  assert.equal(field(lastHead(), 'Content-Length'), '5');
  await raw(gateway.http, 'POST / HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n');
  assert.equal(backend.requests.at(-1)?.body, 'abcde');
  assert.equal(field(lastHead(), 'Transfer-Encoding'), 'chunked');
  assert.doesNotMatch(backend.streams.join(''), /ext=1/);
});

test('pipelined requests are answered in order on one connection', async () => {
  const bodies = ['one', 'two', 'three'];
  backend.respond = (request) => answering(bodies.find((body) => request.head.includes(`/${body} `)) ?? '?')(request, undefined as never);
  const text = bodies.map((body, index) => `GET /${body} HTTP/1.1\r\nHost: web.test\r\n${index === 2 ? 'Connection: close\r\n' : ''}\r\n`).join('');
  const answer = await raw(gateway.http, text);
  assert.deepEqual(
    [...answer.matchAll(/\r\n\r\n(one|two|three)/g)].map((match) => match[1]),
    bodies,
  );
});

test('responses without a body, with chunks, and until close', async () => {
  backend.respond = () => 'HTTP/1.1 204 No Content\r\n\r\n';
  assert.equal((await get(gateway.http, '/', { host: 'web.test' })).status, 204);
  backend.respond = () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n';
  assert.equal((await get(gateway.http, '/', { host: 'web.test' })).body, 'abc');
  backend.respond = (_request, socket) => {
    socket.end('HTTP/1.1 200 OK\r\n\r\nuntil close');
    return undefined;
  };
  assert.equal((await get(gateway.http, '/', { host: 'web.test' })).body, 'until close');
  backend.respond = () => 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n';
  const head = await send(gateway.http, '/', { method: 'HEAD', headers: { host: 'web.test' } });
  assert.equal(head.headers['content-length'], '1234');
  backend.respond = () => 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
  const hinted = await raw(gateway.http, 'GET / HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n');
  assert.match(hinted, /^HTTP\/1\.1 103 [\s\S]*HTTP\/1\.1 200 /);
});

test('malformed answers are 502, and their connection is not used again', async () => {
  const bad = [
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'HTTP/1.1 200 OK\nContent-Length: 2\n\nok',
    'HTTP/1.1 200 OK\r\nBad Name: x\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n',
    'garbage\r\n\r\n',
    `HTTP/1.1 200 OK\r\n${'X-A: b\r\n'.repeat(1001)}Content-Length: 2\r\n\r\nok`,
  ];
  for (const text of bad) {
    backend.respond = () => text;
    const answer = await get(gateway.http, '/', { host: 'web.test' });
    assert.equal(answer.status, 502, JSON.stringify(text.slice(0, 80)));
    const before = backend.connections;
    backend.respond = answering('fine');
    assert.equal((await get(gateway.http, '/', { host: 'web.test' })).body, 'fine');
    assert.ok(backend.connections > before - 1);
  }
});

test('bytes after a response never reach another request', async () => {
  backend.respond = () => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison';
  await get(gateway.http, '/', { host: 'web.test' });
  backend.respond = answering('clean');
  for (let index = 0; index < 5; index++) assert.equal((await get(gateway.http, '/', { host: 'web.test' })).body, 'clean');
});

test('an answer that is cut is cut for the client too', async () => {
  backend.respond = (_request, socket) => {
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this');
    return undefined;
  };
  await assert.rejects(get(gateway.http, '/cut', { host: 'web.test' }));
  backend.respond = answering('ok');
  assert.equal((await gateway.untilAccess((line) => line.path === '/cut')).reason, 'upstream_reset');
});

test('a client that goes away ends the upstream request', async (t) => {
  let closed: () => void = () => {};
  const gone = new Promise<void>((resolve) => {
    closed = resolve;
  });
  backend.respond = (_request, socket) => {
    socket.on('close', closed);
    return undefined;
  };
  const count = backend.requests.length;
  const client = await RawConnection.open(t, gateway.http);
  client.write('GET /gone HTTP/1.1\r\nHost: web.test\r\n\r\n');
  await backend.untilRequests(count + 1);
  client.close();
  await gone;
  backend.respond = answering('ok');
  assert.equal((await gateway.untilAccess((line) => line.path === '/gone')).reason, 'client_gone');
});

test('100-continue is answered by the gateway and never passed on', async (t) => {
  const client = await RawConnection.open(t, gateway.http);
  client.write('POST /expect HTTP/1.1\r\nHost: web.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n');
  await client.until((text) => text.includes('100 Continue\r\n\r\n'));
  client.write('abc');
  await client.until((text) => text.includes('HTTP/1.1 200'));
  client.close();
  assert.equal(field(lastHead(), 'Expect'), undefined);
  assert.equal(backend.requests.at(-1)?.body, 'abc');
});

test('a body over the limit is 413', async () => {
  const answer = await raw(gateway.http, 'POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 10485761\r\n\r\n');
  assert.match(answer, /^HTTP\/1\.1 413 /);
});
