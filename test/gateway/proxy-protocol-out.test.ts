/** Connections to backends that begin with a PROXY header: whose they are, and who shares them. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { createServer as createHttp2 } from 'node:http2';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { readProxyHeader, writeProxyHeader } from '../../src/wire/proxy-header.ts';
import { send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, PATIENCE, wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

const policy = (name: string, spec: string): string =>
  `---\napiVersion: tidegate.dev/v1alpha1\nkind: BackendPolicy\nmetadata: { name: ${name} }\nspec: { targetRefs: [{ kind: Service, name: ${name} }], ${spec} }\n`;

const route = (name: string): string => apiRoute(name, `  hostnames: [${name}.test]\n  rules: [{ backendRefs: [{ name: ${name}, port: 80 }] }]`);

/** Takes the header off each connection, tells of it, and hands the rest to somebody else; the other side of it is closed with it. */
async function behindHeader(serve: (socket: net.Socket) => void): Promise<{ port: number; headers: ReturnType<typeof readProxyHeader>[] }> {
  const headers: ReturnType<typeof readProxyHeader>[] = [];
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    let bytes = Buffer.alloc(0);
    const take = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      bytes = Buffer.concat([bytes, chunk]);
      const header = readProxyHeader(bytes);
      if (header === 'more') return;
      headers.push(header);
      socket.off('readable', take);
      if (header === 'bad') socket.destroy();
      else {
        socket.unshift(bytes.subarray(header.length));
        setImmediate(serve, socket);
      }
    };
    socket.on('readable', take);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  endWith(wholeFile, () => void server.close());
  return { port: (server.address() as net.AddressInfo).port, headers };
}

function answerHttp1(socket: net.Socket): void {
  let held = '';
  socket.on('data', (chunk) => {
    held += chunk.toString('latin1');
    for (let end = held.indexOf('\r\n\r\n'); end >= 0; end = held.indexOf('\r\n\r\n')) {
      held = held.slice(end + 4);
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    }
  });
}

for (const wire of ['handle', 'stream'] as const) {
  describe(`PROXY headers to backends on ${wire} sockets`, () => {
    let gateway: GatewayUnderTest;
    const backends: Record<string, Awaited<ReturnType<typeof behindHeader>>> = {};
    let checked: Awaited<ReturnType<typeof behindHeader>>;

    before(async () => {
      const http2 = createHttp2((_, response) => response.end('ok'));
      for (const name of ['v1', 'v2']) backends[name] = await behindHeader(answerHttp1);
      backends.h2c = await behindHeader((socket) => http2.emit('connection', socket));
      checked = await behindHeader(answerHttp1);
      gateway = await GatewayUnderTest.start(
        wholeFile,
        {
          'all.yaml':
            ['v1', 'v2', 'h2c'].map((name) => service(name, [backends[name]?.port ?? 0]) + route(name)).join('') +
            service('checked', [checked.port]) +
            route('checked') +
            policy('v1', 'proxyProtocol: V1') +
            policy('v2', 'proxyProtocol: V2') +
            policy('h2c', 'proxyProtocol: V2, protocol: H2C') +
            policy('checked', 'proxyProtocol: V2, healthCheck: { active: { type: HTTP, path: /, interval: 1s } }'),
        },
        ['--wire', wire, '--workers', '1', '--proxy-protocol', '--trusted-proxies', '127.0.0.1/32'],
      );
    });

    for (const name of ['v1', 'v2', 'h2c']) {
      test(`${name}: one for each connection of a client, whose address it has`, async () => {
        const { headers } = backends[name] as (typeof backends)[string];
        const agents = [new Agent({ keepAlive: true, maxSockets: 1 }), new Agent({ keepAlive: true, maxSockets: 1 })];
        endWith(wholeFile, () => agents.forEach((agent) => void agent.destroy()));
        for (let round = 0; round < 3; round++) {
          for (const agent of agents) {
            // A peer that is not trusted: it has no header of its own.
            const answer = await send(gateway.http, '/', { headers: { Host: `${name}.test` }, agent, localAddress: '127.0.0.2' });
            assert.equal(answer.body, 'ok');
          }
        }
        assert.equal(headers.length, 2);
        const ports = new Set<number>();
        for (const header of headers) {
          assert.ok(typeof header === 'object');
          assert.equal(header.ends?.sourceAddress, '127.0.0.2');
          assert.equal(header.ends.destinationAddress, '127.0.0.1');
          assert.equal(header.ends.destinationPort, gateway.http);
          ports.add(header.ends.sourcePort);
        }
        assert.equal(ports.size, 2);
      });
    }

    test('what a PROXY header of the client says is passed on', async () => {
      const ends = { sourceAddress: '2001:db8::9', sourcePort: 4711, destinationAddress: '2001:db8::1', destinationPort: 443 };
      const socket = net.connect(gateway.http, '127.0.0.1');
      socket.write(Buffer.concat([writeProxyHeader('V1', ends), Buffer.from('GET / HTTP/1.1\r\nHost: v2.test\r\nConnection: close\r\n\r\n')]));
      let answer = '';
      for await (const chunk of socket) answer += chunk;
      assert.match(answer, /ok$/);
      const header = backends.v2?.headers.at(-1);
      assert.ok(typeof header === 'object');
      assert.deepEqual(header.ends, ends);
    });

    test('health checks are of the gateway itself', async () => {
      for (const deadline = Date.now() + PATIENCE; checked.headers.length === 0 && Date.now() < deadline; )
        await new Promise((resolve) => setTimeout(resolve, 20));
      assert.deepEqual(checked.headers[0], { length: 16, ends: undefined });
      assert.equal((await send(gateway.http, '/', { headers: { Host: 'checked.test' }, localAddress: '127.0.0.2' })).body, 'ok');
    });
  });
}

