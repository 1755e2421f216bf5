/** HTTP/2 to backends on the built program: servers of node:http2 behind clients of HTTP/1.1, and each way to fail. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import {
  type ClientHttp2Session,
  connect,
  constants,
  createSecureServer,
  createServer,
  type Http2Server,
  type Http2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { before, describe, test } from 'node:test';
import { Authority } from '../certificates/authority.ts';
import { Backend } from './backend.ts';
import { get, send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, type Lifetime, wholeFile } from './lifetime.ts';
import { apiRoute } from './manifests.ts';

const BIG = randomBytes(2 * 1024 * 1024);
const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** A backend on node:http2, which answers by path. */
class Http2Backend {
  readonly server: Http2Server;
  readonly sessions = new Set<Http2Session>();
  sessionsEver = 0;
  requests = 0;
  /** Streams of this many requests are refused. */
  refuse = 0;
  /** One that the test is to end. */
  unfinished: ServerHttp2Stream | undefined = undefined;
  readonly #name: string;

  private constructor(name: string, server: Http2Server) {
    this.#name = name;
    this.server = server;
    server.on('session', (session: Http2Session) => {
      this.sessionsEver++;
      this.sessions.add(session);
      session.on('close', () => this.sessions.delete(session));
      session.on('error', () => {});
    });
    server.on('stream', (stream: ServerHttp2Stream, headers) => {
      this.requests++;
      stream.on('error', () => {});
      this.#answer(stream, headers[':path'] ?? '', headers);
    });
  }

  static async start(lifetime: Lifetime, name: string, server = createServer(), port = 0): Promise<Http2Backend> {
    const backend = new Http2Backend(name, server);
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    endWith(lifetime, () => backend.stop());
    return backend;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Connections end once their requests are answered, which GOAWAY says. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const session of this.sessions) session.close();
    await closed;
  }

  #answer(stream: ServerHttp2Stream, path: string, headers: Readonly<Record<string, unknown>>): void {
    if (this.refuse > 0) {
      this.refuse--;
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
      return;
    }
    switch (path.split('?')[0]) {
      case '/h2c/echo': {
        stream.respond({ ':status': 200, 'content-type': 'text/plain' }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': 'done' }));
        stream.pipe(stream);
        return;
      }
      case '/h2c/headers':
        stream.respond({ ':status': 200 });
        stream.end(JSON.stringify(headers));
        return;
      case '/h2c/big':
        stream.respond({ ':status': 200, 'content-length': BIG.length });
        stream.end(BIG);
        return;
      case '/h2c/digest': {
        const hash = createHash('sha256');
        stream.on('data', (chunk: Buffer) => hash.update(chunk));
        stream.on('end', () => {
          stream.respond({ ':status': 200 });
          stream.end(hash.digest('hex'));
        });
        return;
      }
      case '/h2c/early':
        stream.additionalHeaders({ ':status': 103, link: '</style.css>' });
        stream.respond({ ':status': 200 });
        stream.end('late');
        return;
      case '/h2c/204':
        stream.respond({ ':status': 204 }, { endStream: true });
        return;
      case '/h2c/head':
        stream.respond({ ':status': 200, 'content-length': 5 }, { endStream: true });
        return;
      case '/h2c/reset':
        stream.close(constants.NGHTTP2_INTERNAL_ERROR);
        return;
      case '/h2c/cut':
        stream.respond({ ':status': 200, 'content-length': 10 });
        stream.write('half');
        this.unfinished = stream;
        return;
      default:
        stream.respond({ ':status': 200 });
        stream.end(this.#name);
    }
  }
}

/** A Service with endpoints on loopback, a route to it by its name as the path, and what its port or a policy says. */
function behind(name: string, ports: readonly number[], appProtocol: string, policy = ''): string {
  const slices = ports.map(
    (port, index) => `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}-${index}, labels: { kubernetes.io/service-name: ${name} } }
addressType: IPv4
ports: [{ name: web, port: ${port}, protocol: TCP }]
endpoints: [{ addresses: [127.0.0.1] }]
`,
  );
  return `---
apiVersion: v1
kind: Service
metadata: { name: ${name} }
spec: { ports: [{ name: web, port: 80${appProtocol === '' ? '' : `, appProtocol: ${appProtocol}`} }] }
${slices.join('')}${apiRoute(name, `  rules: [{ matches: [{ path: { value: /${name} } }], backendRefs: [{ name: ${name}, port: 80 }] }]`)}
${policy === '' ? '' : `---\napiVersion: tidegate.dev/v1alpha1\nkind: BackendPolicy\nmetadata: { name: ${name} }\nspec:\n  targetRefs: [{ kind: Service, name: ${name} }]\n  ${policy}\n`}`;
}

