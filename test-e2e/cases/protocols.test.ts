/** Protocols and overload, once with objects that came through the API server: HTTP/2, gRPC, WebSocket, passthrough, PROXY headers, zones, slow start. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer as createHttp2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { connect, createServer as createTcpServer, type Server } from 'node:net';
import { before, describe, type TestContext, test } from 'node:test';
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { endWith, type Lifetime, wholeFile } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { makeCertificate, tlsSecret } from '../cluster/certificates.ts';
import { ask, askUntil } from '../cluster/client.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { GatewayAddress } from '../cluster/gateway.ts';
import { startReplica } from '../cluster/gateways.ts';
import { listenAsPod } from '../cluster/pod-listener.ts';

const PORT = 8080;
/** Of requests at once, of which Low has a quarter fewer; and of connections of one client. */
const MOST = 8;
const MOST_CONNECTIONS = 20;
/** A message of gRPC: not compressed, five bytes. */
const MESSAGE = Buffer.from('\0\0\0\0\x05hello', 'latin1');

const cluster = Cluster.open(wholeFile);
let namespace: string;
let gateway: GatewayAddress;
/** Of the servers, by name; empty where there are no such addresses, as on kind. */
const addresses = new Map<string, string>();
const held: ServerResponse[] = [];

const host = (name: string) => `${name}.protocols.test`;

/** Answers gRPC with an echo of one message, takes WebSockets and echoes their bytes, and else says its protocol. */
function http2Server(): Server {
  const server = createHttp2Server({ settings: { enableConnectProtocol: true } });
  server.on('stream', (stream: ServerHttp2Stream, head) => {
    stream.on('error', () => {});
    if (head[':protocol'] === 'websocket') {
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    } else if (head['content-type']?.startsWith('application/grpc')) {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.pipe(stream);
    } else {
      stream.respond({ ':status': 200 });
      stream.end(`HTTP/2 ${head[':authority']}`);
    }
  });
  return server as unknown as Server;
}

/** Says its own address; what asks for `/hold` waits for `held`. */
function plainServer(): Server {
  return createServer((request, response) => {
    if (request.url === '/hold') held.push(response);
    else response.end(request.socket.localAddress);
  });
}

