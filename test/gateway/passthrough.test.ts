/** TLS passed through by server name, beside hosts whose TLS is the gateway's own; on both wires. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect as connectHttp2, createSecureServer } from 'node:http2';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import tls from 'node:tls';
import { REFUSING_PORTS } from '../../scripts/free-port.ts';
import { readProxyHeader } from '../../src/wire/proxy-header.ts';
import { answering, Backend } from './backend.ts';
import { get, send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, type Lifetime, PATIENCE, wholeFile } from './lifetime.ts';
import { apiRoute, endpoints, service } from './manifests.ts';

const scratch = mkdtempSync(join(tmpdir(), 'tidegate-passthrough-'));
after(() => rmSync(scratch, { recursive: true }));

function makeCertificate(name: string): { cert: string; key: string } {
  const [key, cert] = [join(scratch, 'key.pem'), join(scratch, 'cert.pem')];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  const subject = ['-days', '30', '-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
  execFileSync('openssl', ['req', '-x509', '-nodes', ...kind, '-keyout', key, '-out', cert, ...subject], { stdio: 'ignore' });
  return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
}

/** A TLS server with a certificate of its own, which answers `NAME:` and what it got, and ends when its client ends. */
async function tlsBackend(lifetime: Lifetime, name: string): Promise<{ port: number; server: tls.Server; sockets: Set<tls.TLSSocket> }> {
  const sockets = new Set<tls.TLSSocket>();
  const server = tls.createServer({ ...makeCertificate(name), allowHalfOpen: true } as tls.TlsOptions, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    socket.write(`${name}:`);
    socket.pipe(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  endWith(lifetime, () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as net.AddressInfo).port, server, sockets };
}

const pass = (name: string, hosts: string, backendRefs: string, rest = ''): string =>
  apiRoute(name, `  hostnames: [${hosts}]\n  tls: { mode: Passthrough }\n  rules: [{ ${rest}backendRefs: [${backendRefs}] }]`);

for (const wire of ['handle', 'stream'] as const) {
  describe(`TLS passed through on ${wire} sockets`, () => {
    let gateway: GatewayUnderTest;
    let own: Backend;
    let one: Awaited<ReturnType<typeof tlsBackend>>;
    let two: Awaited<ReturnType<typeof tlsBackend>>;
    /** Of TCP: what each connection sent first. */
    const seen: Buffer[] = [];
    let plain: net.Server;

    before(async () => {
      own = await Backend.start(wholeFile, answering('own'));
      one = await tlsBackend(wholeFile, 'one.test');
      two = await tlsBackend(wholeFile, 'two.test');
      plain = net.createServer((socket) => {
        socket.on('error', () => {});
        socket.once('data', (bytes: Buffer) => {
          seen.push(bytes);
          socket.end();
        });
      });
      await once(plain.listen(0, '127.0.0.1'), 'listening');
      endWith(wholeFile, () => plain.close());
      gateway = await GatewayUnderTest.start(
        wholeFile,
        {
          'services.yaml':
            service('own', [own.port]) +
            service('one', [one.port]) +
            service('two', [two.port]) +
            service('plain', [(plain.address() as net.AddressInfo).port]) +
            service('half', [REFUSING_PORTS[0], one.port]) +
            service('down', [REFUSING_PORTS[0]]) +
            service('empty', []),
          'routes.yaml':
            pass('one', 'one.test', '{ name: one, port: 80 }') +
            pass('wild', '"*.wild.test"', '{ name: two, port: 80 }') +
            pass('half', 'half.test', '{ name: half, port: 80 }') +
            pass('down', 'down.test', '{ name: down, port: 80 }') +
            pass('empty', 'empty.test', '{ name: empty, port: 80 }') +
            pass('backup', 'backup.test', '{ name: empty, port: 80 }, { name: two, port: 80, backup: true }') +
            pass('lost', 'lost.test', '{ name: nowhere, port: 80 }') +
            pass('idle', 'idle.test', '{ name: one, port: 80 }', 'timeouts: { idle: 1500ms }, ') +
            pass('plain', 'plain.test', '{ name: plain, port: 80 }') +
            apiRoute('own', '  hostnames: [own.test, own.wild.test, "*.deep.wild.test"]\n  rules: [{ backendRefs: [{ name: own, port: 80 }] }]'),
          'policies.yaml': `apiVersion: tidegate.dev/v1alpha1
kind: BackendPolicy
metadata: { name: plain }
spec: { targetRefs: [{ kind: Service, name: plain }], proxyProtocol: V2 }
`,
          'ingress.yaml': `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: ing, annotations: { nginx.ingress.kubernetes.io/ssl-passthrough: "true" } }
spec:
  ingressClassName: tidegate
  rules: [{ host: ing.test, http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: own, port: { number: 80 } } } }] } }]
`,
        },
        ['--wire', wire, '--workers', '1', '--trusted-proxies', '127.0.0.1/32'],
      );
    });

    /** A connection after its handshake, and whose certificate it was. */
    async function open(servername: string, socket?: net.Socket): Promise<{ client: tls.TLSSocket; name: string; got: () => string }> {
      const client = tls.connect({
        ...(socket === undefined ? { host: '127.0.0.1', port: gateway.https } : { socket }),
        ...{ servername, rejectUnauthorized: false, allowHalfOpen: true },
      } as tls.ConnectionOptions);
      endWith(wholeFile, () => client.destroy());
      let text = '';
      client.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
      });
      await new Promise((resolve, reject) =>
        client
          .once('secureConnect', resolve)
          .once('error', reject)
          .once('close', () => reject(new Error('closed'))),
      );
      client.on('error', () => {});
      return { client, name: String(client.getPeerCertificate().subject?.CN), got: () => text };
    }

    /** Says something, ends, and reads to the end. */
    async function talk(servername: string, words = 'hello'): Promise<string> {
      const { client, name, got } = await open(servername);
      client.end(words);
      await once(client, 'end');
      return `${name} ${got()}`;
    }

    async function fails(servername: string): Promise<void> {
      await assert.rejects(open(servername));
    }

    test("a host's connections reach its backend, whose certificate the client sees; half-closes pass", async () => {
      assert.equal(await talk('one.test'), 'one.test one.test:hello');
      assert.equal(await talk('a.wild.test'), 'two.test two.test:hello');
      assert.equal(await talk('ONE.test'), 'one.test one.test:hello');
    });

    test('it has a line in the log', async () => {
      await talk('one.test', 'a line');
      const line = await gateway.untilAccess((one) => one.protocol === 'TLS' && one.sni === 'one.test');
      assert.equal(line.host, 'one.test');
      assert.equal(line.status, 0);
      assert.equal(line.reason, undefined);
      assert.equal(line.route, 'ApiRoute/default/one/0');
      assert.equal(line.upstream, 'default/one/80');
      assert.equal(line.endpoint, `127.0.0.1:${one.port}`);
      assert.equal(line.clientIp, '127.0.0.1');
      assert.equal(line.attempts, 1);
      assert.ok(Number(line.requestBytes) > 200 && Number(line.responseBytes) > 500, JSON.stringify(line));
    });

    test("hosts whose TLS is the gateway's own keep it, below a wildcard too", async () => {
      for (const host of ['own.test', 'own.wild.test', 'x.deep.wild.test']) {
        const { client, name, got } = await open(host);
        assert.notEqual(name, 'two.test');
        client.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
        await once(client, 'end');
        assert.match(got(), /^HTTP\/1\.1 200 OK[\s\S]*own$/, host);
      }
    });

    test('no server name, and an unknown one, get TLS of the gateway', async () => {
      for (const host of ['', 'unknown.test', 'wild.test']) {
        const { client, got } = await open(host);
        client.write('GET / HTTP/1.1\r\nHost: own.test\r\nConnection: close\r\n\r\n');
        await once(client, 'end');
        assert.match(got(), /^HTTP\/1\.1 200 /);
      }
    });

    test('what is no ClientHello is refused as without passthrough', async () => {
      for (const bytes of ['GET / HTTP/1.1\r\nHost: one.test\r\n\r\n', '\x16\x03\x01\x00\x05hello', '\x00'.repeat(50)]) {
        const socket = net.connect(gateway.https, '127.0.0.1');
        socket.on('error', () => {});
        socket.resume();
        socket.write(bytes, 'latin1');
        await once(socket, 'close');
      }
    });

    test('a ClientHello byte by byte, for either kind of host', async () => {
      for (const [host, expected] of [
        ['one.test', 'one.test'],
        ['own.test', 'own'],
      ] as const) {
        const middle = net.createServer({ allowHalfOpen: true }, (client) => {
          const upstream = net.connect({ host: '127.0.0.1', port: gateway.https, noDelay: true, allowHalfOpen: true });
          client.once('data', async (hello: Buffer) => {
            client.pause();
            for (const byte of hello) {
              upstream.write(Buffer.of(byte));
              await new Promise((resolve) => setImmediate(resolve));
            }
            client.pipe(upstream);
          });
          upstream.pipe(client);
          endWith(wholeFile, () => upstream.destroy());
          for (const socket of [client, upstream]) socket.on('error', () => {});
        });
        await once(middle.listen(0, '127.0.0.1'), 'listening');
        endWith(wholeFile, () => middle.close());
        const socket = net.connect({ port: (middle.address() as net.AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
        const { client, name, got } = await open(host, socket);
        if (expected === 'one.test') assert.equal(name, expected);
        client.end(expected === 'one.test' ? 'hello' : 'GET / HTTP/1.1\r\nHost: own.test\r\nConnection: close\r\n\r\n');
        await once(client, 'end');
        assert.match(got(), expected === 'one.test' ? /^one\.test:hello$/ : /own$/);
      }
    });

    test('20 connections at once, of both kinds', async () => {
      const results = await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          if (index % 2 === 0) return talk(index % 4 === 0 ? 'one.test' : `x${index}.wild.test`, `words ${index}`);
          const { client, got } = await open('own.test');
          client.write('GET / HTTP/1.1\r\nHost: own.test\r\nConnection: close\r\n\r\n');
          await once(client, 'end');
          return got();
        }),
      );
      for (const [index, result] of results.entries()) {
        if (index % 2 === 1) assert.match(result, /own$/);
        else assert.match(result, new RegExp(`^(one|two)\\.test (one|two)\\.test:words ${index}$`));
      }
    });

    test('16 MiB pass both ways under backpressure', async () => {
      const { client } = await open('one.test');
      const chunk = Buffer.alloc(1024 * 1024, 'abcdefgh');
      let received = 0;
      let held = 0;
      client.on('data', (bytes: Buffer) => {
        received += bytes.length;
        // Whoever reads by fits and starts holds back all the way to himself.
        if (held++ % 50 === 0) {
          client.pause();
          setTimeout(() => client.resume(), 1);
        }
      });
      for (let count = 0; count < 16; count++) if (!client.write(chunk)) await once(client, 'drain');
      client.end();
      await once(client, 'end');
      // The name before it may have come before this reader did.
      assert.ok(received >= 16 * chunk.length && received <= 16 * chunk.length + 9, String(received));
    });

    test('an endpoint that refuses is passed by, a backup takes over, and what has none is closed with a reason', async () => {
      for (let count = 0; count < 4; count++) assert.equal(await talk('half.test'), 'one.test one.test:hello');
      await gateway.untilAccess((line) => line.sni === 'half.test' && line.attempts === 2);
      assert.equal(await talk('backup.test'), 'two.test two.test:hello');
      for (const [host, reason] of [
        ['down.test', 'connect_failure'],
        ['empty.test', 'no_endpoint'],
        ['lost.test', 'backend_not_resolved'],
      ] as const) {
        await fails(host);
        assert.equal((await gateway.untilAccess((line) => line.sni === host)).reason, reason);
      }
    });

    test('without a byte for long enough, it is cut', async () => {
      const { client } = await open('idle.test');
      await new Promise((resolve) => client.once('close', resolve));
      assert.equal((await gateway.untilAccess((line) => line.sni === 'idle.test')).reason, 'idle_timeout');
    });

    test('HTTP/2 passes by nature', async () => {
      const server = createSecureServer(makeCertificate('h2.test'), (_, response) => response.end('two'));
      await once(server.listen(0, '127.0.0.1'), 'listening');
      endWith(wholeFile, () => void server.close());
      await gateway.write('h2.yaml', service('h2', [(server.address() as net.AddressInfo).port]) + pass('h2', 'h2.test', '{ name: h2, port: 80 }'));
      for (;;) {
        const { client, name } = await open('h2.test');
        client.destroy();
        if (name === 'h2.test') break;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const session = connectHttp2(`https://127.0.0.1:${gateway.https}`, { servername: 'h2.test', rejectUnauthorized: false });
      const request = session.request({ ':path': '/' });
      let text = '';
      for await (const chunk of request) text += chunk;
      assert.equal(text, 'two');
      assert.equal(session.alpnProtocol, 'h2');
      session.close();
    });

    test('a change of the snapshot leaves connections that are open', async () => {
      const { client, got } = await open('one.test');
      await gateway.write('changed.yaml', pass('changed', 'changed.test', '{ name: two, port: 80 }'));
      await gateway.write('endpoints.yaml', endpoints('empty', [two.port]));
      for (;;) {
        const name = await open('changed.test').then(
          (connection) => connection.name,
          () => '',
        );
        if (name === 'two.test') break;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      client.end('still here');
      await once(client, 'end');
      assert.match(got(), /still here$/);
    });

    test('on the plain port a passthrough host has no route; an Ingress with ssl-passthrough has its rules', async () => {
      assert.equal((await get(gateway.http, '/', { Host: 'one.test' })).status, 404);
      assert.equal((await get(gateway.http, '/', { Host: 'ing.test' })).body, 'own');
      const client = net.connect(gateway.https, '127.0.0.1');
      endWith(wholeFile, () => client.destroy());
      tls.connect({ socket: client, servername: 'ing.test', rejectUnauthorized: false }).on('error', () => {});
      // Its backend speaks no TLS, and gets it all the same.
      await own.until(() => own.streams.some((stream) => stream.startsWith('\x16\x03')));
      client.destroy();
    });

    test('connections that are passed through are counted as such', async () => {
      const { client } = await open('one.test');
      const { body } = await send(gateway.admin, '/metrics');
      assert.match(body, /^tidegate_connections\{.*listener="https".*state="passthrough".*\} [1-9]/m);
      // What ended before, and bytes as they pass.
      assert.match(body, /^tidegate_passthrough_connections_total\{route="ApiRoute\/default\/one\/0",result="ended"\} [1-9]/m);
      assert.match(body, /^tidegate_passthrough_connections_total\{route="ApiRoute\/default\/down\/0",result="connect_failure"\} [1-9]/m);
      assert.match(body, /^tidegate_passthrough_bytes_total\{route="ApiRoute\/default\/one\/0",direction="received"\} \d{8}/m);
      client.destroy();
    });

    test('explain tells where connections of a server name go', async () => {
      const { body } = await send(gateway.admin, '/debug/explain?method=GET&url=https%3A%2F%2Fa.wild.test%2Fx&output=text');
      assert.match(body, /^passthrough: ApiRoute\/default\/wild\/0$/m);
      assert.match(body, new RegExp(`^ +127\\.0\\.0\\.1:${two.port} Ready$`, 'm'));
    });

    test('the backend is told by a PROXY header whose connection it is', async () => {
      const socket = net.connect(gateway.https, '127.0.0.1');
      await once(socket, 'connect');
      const local = (socket.address() as net.AddressInfo).port;
      await open('plain.test', socket).catch(() => {});
      const [bytes] = seen;
      const header = readProxyHeader(bytes as Buffer);
      assert.deepEqual(header, {
        length: 28,
        ends: { sourceAddress: '127.0.0.1', sourcePort: local, destinationAddress: '127.0.0.1', destinationPort: gateway.https },
      });
    });
  });
}

test('breakers, ejection and bounds for clients hold for connections that are passed through', async (context) => {
  const backend = await tlsBackend(context, 'limits.test');
  const policy = (name: string, spec: string): string =>
    `---\napiVersion: tidegate.dev/v1alpha1\nkind: BackendPolicy\nmetadata: { name: ${name} }\nspec: { targetRefs: [{ kind: Service, name: ${name} }], ${spec} }\n`;
  const gateway = await GatewayUnderTest.start(
    context,
    {
      'all.yaml':
        service('free', [backend.port]) +
        service('narrow', [backend.port]) +
        service('half', [REFUSING_PORTS[0], backend.port]) +
        service('down', [REFUSING_PORTS[0]]) +
        ['free', 'narrow', 'half', 'down'].map((name) => pass(name, `${name}.test`, `{ name: ${name}, port: 80 }`)).join('') +
        policy('narrow', 'circuitBreaker: { maxConnections: 1 }') +
        policy('half', 'healthCheck: { passive: { consecutiveErrors: 1, baseEjection: 1m } }') +
        policy('down', 'circuitBreaker: { minRequests: 2, failurePercent: 100, openFor: 1m }'),
    },
    ['--workers', '2', '--max-connections-per-client', '4', '--drain-timeout', '1s'],
  );
  /** @returns undefined when it was closed before its handshake was over */
  const connect = (host: string): Promise<tls.TLSSocket | undefined> =>
    new Promise((resolve) => {
      const client = tls.connect({ host: '127.0.0.1', port: gateway.https, servername: host, rejectUnauthorized: false });
      endWith(context, () => client.destroy());
      client.on('error', () => {}).resume();
      client.once('secureConnect', () => resolve(client)).once('close', () => resolve(undefined));
    });
  /** Waits for the backend's end, too: one that saw no whole handshake would wait for it. */
  const leave = async (client: tls.TLSSocket | undefined): Promise<void> => {
    if (client !== undefined && !client.closed) await once(client.end(), 'close');
  };
  const reasons = async (host: string, count: number): Promise<string[]> => {
    await gateway.untilAccess(() => gateway.access.filter((line) => line.sni === host).length >= count);
    // Workers write in no order between them.
    const lines = gateway.access.filter((line) => line.sni === host).map(({ reason, attempts }) => `${reason ?? ''} ${attempts}`);
    return lines.sort();
  };
  const metric = async (line: string): Promise<boolean> => (await get(gateway.admin, '/metrics')).body.includes(`\n${line}\n`);
  // Over both workers there is one.
  const only = (await connect('narrow.test')) as tls.TLSSocket;
  for (let count = 0; count < 3; count++) assert.equal(await connect('narrow.test'), undefined);
  await leave(only);
  assert.equal((await reasons('narrow.test', 4)).filter((line) => line === 'circuit_max_connections 0').length, 3);
  assert.ok(await metric('tidegate_circuit_breaker_refusals_total{upstream="default/narrow/80",reason="circuit_max_connections"} 3'));
  await leave(await connect('narrow.test'));
  // The breaker opens with the second failure, and nobody is tried after that.
  for (let count = 0; count < 4; count++) assert.equal(await connect('down.test'), undefined);
  assert.deepEqual(await reasons('down.test', 4), ['circuit_open 0', 'circuit_open 0', 'connect_failure 1', 'connect_failure 1']);
  // One that refuses is tried until it is ejected, and not after that.
  for (let last: unknown[] = []; last.length < 8 || last.includes(2); ) {
    await leave(await connect('half.test'));
    last = gateway.access
      .filter((line) => line.sni === 'half.test')
      .slice(-8)
      .map(({ attempts }) => attempts);
  }
  assert.ok(await metric('tidegate_upstream_endpoints{upstream="default/half/80",state="ejected"} 1'));
  // Nothing of all that is left open, and counts for nobody any more.
  const open: tls.TLSSocket[] = [];
  // Those that have left are counted a moment longer.
  for (const deadline = Date.now() + PATIENCE; open.length < 4; ) {
    const client = await connect('free.test');
    if (client !== undefined) open.push(client);
    assert.ok(Date.now() < deadline, `there is room for ${open.length} connections`);
  }
  assert.equal(await connect('free.test'), undefined);
  for (const client of open) await leave(client);
  for (let isBack = false; !isBack; ) {
    const client = await connect('free.test');
    isBack = client !== undefined;
    await leave(client);
  }
});

test('a drain leaves connections until its time is up, and logs those that it cuts', async (context) => {
  const backend = await tlsBackend(context, 'drain.test');
  const gateway = await GatewayUnderTest.start(context, { 'all.yaml': service('web', [backend.port]) + pass('web', 'drain.test', '{ name: web, port: 80 }') }, [
    '--drain-timeout',
    '2s',
  ]);
  const connect = async (): Promise<tls.TLSSocket> => {
    const client = tls.connect({ host: '127.0.0.1', port: gateway.https, servername: 'drain.test', rejectUnauthorized: false });
    await once(client, 'secureConnect');
    client.on('error', () => {});
    return client;
  };
  const [one, two] = [await connect(), await connect()];
  gateway.process.kill('SIGTERM');
  await gateway.untilLogged('draining');
  one.end('last words');
  let text = '';
  one.on('data', (chunk) => {
    text += chunk;
  });
  await once(one, 'close');
  assert.equal(text, 'drain.test:last words');
  await new Promise((resolve) => (two.destroyed ? resolve(undefined) : two.once('close', resolve)));
  assert.equal(await gateway.exited, 0);
  assert.deepEqual(
    gateway.access.map(({ reason }) => reason ?? ''),
    ['', 'drain_timeout'],
  );
});