const authority = new Authority('Backend Root');
const CA = `---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: ca }\ndata:\n  ca.crt: |\n${authority.cert.trim().replace(/^/gm, '    ')}\n`;
const TLS = 'tls: { hostname: backend.test, caCertificateRefs: [{ name: ca }] }';

let gateway: GatewayUnderTest;
let h2c: Http2Backend;
let secure: Http2Backend;
let http1: Backend;
let garbage: Backend;
const pair: Http2Backend[] = [];

before(async () => {
  h2c = await Http2Backend.start(wholeFile, 'h2c');
  const issued = authority.issue({ names: ['backend.test'] });
  secure = await Http2Backend.start(wholeFile, 'secure', createSecureServer({ cert: issued.cert, key: issued.key }) as unknown as Http2Server);
  const noAlpn = createHttpsServer({ cert: issued.cert, key: issued.key, ALPNProtocols: ['http/1.1'] }, (_request, response) => response.end('no'));
  await new Promise<void>((resolve) => noAlpn.listen(0, '127.0.0.1', resolve));
  endWith(wholeFile, () => void noAlpn.close());
  http1 = await Backend.start(wholeFile, (_request, socket) => {
    socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n');
    return undefined;
  });
  garbage = await Backend.start(wholeFile);
  pair.push(await Http2Backend.start(wholeFile, 'one'), await Http2Backend.start(wholeFile, 'two'));
  gateway = await GatewayUnderTest.start(
    wholeFile,
    {
      'all.yaml': [
        behind('h2c', [h2c.port], 'kubernetes.io/h2c'),
        behind('policy', [h2c.port], '', 'protocol: H2C'),
        behind('clear', [h2c.port], '', 'protocol: HTTP2'),
        behind('secure', [secure.port], '', `protocol: HTTP2\n  ${TLS}`),
        behind('no-alpn', [(noAlpn.address() as AddressInfo).port], '', `protocol: HTTP2\n  ${TLS}`),
        behind('http1', [http1.port], 'h2c'),
        behind(
          'pair',
          pair.map((backend) => backend.port),
          'h2c',
        ),
        apiRoute('kept', '  rules: [{ matches: [{ path: { value: /kept } }], retry: { on: [503] }, backendRefs: [{ name: pair, port: 80 }] }]'),
        CA,
      ].join('\n'),
    },
    ['--workers', '1'],
  );
});

