/** Checks against real servers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import {
  createServer as createHttp2Server,
  createSecureServer,
  type Http2SecureServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Stream,
} from 'node:http2';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { createSecureContext, type TLSSocket } from 'node:tls';
import type { ActiveCheck, UpstreamProtocol } from '../../snapshot/upstream.ts';
import { upstream } from '../fixtures.ts';
import type { ProbeResult, ProbeTarget } from './probe.ts';
import { probe } from './probes.ts';

const TIMES = { interval: 1_000, timeout: 1_000, healthyThreshold: 1, unhealthyThreshold: 1 };
const HTTP: ActiveCheck = { type: 'HTTP', path: '/healthz?deep=1', expectedStatuses: [{ from: 200, to: 299 }], ...TIMES };
const TCP: ActiveCheck = { type: 'TCP', ...TIMES };
const GRPC: ActiveCheck = { type: 'GRPC', service: '', ...TIMES };

const servers: (Server | HttpServer | Http2Server | Http2SecureServer)[] = [];
const sockets = new Set<Socket>();

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers.splice(0)) {
    server.close();
    await once(server, 'close');
  }
});

async function listen(server: Server | HttpServer | Http2Server | Http2SecureServer, host = '127.0.0.1'): Promise<number> {
  servers.push(server);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  });
  server.listen(0, host);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Of all servers of the test. */
async function untilSockets(wanted: (open: number) => boolean): Promise<void> {
  for (const deadline = Date.now() + 60_000; !wanted(sockets.size); await new Promise((resolve) => setTimeout(resolve, 5))) {
    assert.ok(Date.now() < deadline, `${sockets.size} connections are open`);
  }
}

function ask(
  port: number,
  check: ActiveCheck,
  options: { readonly protocol?: UpstreamProtocol; readonly signal?: AbortSignal; readonly address?: string } = {},
): Promise<ProbeResult> {
  const { protocol = 'HTTP1', signal = new AbortController().signal, address = '127.0.0.1' } = options;
  return probe({ address, port, upstream: upstream({ protocol }) }, check, signal);
}

/** Every kind of check: its end comes when it is aborted, and nothing of it is left. */
async function assertAborted(port: number, check: ActiveCheck, options: { readonly protocol?: UpstreamProtocol } = {}): Promise<void> {
  const abort = new AbortController();
  const asked = ask(port, check, { ...options, signal: abort.signal });
  await untilSockets((open) => open > 0);
  abort.abort();
  assert.equal((await asked).passed, false);
  await untilSockets((open) => open === 0);
}

async function unusedPort(): Promise<number> {
  const port = await listen(createServer());
  servers.pop()?.close();
  return port;
}

describe('HTTP checks', () => {
  it('ask in HTTP/1.1 with the Service as Host, and judge by the status alone', async () => {
    const heads: unknown[] = [];
    let status = 204;
    const port = await listen(
      createHttpServer((request, response) => {
        heads.push([request.method, request.url, request.headers.host, request.headers['user-agent']]);
        response.writeHead(status, { location: 'http://127.0.0.1:1/' });
        // A body without an end is nobody's business.
        if (status === 200) response.write('x');
        else response.end();
      }),
    );
    assert.deepEqual(await ask(port, HTTP), { passed: true, outcome: '204' });
    assert.deepEqual(heads, [['GET', '/healthz?deep=1', `orders.shop:${port}`, 'tidegate-health-check']]);
    for (status of [302, 404, 503]) assert.deepEqual(await ask(port, HTTP), { passed: false, outcome: String(status) });
    assert.deepEqual(await ask(port, { ...HTTP, expectedStatuses: [{ from: 503, to: 503 }] }), { passed: true, outcome: '503' });
    status = 200;
    assert.ok((await ask(port, HTTP)).passed);
    await untilSockets((open) => open === 0);
  });

  it('fail where nobody listens, at nonsense, and at silence', async () => {
    assert.deepEqual(await ask(await unusedPort(), HTTP), { passed: false, outcome: 'ECONNREFUSED' });
    const nonsense = await listen(createServer((socket) => socket.resume().end('220 smtp\r\n\r\n')));
    assert.equal((await ask(nonsense, HTTP)).passed, false);
    const silent = await listen(createServer((socket) => socket.resume()));
    await assertAborted(silent, HTTP);
  });

  it('ask over HTTP/2 where the endpoints speak it, and over HTTP/1.1 on a port of its own', async () => {
    const http2 = createHttp2Server();
    let asked: unknown;
    http2.on('stream', (stream: ServerHttp2Stream, headers) => {
      asked = [headers[':method'], headers[':path'], headers[':authority']];
      stream.respond({ ':status': 200 });
      stream.end('fine');
    });
    const port = await listen(http2);
    assert.deepEqual(await ask(port, HTTP, { protocol: 'H2C' }), { passed: true, outcome: '200' });
    assert.deepEqual(asked, ['GET', '/healthz?deep=1', `orders.shop:${port}`]);
    assert.equal((await ask(port, HTTP)).passed, false);
    const management = await listen(createHttpServer((_request, response) => response.end()));
    assert.ok((await ask(management, { ...HTTP, port: management }, { protocol: 'H2C' })).passed);
    assert.equal((await ask(management, HTTP, { protocol: 'H2C' })).passed, false);
    const silent = await listen(createServer((socket) => socket.resume()));
    await assertAborted(silent, HTTP, { protocol: 'H2C' });
  });

  it('reach IPv6 endpoints', async () => {
    const port = await listen(
      createHttpServer((_request, response) => response.end()),
      '::1',
    );
    assert.ok((await ask(port, HTTP, { address: '::1' })).passed);
  });
});

