/** WebSocket and what asks for it: the handshake, the tunnel behind it, and how tunnels end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { before, describe, type TestContext, test } from 'node:test';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { WebSocket, WebSocketServer } from 'ws';
import { RawConnection, raw, send } from './client.ts';
import { type AccessLine, GatewayUnderTest } from './gateway.ts';
import { endWith, wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';
import { accepting, type BackendSocket, handshake, TunnelBackend } from './tunnel-backend.ts';

let sockets: WebSocketServer;
let backend: TunnelBackend;
const gateways = new Map<string, GatewayUnderTest>();
/** The one for what does not depend on the wire. */
let gateway: GatewayUnderTest;

const routes = (ports: { readonly ws: number; readonly raw: number }) =>
  service('ws', [ports.ws]) +
  service('raw', [ports.raw]) +
  apiRoute(
    'all',
    `
  rules:
    - matches: [{ path: { value: /ws } }]
      filters:
        requestHeaderModifier: { set: [{ name: X-Asked, value: gateway }], remove: [X-Secret] }
        responseHeaderModifier: { set: [{ name: X-Answered, value: gateway }] }
      backendRefs: [{ name: ws, port: 80 }]
    - matches: [{ path: { value: /idle } }]
      timeouts: { idle: 1500ms }
      backendRefs: [{ name: raw, port: 80 }]
    - matches: [{ path: { value: /life } }]
      timeouts: { request: 1500ms }
      backendRefs: [{ name: raw, port: 80 }]
    - matches: [{ path: { value: /denied } }]
      filters: { ipAccess: { deny: [0.0.0.0/0] } }
      backendRefs: [{ name: raw, port: 80 }]
    - backendRefs: [{ name: raw, port: 80 }]`,
  );

before(async () => {
  sockets = new WebSocketServer({ port: 0, host: '127.0.0.1', maxPayload: 0 });
  await once(sockets, 'listening');
  endWith(wholeFile, () => {
    for (const socket of sockets.clients) socket.terminate();
    sockets.close();
  });
  sockets.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  backend = await TunnelBackend.start(wholeFile);
  const files = { 'all.yaml': routes({ ws: (sockets.address() as { port: number }).port, raw: backend.port }) };
  for (const wire of ['handle', 'stream']) gateways.set(wire, await GatewayUnderTest.start(wholeFile, files, ['--wire', wire, '--workers', '1']));
  gateway = gateways.get('handle') as GatewayUnderTest;
});

const accessLine = (path: string, of = gateway): Promise<AccessLine> => of.untilAccess((line) => line.path === path);

/** A client behind its 101, and the backend's end of the tunnel. */
async function tunnel(t: TestContext, path: string, through = gateway): Promise<{ client: RawConnection; far: BackendSocket; bytes: () => string }> {
  const client = await RawConnection.open(t, through.http);
  client.write(handshake(path));
  const far = await backend.asked(path);
  await client.until((received) => received.includes('\r\n\r\n'));
  assert.match(client.received, /^HTTP\/1\.1 101 /);
  const start = client.received.indexOf('\r\n\r\n') + 4;
  return { client, far, bytes: () => client.received.slice(start) };
}

