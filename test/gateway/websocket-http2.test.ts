/** WebSocket over HTTP/2 (RFC 8441), with the client of node:http2: in clear and over TLS, to a backend of HTTP/1.1. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, createServer } from 'node:http2';
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer } from 'node:net';
import { before, describe, type TestContext, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { answering, Backend } from './backend.ts';
import { get } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';
import { TunnelBackend } from './tunnel-backend.ts';

let backend: TunnelBackend;
let gateway: GatewayUnderTest;
/** Requests that the backend of HTTP/2 has had as such. */
let overHttp2 = 0;

before(async () => {
  backend = await TunnelBackend.start(wholeFile);
  const plain = await Backend.start(wholeFile, answering('\x81\x02no'));
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  endWith(wholeFile, () => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  server.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })));
  // What is told by its first bytes: HTTP/2 by prior knowledge, or HTTP/1.1.
  const http2 = createServer((_request, response) => {
    overHttp2++;
    response.end('over HTTP/2');
  });
  const both = createTcpServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (bytes) => {
      socket.unshift(bytes);
      const speaksHttp2 = bytes.toString('latin1').startsWith('PRI * HTTP/2.0');
      const { port } = (speaksHttp2 ? http2 : server).address() as AddressInfo;
      const far = connectTcp(port, '127.0.0.1');
      far.on('error', () => {});
      socket.on('close', () => far.destroy());
      socket.pipe(far).pipe(socket);
    });
  });
  for (const listener of [http2, both]) {
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    endWith(wholeFile, () => listener.close());
  }
  gateway = await GatewayUnderTest.start(
    wholeFile,
    {
      'all.yaml':
        service('raw', [backend.port]) +
        service('plain', [plain.port]) +
        service('both', [(both.address() as AddressInfo).port]) +
        '---\napiVersion: tidegate.dev/v1alpha1\nkind: BackendPolicy\nmetadata: { name: both, namespace: default }\nspec: { targetRefs: [{ kind: Service, name: both }], protocol: H2C }\n' +
        service('echo', [(server.address() as AddressInfo).port]) +
        apiRoute(
          'all',
          '  rules: [{ backendRefs: [{ name: raw, port: 80 }] }, { matches: [{ path: { value: /echo } }], backendRefs: [{ name: echo, port: 80 }] }, { matches: [{ path: { value: /both } }], backendRefs: [{ name: both, port: 80 }] }, { matches: [{ path: { value: /plain } }], backendRefs: [{ name: plain, port: 80 }] }, { matches: [{ path: { value: /direct } }], filters: { directResponse: { statusCode: 200, body: nothing } } }, { matches: [{ path: { value: /denied } }], filters: { ipAccess: { deny: [0.0.0.0/0] } }, backendRefs: [{ name: raw, port: 80 }] }]',
        ),
    },
    ['--workers', '1'],
  );
});

/** What came on a stream. */
class Tunnel {
  readonly stream: ClientHttp2Stream;
  received = '';
  ended = false;
  #wake = () => {};