describe('checks over TLS', () => {
  const [cert, key] = ['crt', 'key'].map((kind) => readFileSync(new URL(`../../wire/testdata/ecdsa.${kind}`, import.meta.url), 'utf8'));
  const trusting = (name: string): ProbeTarget['tls'] => ({ secureContext: createSecureContext({ ca: cert }), serverName: name, verifyName: name });
  const over = (port: number, check: ActiveCheck, tls: ProbeTarget['tls'], protocol: UpstreamProtocol = 'HTTP1') =>
    probe({ address: '127.0.0.1', port, upstream: upstream({ protocol }), ...(tls === undefined ? {} : { tls }) }, check, new AbortController().signal);

  it('verify the name, send it, and are called by it, over HTTP/1.1 and HTTP/2', async () => {
    const server = createSecureServer({ cert, key, allowHTTP1: true });
    const seen: unknown[] = [];
    server.on('request', ({ httpVersion, headers, authority, socket }: Http2ServerRequest, response: Http2ServerResponse) => {
      seen.push([httpVersion, authority ?? headers.host, (socket as TLSSocket).servername]);
      response.end();
    });
    const port = await listen(server);
    assert.deepEqual(await over(port, HTTP, trusting('ecdsa.test')), { passed: true, outcome: '200' });
    assert.deepEqual(await over(port, HTTP, trusting('ecdsa.test'), 'HTTP2'), { passed: true, outcome: '200' });
    const name = `ecdsa.test:${port}`;
    assert.deepEqual(seen, [
      ['1.1', name, 'ecdsa.test'],
      ['2.0', name, 'ecdsa.test'],
    ]);
    assert.deepEqual(await over(port, HTTP, trusting('other.test')), { passed: false, outcome: 'ERR_TLS_CERT_ALTNAME_INVALID' });
    assert.equal((await over(port, HTTP, trusting('other.test'), 'HTTP2')).outcome, 'ERR_TLS_CERT_ALTNAME_INVALID');
    const stranger = { ...trusting('ecdsa.test'), secureContext: createSecureContext({ ca: [] }) } as ProbeTarget['tls'];
    assert.equal((await over(port, GRPC, stranger)).passed, false);
    assert.equal((await over(port, HTTP, undefined)).passed, false);
    assert.ok((await over(port, HTTP, { ...stranger, verifyName: undefined } as ProbeTarget['tls'])).passed, 'nothing is to be verified');
  });
});

describe('checks of endpoints that expect the PROXY protocol', () => {
  it('begin with a header that names no client, before TLS, too', async () => {
    for (const [version, begin] of [
      ['V1', Buffer.from('PROXY UNKNOWN\r\nGET ')],
      ['V2', Buffer.from('0d0a0d0a000d0a515549540a20000000474554', 'hex')],
    ] as const) {
      let seen = Buffer.alloc(0);
      const port = await listen(
        createServer((socket) => {
          socket.on('data', (bytes: Buffer) => {
            seen = Buffer.concat([seen, bytes]);
            if (seen.includes('\r\n\r\n', begin.length)) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
          });
        }),
      );
      const target = { address: '127.0.0.1', port, upstream: upstream(), proxyProtocol: version };
      assert.deepEqual(await probe(target, HTTP, new AbortController().signal), { passed: true, outcome: '200' });
      assert.deepEqual(seen.subarray(0, begin.length), begin);
      seen = Buffer.alloc(0);
      const abort = new AbortController();
      const asked = probe({ ...target, tls: { secureContext: createSecureContext(), serverName: '', verifyName: 'a' } }, HTTP, abort.signal);
      for (const deadline = Date.now() + 60_000; seen.length <= begin.length; await new Promise(setImmediate)) assert.ok(Date.now() < deadline);
      const header = begin.subarray(0, version === 'V1' ? -4 : -3);
      assert.deepEqual([seen.subarray(0, header.length), seen[header.length]], [header, 0x16], 'then a handshake');
      abort.abort();
      await asked;
    }
  });
});