for (const wire of ['handle', 'stream']) {
  for (const scheme of ['ws', 'wss']) {
    test(`messages come back as they were sent (${scheme}, ${wire})`, async (t) => {
      const through = gateways.get(wire) as GatewayUnderTest;
      const path = `/ws/echo-${scheme}`;
      const asked = once(sockets, 'connection');
      const socket = new WebSocket(`${scheme}://127.0.0.1:${scheme === 'ws' ? through.http : through.https}${path}`, 'chat', {
        rejectUnauthorized: false,
        headers: { 'X-Secret': 'x' },
      });
      endWith(t, () => socket.terminate());
      const upgraded = once(socket, 'upgrade');
      await once(socket, 'open');
      const [answer] = await upgraded;
      assert.deepEqual([answer.headers['x-answered'], typeof answer.headers['x-request-id'], socket.protocol], ['gateway', 'string', 'chat']);
      const [, request] = await asked;
      assert.deepEqual(
        [request.headers['x-asked'], request.headers['x-secret'], request.headers.connection, request.headers.upgrade, request.headers['x-forwarded-proto']],
        ['gateway', undefined, 'Upgrade', 'websocket', scheme === 'ws' ? 'http' : 'https'],
      );
      for (const message of ['hello', 'x'.repeat(100_000)]) {
        socket.send(message);
        const [back, isBinary] = await once(socket, 'message');
        assert.deepEqual([String(back) === message, isBinary], [true, false]);
      }
      socket.close(4321, 'done');
      const [code, reason] = await once(socket, 'close');
      assert.deepEqual([code, String(reason)], [4321, 'done']);
      const line = await accessLine(path, through);
      assert.deepEqual([line.status, line.upstreamStatus, line.reason, line.upstream, line.attempts], [101, 101, undefined, 'default/ws/80', 1]);
      // Two messages with their heads and a Close frame, with masks one way.
      assert.deepEqual([line.requestBytes, line.responseBytes], [100_005 + 6 + 14 + 12, 100_005 + 2 + 10 + 8]);
    });
  }

  test(`bytes that come with the handshake or with the 101 keep their place (${wire})`, async (t) => {
    const through = gateways.get(wire) as GatewayUnderTest;
    const original = backend.onHead;
    endWith(t, () => {
      backend.onHead = original;
    });
    backend.onHead = ({ head, socket }) => socket.write(`${accepting(head)}first `);
    const client = await RawConnection.open(t, through.http);
    client.write(`${handshake(`/early-${wire}`)}early `);
    const far = await backend.asked(`/early-${wire}`);
    client.write('and late');
    await backend.until(() => far.received === 'early and late');
    far.socket.write('and last');
    const received = await client.until((text) => text.endsWith('and last'));
    assert.match(received, /\r\n\r\nfirst and last$/);
  });

  test(`each direction ends by itself (${wire})`, async (t) => {
    const through = gateways.get(wire) as GatewayUnderTest;
    const { client, far, bytes } = await tunnel(t, `/half-client-${wire}`, through);
    client.socket.end('over');
    await backend.until(() => far.ended);
    assert.deepEqual([far.received, far.closed], ['over', false]);
    far.socket.end('still here');
    await client.untilEnded();
    assert.equal(bytes(), 'still here');
    assert.equal((await accessLine(`/half-client-${wire}`, through)).reason, undefined);

    const other = await tunnel(t, `/half-backend-${wire}`, through);
    other.client.socket.allowHalfOpen = true;
    other.far.socket.end('over');
    await once(other.client.socket, 'end');
    assert.equal(other.bytes(), 'over');
    other.client.socket.end('still here');
    await backend.until(() => other.far.closed);
    assert.equal(other.far.received, 'still here');
    assert.equal((await accessLine(`/half-backend-${wire}`, through)).reason, undefined);
  });

  test(`what ends abruptly on one side does so on the other (${wire})`, async (t) => {
    const through = gateways.get(wire) as GatewayUnderTest;
    const one = await tunnel(t, `/client-dies-${wire}`, through);
    one.client.socket.resetAndDestroy();
    await backend.until(() => one.far.closed);
    assert.equal(one.far.wasReset, true);
    assert.equal((await accessLine(`/client-dies-${wire}`, through)).reason, 'client_gone');

    const two = await tunnel(t, `/backend-dies-${wire}`, through);
    const failed = once(two.client.socket, 'error');
    two.far.socket.resetAndDestroy();
    const [error] = await failed;
    assert.equal(error.code, 'ECONNRESET');
    assert.equal((await accessLine(`/backend-dies-${wire}`, through)).reason, 'upstream_reset');
  });

  test(`silence and a lifetime that is written down end a tunnel with 1001 (${wire})`, async (t) => {
    const through = gateways.get(wire) as GatewayUnderTest;
    const lively = await tunnel(t, `/idle/lively-${wire}`, through);
    const silent = await tunnel(t, `/idle/silent-${wire}`, through);
    const short = await tunnel(t, `/life/${wire}`, through);
    const pings = setInterval(() => lively.far.socket.write(Buffer.of(0x89, 0)), 50);
    endWith(t, () => clearInterval(pings));
    for (const { client, far, bytes } of [silent, short]) {
      await client.until(() => bytes().length === 4);
      assert.deepEqual([...Buffer.from(bytes(), 'latin1')], [0x88, 2, 0x03, 0xe9]);
      // The client answers, as it has to, and the gateway closes first.
      client.socket.write('\x88\x82\0\0\0\0\x03\xe9', 'latin1');
      await client.untilEnded();
      await backend.until(() => far.ended);
      assert.equal(far.received, '\x88\x82\0\0\0\0\x03\xe9');
      far.socket.end();
    }
    assert.equal((await accessLine(`/idle/silent-${wire}`, through)).reason, 'idle_timeout');
    assert.equal((await accessLine(`/life/${wire}`, through)).reason, 'request_timeout');
    assert.equal(lively.client.ended, false);
    assert.equal(
      through.access.some((line) => line.path === `/idle/lively-${wire}`),
      false,
    );
  });
}