/** Says what its connection began with, and closes. */
function lineServer(): Server {
  return createTcpServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (bytes) => {
      const line = bytes.toString('latin1').split('\r\n', 1)[0] ?? '';
      socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${line.length}\r\n\r\n${line}`);
    });
  });
}

function slice(service: string, name: string, endpoint: object): KubernetesObject {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace, labels: { 'kubernetes.io/service-name': service } },
    addressType: 'IPv4',
    ports: [{ name: 'web', port: PORT, protocol: 'TCP' }],
    endpoints: [{ conditions: { ready: true }, ...endpoint }],
  } as KubernetesObject;
}

/** A Service without a selector, and a route to it. */
function service(name: string, spec: object = {}, port: object = {}): KubernetesObject[] {
  const metadata = { name, namespace };
  return [
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ name: 'web', port: 80, ...port }] } },
    {
      apiVersion: 'tidegate.dev/v1alpha1',
      kind: 'ApiRoute',
      metadata,
      spec: { ingressClassName: 'tidegate', hostnames: [host(name)], rules: [{ backendRefs: [{ name, port: 80 }] }], ...spec },
    },
  ] as KubernetesObject[];
}

function policy(name: string, spec: object): KubernetesObject {
  const targetRefs = [{ kind: 'Service', name }];
  return { apiVersion: 'tidegate.dev/v1alpha1', kind: 'BackendPolicy', metadata: { name, namespace }, spec: { targetRefs, ...spec } };
}

before(async () => {
  const passed = makeCertificate(host('passed'), 'of the pod');
  const servers: Readonly<Record<string, Server>> = {
    http2: http2Server(),
    passed: createTlsServer({ cert: passed.cert, key: passed.key }, (socket) => socket.end('from the pod')),
    lines: lineServer(),
    one: plainServer(),
    two: plainServer(),
  };
  for (const [name, server] of Object.entries(servers)) {
    const address = await listenAsPod(wholeFile, server, PORT);
    if (address === undefined) return;
    addresses.set(name, address);
  }
  const at = (name: string) => ({ addresses: [addresses.get(name) as string] });
  namespace = await cluster.namespace(wholeFile, 'protocols');
  await cluster.apply([
    tlsSecret(namespace, 'http2', makeCertificate(host('http2'), 'of the gateway')),
    ...service('http2', { tls: { secretName: 'http2' } }, { appProtocol: 'kubernetes.io/h2c' }),
    slice('http2', 'http2', at('http2')),
    ...service('passed', { tls: { mode: 'Passthrough' } }),
    slice('passed', 'passed', at('passed')),
    ...service('lines'),
    slice('lines', 'lines', at('lines')),
    policy('lines', { proxyProtocol: 'V1' }),
    ...service('zoned'),
    slice('zoned', 'zoned-a', { ...at('one'), zone: 'a', hints: { forZones: [{ name: 'a' }] } }),
    slice('zoned', 'zoned-b', { ...at('two'), zone: 'b', hints: { forZones: [{ name: 'b' }] } }),
    policy('zoned', { loadBalancer: { zoneAware: true } }),
    ...service('slow'),
    slice('slow', 'slow-one', at('one')),
    policy('slow', { loadBalancer: { slowStart: '1h' } }),
    ...service('low', { priority: 'Low' }),
    slice('low', 'low', at('one')),
  ]);
  const args = ['--zone', 'b', '--max-concurrency', String(MOST), '--max-connections-per-client', String(MOST_CONNECTIONS)];
  gateway = await startReplica(wholeFile, cluster, { namespaces: [namespace], args });
  await askUntil(gateway, { host: host('low') }, ({ status }) => status === 200);
  await askUntil(gateway, { host: host('http2') }, ({ body }) => body === `HTTP/2 ${host('http2')}`);
});

/** A case that needs the servers. */
function local(name: string, run: (t: TestContext) => Promise<void>): void {
  test(name, async (t) => (addresses.size < 5 ? t.skip('pods do not run on this machine') : run(t)));
}

/** A TLS connection to the gateway. */
async function secure(lifetime: Lifetime, serverName: string, protocols: string[]): Promise<TLSSocket> {
  const socket = connectTls({ host: gateway.host, port: gateway.https, servername: serverName, ALPNProtocols: protocols, rejectUnauthorized: false });
  endWith(lifetime, () => socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

describe('TLS on one port', () => {
  local('what a passthrough route names goes to its pod as it is, the rest ends here', async (t) => {
    const through = await secure(t, host('passed'), ['h2']);
    assert.equal(through.getPeerCertificate().subject.CN, 'of the pod');
    assert.equal(String((await once(through, 'data'))[0]), 'from the pod');
    const ended = await secure(t, host('http2'), ['h2', 'http/1.1']);
    assert.deepEqual([ended.getPeerCertificate().subject.CN, ended.alpnProtocol], ['of the gateway', 'h2']);
  });
});

describe('HTTP/2 from clients', () => {
  async function session(t: TestContext): Promise<ClientHttp2Session> {
    const socket = await secure(t, host('http2'), ['h2']);
    const opened = connectHttp2(`https://${host('http2')}`, { createConnection: () => socket });
    endWith(t, () => opened.destroy());
    await once(opened, 'remoteSettings');
    return opened;
  }

  interface Whole {
    readonly head: IncomingHttpHeaders;
    readonly body: string;
    readonly trailers: IncomingHttpHeaders;
  }

  async function exchange(from: ClientHttp2Session, head: OutgoingHttpHeaders, body?: Buffer): Promise<Whole> {
    const stream = from.request({ ':authority': host('http2'), ...head }, { endStream: body === undefined });
    let trailers: IncomingHttpHeaders = {};
    stream.on('trailers', (found) => {
      trailers = found;
    });
    const answered = once(stream, 'response');
    if (body !== undefined) stream.end(body);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    return { head: (await answered)[0] as IncomingHttpHeaders, body: Buffer.concat(chunks).toString('latin1'), trailers };
  }

  local('requests, gRPC with its trailers, and gRPC-Web, on one connection', async (t) => {
    const from = await session(t);
    assert.equal((await exchange(from, { ':path': '/' })).body, `HTTP/2 ${host('http2')}`);
    const grpc = { ':method': 'POST', ':path': '/test.Echo/Say', 'content-type': 'application/grpc', te: 'trailers' };
    const echoed = await exchange(from, grpc, MESSAGE);
    assert.deepEqual([echoed.body, echoed.trailers['grpc-status']], [MESSAGE.toString('latin1'), '0']);
    const web = await exchange(from, { ...grpc, 'content-type': 'application/grpc-web+proto' }, MESSAGE);
    assert.equal(web.head['content-type'], 'application/grpc-web');
    assert.ok(web.body.startsWith(`${MESSAGE.toString('latin1')}\x80`) && web.body.includes('grpc-status: 0'), web.body);
  });

  local("an error of the gateway's own is one of gRPC for a client of it", async (t) => {
    const from = await session(t);
    const head = { ':method': 'POST', ':path': '/test.Echo/Say', ':authority': host('nobody'), 'content-type': 'application/grpc' };
    const missing = await exchange(from, head, MESSAGE);
    assert.deepEqual([missing.head[':status'], missing.head['grpc-status'] ?? missing.trailers['grpc-status']], [200, '12']);
  });

  local('WebSocket by extended CONNECT, to a backend that takes that as well', async (t) => {
    const from = await session(t);
    const head = {
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'https',
      ':path': '/',
      ':authority': host('http2'),
      'sec-websocket-version': '13',
    };
    const stream = from.request(head, { endStream: false });
    assert.equal((await once(stream, 'response'))[0][':status'], 200);
    stream.write(MESSAGE);
    assert.deepEqual((await once(stream, 'data'))[0], MESSAGE);
    stream.end();
    await once(stream, 'end');
  });
});