  constructor(stream: ClientHttp2Stream) {
    this.stream = stream;
    stream.on('data', (bytes: Buffer) => {
      this.received += bytes.toString('latin1');
      this.#wake();
    });
    stream.on('end', () => {
      this.ended = true;
      this.#wake();
    });
    stream.on('error', () => {});
    stream.on('close', () => this.#wake());
  }

  async until(satisfied: () => boolean): Promise<void> {
    while (!satisfied()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

for (const scheme of ['http', 'https'] as const) {
  describe(`WebSocket over HTTP/2 (${scheme})`, () => {
    async function session(t: TestContext): Promise<ClientHttp2Session> {
      const opened = connect(`${scheme}://127.0.0.1:${gateway[scheme]}`, { rejectUnauthorized: false });
      endWith(t, () => opened.destroy());
      opened.on('error', () => {});
      const [settings] = await once(opened, 'remoteSettings');
      assert.equal(settings.enableConnectProtocol, true);
      return opened;
    }

    function ask(from: ClientHttp2Session, path: string): ClientHttp2Stream {
      const fields = { ':method': 'CONNECT', ':protocol': 'websocket', ':path': path, 'sec-websocket-version': '13', 'sec-websocket-protocol': 'chat' };
      return from.request(fields, { endStream: false });
    }

    test('messages come back from a real server, beside other requests of the connection', async (t) => {
      const from = await session(t);
      const tunnel = new Tunnel(ask(from, `/echo/${scheme}`));
      const [head] = await once(tunnel.stream, 'response');
      assert.deepEqual([head[':status'], head['sec-websocket-protocol'], head['sec-websocket-accept']], [200, 'chat', undefined]);
      const payload = 'x'.repeat(60_000);
      tunnel.stream.write(Buffer.from(`\x81\xfe\xea\x60\0\0\0\0${payload}`, 'latin1'));
      await tunnel.until(() => tunnel.received.length >= payload.length + 4);
      assert.equal(tunnel.received, `\x81\x7e\xea\x60${payload}`);
      const denied = from.request({ ':path': '/denied' });
      denied.resume();
      assert.equal((await once(denied, 'response'))[0][':status'], 403);
      tunnel.stream.write(Buffer.from('\x88\x82\0\0\0\0\x03\xe8', 'latin1'));
      await tunnel.until(() => tunnel.ended);
      assert.equal(tunnel.received.slice(-4), '\x88\x02\x03\xe8');
      tunnel.stream.end();
      const line = await gateway.untilAccess((entry) => entry.path === `/echo/${scheme}`);
      assert.deepEqual([line.status, line.protocol, line.method, line.upstreamStatus, line.reason], [101, 'HTTP/2.0', 'GET', 101, undefined]);
      assert.deepEqual([line.requestBytes, line.responseBytes], [60_008 + 8, 60_004 + 4]);
    });

    test('each direction ends by itself, and breaks as a reset', async (t) => {
      const from = await session(t);
      const half = new Tunnel(ask(from, `/half-${scheme}`));
      await once(half.stream, 'response');
      const far = await backend.asked(`/half-${scheme}`);
      assert.match(far.head, /^sec-websocket-key: .{24}\r?$/im);
      assert.match(far.head, /^GET [\s\S]*^Connection: Upgrade\r\nUpgrade: websocket$/m);
      half.stream.end('over');
      await backend.until(() => far.ended);
      assert.equal(far.received, 'over');
      far.socket.end('still here');
      await half.until(() => half.ended);
      assert.equal(half.received, 'still here');

      const cut = new Tunnel(ask(from, `/cut-${scheme}`));
      await once(cut.stream, 'response');
      const cutFar = await backend.asked(`/cut-${scheme}`);
      cutFar.socket.resetAndDestroy();
      await cut.until(() => cut.stream.closed);
      assert.equal(cut.stream.rstCode, 8);

      const gone = new Tunnel(ask(from, `/gone-${scheme}`));
      await once(gone.stream, 'response');
      const goneFar = await backend.asked(`/gone-${scheme}`);
      gone.stream.close(8);
      // node:http2 ends the stream before it resets it: the backend sees the end first.
      await backend.until(() => goneFar.ended);
      assert.equal((await gateway.untilAccess((entry) => entry.path === `/gone-${scheme}`)).reason, 'client_gone');
    });

    test('no other success than a 101 reaches the client as one, for it would take that for the tunnel', async (t) => {
      const from = await session(t);
      for (const [path, status, reason, upstreamStatus] of [
        [`/plain/${scheme}`, 502, 'upgrade_not_granted', 200],
        [`/direct/${scheme}`, 501, 'no_upgrade_here', undefined],
      ] as const) {
        const asked = new Tunnel(ask(from, path));
        asked.stream.write('early');
        assert.equal((await once(asked.stream, 'response'))[0][':status'], status);
        await asked.until(() => asked.ended);
        assert.equal(JSON.parse(asked.received).status, status);
        const line = await gateway.untilAccess((entry) => entry.path === path);
        assert.deepEqual([line.status, line.reason, line.upstreamStatus], [status, reason, upstreamStatus]);
      }
    });

    test('an answer other than 101 is an ordinary one; CONNECT without a protocol is refused', async (t) => {
      const from = await session(t);
      const denied = new Tunnel(ask(from, '/denied/2'));
      denied.stream.write('early');
      assert.equal((await once(denied.stream, 'response'))[0][':status'], 403);
      const plain = from.request({ ':method': 'CONNECT', ':authority': 'a.test:443' });
      plain.on('error', () => {});
      plain.resume();
      assert.equal((await once(plain, 'response'))[0][':status'], 405);
      assert.equal(
        backend.connections.some((connection) => connection.path === '/denied/2'),
        false,
      );
    });
  });
}

test('a backend of HTTP/2 gets its WebSockets by HTTP/1.1, and the other requests as before', async (t) => {
  for (const round of [1, 2]) {
    assert.equal((await get(gateway.http, '/both/page')).body, 'over HTTP/2');
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.http}/both/socket`);
    endWith(t, () => socket.terminate());
    await once(socket, 'open');
    socket.send('hello');
    assert.equal(String((await once(socket, 'message'))[0]), 'hello');
    assert.equal(overHttp2, round);
  }
});

test('when the gateway stops, tunnels of HTTP/2 end with 1001 as well', async (t) => {
  const own = await GatewayUnderTest.start(t, {
    'all.yaml': service('raw', [backend.port]) + apiRoute('all', '  rules: [{ backendRefs: [{ name: raw, port: 80 }] }]'),
  });
  const from = connect(`http://127.0.0.1:${own.http}`);
  endWith(t, () => from.destroy());
  from.on('error', () => {});
  const tunnel = new Tunnel(
    from.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/drained', 'sec-websocket-version': '13' }, { endStream: false }),
  );
  await once(tunnel.stream, 'response');
  const far = await backend.asked('/drained');
  own.process.kill('SIGTERM');
  await tunnel.until(() => tunnel.received.length >= 4);
  assert.equal(tunnel.received, '\x88\x02\x03\xe9');
  tunnel.stream.end(Buffer.from('\x88\x82\0\0\0\0\x03\xe9', 'latin1'));
  await backend.until(() => far.ended);
  assert.equal(far.received, '\x88\x82\0\0\0\0\x03\xe9');
  far.socket.end();
  await tunnel.until(() => tunnel.ended);
  const [code] = await once(own.process, 'close');
  assert.equal(code, 0);
  assert.equal(own.access.find((line) => line.path === '/drained')?.reason, 'drain');
});