describe('before the 101', () => {
  const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';

  test('nothing of what the client sends behind its handshake reaches the backend', async (t) => {
    const original = backend.onHead;
    endWith(t, () => {
      backend.onHead = original;
    });
    backend.onHead = () => {};
    const client = await RawConnection.open(t, gateway.http);
    client.write(handshake('/hasty') + SMUGGLED);
    const far = await backend.asked('/hasty');
    // An answer on another connection: the gateway has had the time.
    await send(gateway.http, '/denied');
    assert.equal(far.received, '');
    far.socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno');
    assert.match(await client.untilEnded(), /^HTTP\/1\.1 403 Forbidden\r\n[\s\S]*Connection: close\r\n[\s\S]*\r\n\r\nno$/);
    assert.equal(far.received, '');
    assert.equal(
      backend.connections.some((connection) => /smuggled/.test(connection.head)),
      false,
    );
    assert.equal((await accessLine('/hasty')).status, 403);
  });

  test('filters answer as they do for other requests', async () => {
    const answer = await raw(gateway.http, handshake('/denied/ws') + SMUGGLED);
    assert.match(answer, /^HTTP\/1\.1 403 /);
    assert.equal(answer.match(/^HTTP\//gm)?.length, 1);
    assert.equal((await accessLine('/denied/ws')).attempts, 0);
  });

  for (const [name, answer] of [
    ['with another key', () => accepting('Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==')],
    ['without Sec-WebSocket-Accept', (head: string) => accepting(head).replace(/Sec-WebSocket-Accept.*\r\n/, '')],
    ['with it twice', (head: string) => accepting(head).replace(/(Sec-WebSocket-Accept.*\r\n)/, '$1$1')],
    ['to h2c', (head: string) => accepting(head).replace('websocket', 'h2c')],
    ['to two protocols', (head: string) => accepting(head).replace('websocket', 'websocket, h2c')],
    ['without Upgrade', (head: string) => accepting(head).replace(/Upgrade: .*\r\n/, '')],
    ['without Connection', (head: string) => accepting(head).replace(/Connection: .*\r\n/, '')],
    ['in HTTP/1.0', (head: string) => accepting(head).replace('HTTP/1.1', 'HTTP/1.0')],
    ['with a length', (head: string) => accepting(head, 'Content-Length: 5')],
  ] as const) {
    test(`a 101 ${name} is 502`, async (t) => {
      const original = backend.onHead;
      endWith(t, () => {
        backend.onHead = original;
      });
      backend.onHead = ({ head, socket }) => socket.write(answer(head));
      const path = `/bad-${name.replaceAll(' ', '-')}`;
      assert.match(await raw(gateway.http, handshake(path)), /^HTTP\/1\.1 502 /);
      const far = await backend.asked(path);
      await backend.until(() => far.ended);
      assert.equal((await accessLine(path)).reason, 'upstream_malformed');
    });
  }

  test('a 101 to a request that asks for nothing, or for something else, is 502', async () => {
    for (const fields of ['', 'Connection: Upgrade\r\nUpgrade: h2c\r\n']) {
      const answer = await raw(
        gateway.http,
        `GET /unasked HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${fields}Connection: close\r\n\r\n`,
      );
      assert.match(answer, /^HTTP\/1\.1 502 /);
    }
    const heads = backend.connections.filter((connection) => connection.path === '/unasked').map((connection) => connection.head);
    assert.deepEqual([heads.length, heads.some((head) => /upgrade/i.test(head))], [2, false]);
  });
});

test('a tunnel over TLS passes half-closes and ends as well', async (t) => {
  const options = { port: gateway.https, host: '127.0.0.1', rejectUnauthorized: false, allowHalfOpen: true };
  const socket = connectTls(options as ConnectionOptions);
  endWith(t, () => socket.destroy());
  let received = '';
  socket.on('data', (bytes) => {
    received += bytes.toString('latin1');
  });
  socket.write(handshake('/tls-half'));
  const far = await backend.asked('/tls-half');
  socket.end('over');
  await backend.until(() => far.ended);
  assert.equal(far.received, 'over');
  const ended = once(socket, 'end');
  far.socket.end('still here');
  await ended;
  assert.match(received, /\r\n\r\nstill here$/);
});