/** As `send`, with the answer's trailers. */
function exchange(
  path: string,
  body: Buffer | undefined,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ response: IncomingMessage; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      { port: gateway.http, host: '127.0.0.1', path, method: body === undefined ? 'GET' : 'POST', headers, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve({ response, body: Buffer.concat(chunks) }));
        response.on('error', reject);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

describe('HTTP/2 to backends', () => {
  test('by appProtocol, by policy, in clear and over TLS', async () => {
    for (const name of ['h2c', 'policy', 'clear']) assert.equal((await get(gateway.http, `/${name}`)).body, 'h2c');
    assert.equal((await get(gateway.http, '/secure')).body, 'secure');
    const headers = JSON.parse(
      (await send(gateway.http, '/h2c/headers', { headers: { Host: 'shop.example', 'X-Own': '1', Connection: 'close, x-hop', 'X-Hop': '1' } })).body,
    );
    assert.deepEqual(
      [headers[':authority'], headers[':scheme'], headers['x-own'], headers['x-hop'], headers.connection, headers.host, headers.te],
      ['shop.example', 'http', '1', undefined, undefined, undefined, 'trailers'],
    );
  });

  test('one connection carries them all', async () => {
    const agent = new Agent({ keepAlive: true });
    endWith(wholeFile, () => agent.destroy());
    await Promise.all(Array.from({ length: 40 }, () => send(gateway.http, '/h2c', { agent })));
    // One for each of the three upstreams.
    assert.equal(h2c.sessionsEver, 3);
  });

  test('bodies both ways, with trailers', async () => {
    const { response, body } = await exchange('/h2c/echo', Buffer.from('hello'));
    assert.deepEqual([response.statusCode, body.toString(), response.trailers], [200, 'hello', { 'x-sum': 'done' }]);
    const chunked = await exchange('/h2c/echo', BIG, { 'transfer-encoding': 'chunked' });
    assert.equal(digest(chunked.body), digest(BIG));
  });

  test('large bodies', async () => {
    assert.equal(digest((await exchange('/h2c/big', undefined)).body), digest(BIG));
    assert.equal((await exchange('/h2c/digest', BIG)).body.toString(), digest(BIG));
  });

  test('a slow reader stops no other', async () => {
    const slow = await new Promise<IncomingMessage>((resolve, reject) => {
      httpRequest({ port: gateway.http, host: '127.0.0.1', path: '/h2c/big', agent: false }, resolve).on('error', reject).end();
    });
    for (let number = 0; number < 5; number++) assert.equal((await get(gateway.http, '/h2c')).body, 'h2c');
    const hash = createHash('sha256');
    for await (const chunk of slow) hash.update(chunk as Buffer);
    assert.equal(hash.digest('hex'), digest(BIG));
  });

  test('HEAD, 204 and 103', async () => {
    const head = await send(gateway.http, '/h2c/head', { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers['content-length'], head.body], [200, '5', '']);
    const none = await get(gateway.http, '/h2c/204');
    assert.deepEqual([none.status, none.headers['content-length'], none.headers['transfer-encoding']], [204, undefined, undefined]);
    const links: unknown[] = [];
    await new Promise<void>((resolve, reject) => {
      httpRequest({ port: gateway.http, host: '127.0.0.1', path: '/h2c/early', agent: false }, (response) => {
        response.resume();
        response.on('end', resolve);
      })
        .on('information', (info) => links.push(info.statusCode, info.headers.link))
        .on('error', reject)
        .end();
    });
    assert.deepEqual(links, [103, '</style.css>']);
  });

  test('a stream that is reset is 502, one that is cut is seen as cut, and the connection goes on', async () => {
    const before = h2c.sessionsEver;
    assert.equal((await send(gateway.http, '/h2c/reset', { method: 'POST' })).status, 502);
    assert.equal((await gateway.untilAccess((line) => line.path === '/h2c/reset')).reason, 'upstream_reset');
    const cut = await new Promise<IncomingMessage>((resolve, reject) => {
      httpRequest({ port: gateway.http, host: '127.0.0.1', path: '/h2c/cut', agent: false }, resolve).on('error', reject).end();
    });
    cut.once('data', () => h2c.unfinished?.close(constants.NGHTTP2_INTERNAL_ERROR));
    const [error] = (await once(cut, 'error')) as [Error];
    assert.match(error.message, /aborted/);
    assert.equal((await get(gateway.http, '/h2c')).body, 'h2c');
    assert.equal(h2c.sessionsEver, before);
  });

  test('a refused stream is tried again, whatever the method', async () => {
    const [one, two] = pair as [Http2Backend, Http2Backend];
    one.refuse = 1;
    for (let number = 0; number < 3; number++) assert.equal((await send(gateway.http, '/pair/post', { method: 'POST' })).status, 200);
    assert.deepEqual([one.refuse, one.requests + two.requests], [0, 4]);
    assert.equal((await gateway.untilAccess((line) => line.path === '/pair/post' && line.attempts !== 1)).attempts, 2);
  });

  test('with retry, one whose body was under way is tried again, too', async () => {
    const [one] = pair as [Http2Backend];
    one.refuse = 1;
    for (let number = 0; number < 3; number++) assert.equal((await send(gateway.http, '/kept', { method: 'POST', body: 'b'.repeat(40_000) })).status, 200);
    assert.equal(one.refuse, 0);
    assert.equal((await gateway.untilAccess((line) => line.path === '/kept' && line.attempts !== 1)).attempts, 2);
  });
});

describe('HTTP/2 to HTTP/2', () => {
  let client: ClientHttp2Session;
  before(() => {
    client = connect(`http://127.0.0.1:${gateway.http}`);
    endWith(wholeFile, () => client.destroy());
  });

  test('both directions at once, and trailers both ways', async () => {
    const stream = client.request({ ':method': 'POST', ':path': '/h2c/echo', 'content-type': 'application/grpc', te: 'trailers' }, { endStream: false });
    const seen: string[] = [];
    let told = () => {};
    stream.on('data', (chunk: Buffer) => {
      seen.push(chunk.toString());
      told();
    });
    const trailers = once(stream, 'trailers');
    for (const word of ['one', 'two', 'three']) {
      const echoed = new Promise<void>((resolve) => {
        told = resolve;
      });
      stream.write(word);
      await echoed;
    }
    stream.end();
    const [fields] = (await trailers) as [Record<string, unknown>];
    assert.deepEqual([seen, fields['x-sum']], [['one', 'two', 'three'], 'done']);
  });

  test('many at once, large ones among them', async () => {
    const one = (path: string, body?: Buffer) =>
      new Promise<Buffer>((resolve, reject) => {
        const stream = client.request({ ':method': body === undefined ? 'GET' : 'POST', ':path': path });
        const chunks: Buffer[] = [];
        stream.on('data', (chunk: Buffer) => chunks.push(chunk));
        stream.on('end', () => resolve(Buffer.concat(chunks)));
        stream.on('error', reject);
        stream.end(body);
      });
    const [small, large, sums] = await Promise.all([
      Promise.all(Array.from({ length: 30 }, () => one('/h2c'))),
      Promise.all(Array.from({ length: 3 }, () => one('/h2c/big'))),
      Promise.all(Array.from({ length: 3 }, () => one('/h2c/digest', BIG))),
    ]);
    assert.deepEqual(new Set(small.map(String)), new Set(['h2c']));
    assert.deepEqual(new Set([...large.map(digest), ...sums.map(String)]), new Set([digest(BIG)]));
  });

  test('a stream that the client resets is reset at the backend', async () => {
    const stream = client.request({ ':method': 'POST', ':path': '/h2c/cut' }, { endStream: false });
    stream.on('error', () => {});
    await once(stream, 'data');
    const closed = once(h2c.unfinished as ServerHttp2Stream, 'close');
    stream.close(constants.NGHTTP2_CANCEL);
    await closed;
    assert.equal(h2c.unfinished?.rstCode, constants.NGHTTP2_CANCEL);
    assert.equal((await get(gateway.http, '/h2c')).body, 'h2c');
  });
});

describe('what is no HTTP/2', () => {
  test('HTTP/1.1 on a port that is H2C', async () => {
    assert.equal((await get(gateway.http, '/http1')).status, 502);
    assert.equal((await gateway.untilAccess((line) => line.path === '/http1')).reason, 'upstream_not_http2');
  });

  test('a server that offers no h2 by ALPN', async () => {
    assert.equal((await get(gateway.http, '/no-alpn')).status, 502);
    assert.match((await gateway.untilAccess((line) => line.path === '/no-alpn')).reason ?? '', /^upstream_tls_/);
  });

  test('bad frames, and a storm of GOAWAY', async () => {
    const frames: Readonly<Record<string, string>> = {
      // After SETTINGS: a frame that is too large, a push, header blocks that are no HPACK, GOAWAY over and over.
      large: '\xff\xff\xff\0\0\0\0\0\x01',
      push: '\0\0\x05\x05\x04\0\0\0\x01\0\0\0\x02\x88',
      hpack: '\0\0\x01\x01\x05\0\0\0\x01\x80',
      storm: '\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0'.repeat(1000),
    };
    for (const [name, text] of Object.entries(frames)) {
      garbage.respond = () => Buffer.from(`\0\0\0\x04\0\0\0\0\0${text}`, 'latin1');
      await gateway.write(`${name}.yaml`, behind(name, [garbage.port], 'h2c'));
      await gateway.until(`/${name}`, (status) => status === 502);
      assert.equal((await gateway.untilAccess((line) => line.path === `/${name}` && line.status === 502)).reason, 'upstream_malformed');
    }
    assert.equal((await get(gateway.http, '/h2c')).body, 'h2c');
  });
});

test('backends that restart one after the other under load cost no request', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  endWith(wholeFile, () => agent.destroy());
  let stop = false;
  let served = 0;
  const failures: unknown[] = [];
  const client = async () => {
    while (!stop) {
      const { status, body } = await send(gateway.http, '/pair', { agent });
      served++;
      if (status !== 200) failures.push([status, body]);
    }
  };
  const clients = Array.from({ length: 8 }, client);
  const servedAtLeast = async (count: number) => {
    for (const goal = served + count; served < goal; ) await new Promise((resolve) => setImmediate(resolve));
  };
  for (const [index, backend] of pair.entries()) {
    await servedAtLeast(50);
    const { port } = backend;
    await backend.stop();
    await servedAtLeast(50);
    const again = await Http2Backend.start(wholeFile, `again ${index}`, createServer(), port);
    pair[index] = again;
    while (again.requests === 0 && failures.length === 0) await servedAtLeast(1);
  }
  stop = true;
  await Promise.all(clients);
  assert.deepEqual(failures, []);
});