describe('endpoints', () => {
  local('get a PROXY header where the policy says so', async () => {
    const { body } = await askUntil(gateway, { host: host('lines') }, ({ status }) => status === 200);
    assert.match(body, /^PROXY TCP4 127\.0\.0\.1 127\.[\d.]+ \d+ 8080$/);
  });

  local('of the own zone are used, as their hints say', async () => {
    for (let round = 0; round < 8; round++) assert.equal((await ask(gateway, { host: host('zoned') })).body, addresses.get('two'));
  });

  local('that are new begin with a small share where there is a slow start', async () => {
    const question = { host: host('slow') };
    const late = addresses.get('two') as string;
    await cluster.apply([slice('slow', 'slow-two', { addresses: [late] })]);
    // Workers balance for themselves: by then the one that knows of it has asked it.
    for (let found = false; !found; ) found = (await ask(gateway, question)).body === late;
    let asked = 0;
    for (let round = 0; round < 60; round++) if ((await ask(gateway, question)).body === late) asked++;
    assert.ok(asked < 20, `${asked} of 60`);
  });
});

describe('too much to do', () => {
  local('Low is refused while three quarters of the requests are under way, the others are served', async () => {
    const waiting = Array.from({ length: MOST * 0.75 }, () => ask(gateway, { host: host('low'), path: '/hold' }));
    while (held.length < waiting.length) await new Promise((resolve) => setTimeout(resolve, 10));
    const refused = await ask(gateway, { host: host('low') });
    assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '1']);
    assert.equal((await ask(gateway, { host: host('zoned') })).status, 200);
    for (const response of held.splice(0)) response.end();
    for (const answer of await Promise.all(waiting)) assert.equal(answer.status, 200);
  });

  local('a client has so many connections and no more', async (t) => {
    const answered = async (): Promise<boolean> => {
      const socket = connect({ port: gateway.http, host: gateway.host, localAddress: '127.0.0.9' });
      endWith(t, () => socket.destroy());
      socket.on('error', () => {});
      socket.write(`GET / HTTP/1.1\r\nHost: ${host('zoned')}\r\n\r\n`);
      return new Promise((resolve) => {
        socket.once('data', () => resolve(true));
        socket.once('close', () => resolve(false));
      });
    };
    const outcomes = await Promise.all(Array.from({ length: MOST_CONNECTIONS + 5 }, answered));
    assert.equal(outcomes.filter(Boolean).length, MOST_CONNECTIONS);
  });
});