describe('TCP checks', () => {
  it('pass when a connection comes about, and leave none', async () => {
    const port = await listen(createServer());
    assert.deepEqual(await ask(port, TCP), { passed: true, outcome: 'connected' });
    await untilSockets((open) => open === 0);
    assert.deepEqual(await ask(await unusedPort(), TCP), { passed: false, outcome: 'ECONNREFUSED' });
    const abort = new AbortController();
    abort.abort();
    assert.equal((await ask(port, TCP, { signal: abort.signal })).passed, false);
  });
});

describe('gRPC checks', () => {
  /** @param answer frames and trailers; undefined trailers: Trailers-Only with that status */
  async function health(answer: (request: Buffer) => { readonly frame?: readonly number[]; readonly status?: string }): Promise<number> {
    const server = createHttp2Server();
    server.on('stream', (stream: ServerHttp2Stream, headers) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        assert.deepEqual([headers[':path'], headers['content-type'], headers.te], ['/grpc.health.v1.Health/Check', 'application/grpc', 'trailers']);
        const { frame, status } = answer(Buffer.concat(chunks));
        const head = { ':status': 200, 'content-type': 'application/grpc' };
        if (frame === undefined) {
          stream.respond({ ...head, 'grpc-status': status }, { endStream: true });
          return;
        }
        stream.respond(head, { waitForTrailers: true });
        stream.on('wantTrailers', () => (status === undefined ? stream.close() : stream.sendTrailers({ 'grpc-status': status })));
        stream.end(Buffer.from(frame));
      });
    });
    return listen(server);
  }

  it('name the service, and pass when it is SERVING', async () => {
    const requests: string[] = [];
    const port = await health((request) => {
      requests.push(request.toString('hex'));
      return { frame: [0, 0, 0, 0, 2, 8, 1], status: '0' };
    });
    assert.deepEqual(await ask(port, GRPC), { passed: true, outcome: 'SERVING' });
    assert.deepEqual(await ask(port, { ...GRPC, service: 'a.B' }), { passed: true, outcome: 'SERVING' });
    assert.ok((await ask(port, { ...GRPC, service: 'x'.repeat(200) })).passed);
    assert.deepEqual(requests.slice(0, 2), ['0000000000', `00000000050a03${Buffer.from('a.B').toString('hex')}`]);
    assert.ok(requests[2]?.startsWith('00000000cb0ac801'));
  });

  for (const [what, answer, outcome] of [
    ['NOT_SERVING', { frame: [0, 0, 0, 0, 2, 8, 2], status: '0' }, 'NOT_SERVING'],
    ['SERVICE_UNKNOWN', { frame: [0, 0, 0, 0, 2, 8, 3], status: '0' }, 'SERVICE_UNKNOWN'],
    ['no status at all, which is UNKNOWN', { frame: [0, 0, 0, 0, 0], status: '0' }, 'UNKNOWN'],
    ['a server without the health service', { status: '12' }, 'grpc-status 12'],
    ['an unknown service', { status: '5' }, 'grpc-status 5'],
    ['an error after the answer', { frame: [0, 0, 0, 0, 2, 8, 1], status: '13' }, 'grpc-status 13'],
    ['a message cut short', { frame: [0, 0, 0, 0, 9, 8, 1], status: '0' }, 'no health answer'],
    ['no message', { frame: [], status: '0' }, 'no health answer'],
  ] as const) {
    it(`fail at ${what}`, async () => {
      const port = await health(() => answer);
      assert.deepEqual(await ask(port, GRPC), { passed: false, outcome });
    });
  }

  it('fail where HTTP/1.1 is spoken, where nobody listens, at silence, and at an answer without end', async () => {
    const http1 = await listen(createHttpServer((_request, response) => response.end()));
    assert.equal((await ask(http1, GRPC)).passed, false);
    assert.deepEqual(await ask(await unusedPort(), GRPC), { passed: false, outcome: 'ECONNREFUSED' });
    const endless = await health(() => ({ frame: new Array(20_000).fill(0), status: '0' }));
    assert.deepEqual(await ask(endless, GRPC), { passed: false, outcome: 'the answer is too long' });
    await untilSockets((open) => open === 0);
    const silent = await listen(createServer((socket) => socket.resume()));
    await assertAborted(silent, GRPC);
  });
});