const nginx = ['/usr/sbin/nginx', '/usr/bin/nginx'].find((path) => existsSync(path));

describe('nginx behind the gateway', { skip: nginx === undefined ? 'no nginx' : false }, () => {
  test('understands both versions, before TLS too', async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-nginx-'));
    endWith(context, () => rmSync(folder, { recursive: true, force: true }));
    const ports = await Promise.all(
      [1, 2].map(async () => {
        const server = net.createServer();
        await once(server.listen(0, '127.0.0.1'), 'listening');
        const { port } = server.address() as net.AddressInfo;
        server.close();
        return port;
      }),
    );
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
    execFileSync('openssl', ['req', '-x509', '-nodes', ...kind, '-keyout', key, '-out', cert, '-days', '30', '-subj', '/CN=a.test'], { stdio: 'ignore' });
    writeFileSync(
      join(folder, 'nginx.conf'),
      `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; worker_processes 1;
events {}
http {
  access_log off; client_body_temp_path ${folder}/1; proxy_temp_path ${folder}/2; fastcgi_temp_path ${folder}/3; uwsgi_temp_path ${folder}/4; scgi_temp_path ${folder}/5;
  server { listen 127.0.0.1:${ports[0]} proxy_protocol; location / { return 200 "$proxy_protocol_addr $proxy_protocol_port"; } }
  server { listen 127.0.0.1:${ports[1]} ssl proxy_protocol; ssl_certificate ${cert}; ssl_certificate_key ${key};
    location / { return 200 "$proxy_protocol_addr $proxy_protocol_port $scheme"; } }
}
`,
    );
    const child = spawn(nginx as string, ['-p', folder, '-c', join(folder, 'nginx.conf')], { stdio: 'ignore' });
    endWith(context, async () => {
      child.kill('SIGTERM');
      if (child.exitCode === null) await once(child, 'exit');
    });
    for (const deadline = Date.now() + PATIENCE; Date.now() < deadline; ) {
      const socket = net.connect(ports[1] as number, '127.0.0.1');
      const up = await new Promise((resolve) => socket.once('connect', () => resolve(true)).once('error', () => resolve(false)));
      socket.destroy();
      if (up) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    for (const wire of ['handle', 'stream'] as const) {
      const gateway = await GatewayUnderTest.start(
        context,
        {
          'all.yaml':
            service('one', [ports[0] as number]) +
            service('two', [ports[0] as number]) +
            service('tls', [ports[1] as number]) +
            ['one', 'two', 'tls'].map(route).join('') +
            policy('one', 'proxyProtocol: V1') +
            policy('two', 'proxyProtocol: V2') +
            policy('tls', 'proxyProtocol: V2, tls: { hostname: a.test, insecureSkipVerify: true }'),
        },
        ['--wire', wire, '--workers', '1'],
      );
      for (const [host, scheme] of [
        ['one', ''],
        ['two', ''],
        ['tls', ' https'],
      ] as const) {
        const answer = await send(gateway.http, '/', { headers: { Host: `${host}.test` }, localAddress: '127.0.0.3' });
        assert.match(answer.body, new RegExp(`^127\\.0\\.0\\.3 \\d+${scheme}$`), `${host} on ${wire}`);
      }
    }
  });
});
