/** PROXY headers from trusted peers and from strangers, on both ports and both wires. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { writeProxyHeader } from '../../src/wire/proxy-header.ts';
import { Backend, OK } from './backend.ts';
import { get, raw, send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

const CLIENT = { sourceAddress: '203.0.113.9', sourcePort: 50_001, destinationAddress: '198.51.100.1', destinationPort: 443 };
const REQUEST = 'GET /who HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n';
/** A request whose client is trusted by nobody comes from here. */
const STRANGER = '127.0.0.2';

for (const wire of ['handle', 'stream'] as const) {
  describe(`PROXY protocol on ${wire} sockets`, () => {
    let backend: Backend;
    let gateway: GatewayUnderTest;

    before(async () => {
      backend = await Backend.start(wholeFile, OK);
      gateway = await GatewayUnderTest.start(
        wholeFile,
        {
          'all.yaml':
            service('web', [backend.port]) +
            apiRoute('web', '  rules: [{ backendRefs: [{ name: web, port: 80 }] }]') +
            apiRoute(
              'cidr',
              '  hostnames: [cidr.test]\n  rules:\n    - matches: [{ clientCIDRs: [203.0.113.0/24] }]\n      filters: { directResponse: { statusCode: 200, body: inside } }\n    - filters: { directResponse: { statusCode: 200, body: outside } }',
            ),
        },
        ['--proxy-protocol', '--trusted-proxies', '127.0.0.1/32', '--wire', wire, '--workers', '1'],
      );
    });

    /** Sends bytes, and the request after them over TLS where that is asked for; all that came until the end. */
    async function talk(secure: boolean, first: readonly (string | Buffer)[], request = REQUEST): Promise<string> {
      const socket = connect({ port: secure ? gateway.https : gateway.http, host: '127.0.0.1', noDelay: true });
      endWith(wholeFile, () => socket.destroy());
      await new Promise<void>((resolve) => socket.once('connect', resolve));
      for (const piece of first) {
        socket.write(piece);
        await new Promise((resolve) => setImmediate(resolve));
      }
      const stream: Socket = secure ? connectTls({ socket, servername: 'a.test', rejectUnauthorized: false }) : socket;
      if (secure) await new Promise((resolve, reject) => stream.once('secureConnect', resolve).once('error', reject));
      return new Promise((resolve) => {
        let answer = '';
        stream.on('data', (chunk) => {
          answer += chunk.toString('latin1');
        });
        stream.on('error', () => {});
        stream.on('close', () => resolve(answer));
        stream.write(request);
      });
    }

    async function failures(): Promise<number> {
      const { body } = await send(gateway.admin, '/metrics');
      return Number(/^tidegate_proxy_protocol_failures_total (\d+)/m.exec(body)?.[1]);
    }

    for (const secure of [false, true]) {
      const port = secure ? 'the TLS port' : 'the plain port';
      for (const version of ['V1', 'V2'] as const) {
        test(`${version} on ${port}: the client's address is that of the header, for backend and log`, async () => {
          const count = backend.requests.length;
          assert.match(await talk(secure, [writeProxyHeader(version, CLIENT)]), /^HTTP\/1\.1 200 /);
          const head = backend.requests[count]?.head ?? '';
          assert.match(head, /^x-forwarded-for: 203\.0\.113\.9\r?$/im);
          assert.match(head, /^x-real-ip: 203\.0\.113\.9\r?$/im);
          const id = /^x-request-id: (\S+)/im.exec(head)?.[1];
          assert.equal((await gateway.untilAccess((line) => line.requestId === id)).clientIp, '203.0.113.9');
        });

        test(`${version} on ${port}, byte by byte`, async () => {
          const header = writeProxyHeader(version, CLIENT);
          assert.match(
            await talk(
              secure,
              Array.from(header, (byte) => Buffer.from([byte])),
            ),
            /^HTTP\/1\.1 200 /,
          );
          assert.match(backend.requests.at(-1)?.head ?? '', /x-forwarded-for: 203\.0\.113\.9\r?$/im);
        });
      }

      test(`LOCAL and UNKNOWN on ${port} keep the real address`, async () => {
        for (const version of ['V1', 'V2'] as const) {
          assert.match(await talk(secure, [writeProxyHeader(version, undefined)]), /^HTTP\/1\.1 200 /);
          assert.match(backend.requests.at(-1)?.head ?? '', /x-real-ip: 127\.0\.0\.1\r?$/im);
        }
      });

      test(`a trusted peer without a header, or with a bad one, on ${port} is closed without a word`, async () => {
        const before = await failures();
        const bad = ['GET / HTTP/1.1\r\nHost: a.test\r\n\r\n', '\x16\x03\x01\x00\x05hello', 'PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n', 'PROXY TCP4 x\n'];
        for (const text of bad) assert.equal(await raw(secure ? gateway.https : gateway.http, text), '', text);
        assert.equal((await failures()) - before, bad.length);
      });

      test(`a header that is cut short on ${port} is the end`, async () => {
        const before = await failures();
        for (const version of ['V1', 'V2'] as const) {
          const header = writeProxyHeader(version, CLIENT);
          const socket = connect(secure ? gateway.https : gateway.http, '127.0.0.1');
          let answer = '';
          socket.on('data', (chunk) => {
            answer += chunk;
          });
          socket.on('error', () => {});
          socket.end(header.subarray(0, header.length - 1));
          await new Promise((resolve) => socket.once('close', resolve));
          assert.equal(answer, '');
        }
        assert.equal((await failures()) - before, 2);
      });
    }

    test('clientCIDRs see the address of the header', async () => {
      const request = REQUEST.replace('a.test', 'cidr.test');
      assert.match(await talk(false, [writeProxyHeader('V2', CLIENT)], request), /inside$/);
      assert.match(await talk(false, [writeProxyHeader('V2', { ...CLIENT, sourceAddress: '192.0.2.1' })], request), /outside$/);
    });

    test("a client's own forwarding fields are replaced, for it is the client and not the proxy that speaks", async () => {
      const request = REQUEST.replace('Host:', 'X-Forwarded-For: 1.2.3.4\r\nHost:');
      await talk(false, [writeProxyHeader('V1', CLIENT)], request);
      assert.match(backend.requests.at(-1)?.head ?? '', /x-forwarded-for: 203\.0\.113\.9\r?$/im);
    });

    test('a stranger is served without a header', async () => {
      assert.equal((await send(gateway.http, '/who', { localAddress: STRANGER })).status, 200);
      assert.match(backend.requests.at(-1)?.head ?? '', /x-real-ip: 127\.0\.0\.2\r?$/im);
    });

    for (const version of ['V1', 'V2'] as const) {
      test(`a stranger's ${version} header is 400 and the end on the plain port, the end on the TLS port`, async () => {
        const count = backend.requests.length;
        for (const secure of [false, true]) {
          const socket = connect({ port: secure ? gateway.https : gateway.http, host: '127.0.0.1', localAddress: STRANGER });
          let answer = '';
          socket.on('data', (chunk) => {
            answer += chunk.toString('latin1');
          });
          socket.on('error', () => {});
          socket.write(Buffer.concat([writeProxyHeader(version, CLIENT), Buffer.from(REQUEST)]));
          await new Promise((resolve) => socket.once('close', resolve));
          if (secure) assert.doesNotMatch(answer, /HTTP/);
          else assert.match(answer, /^HTTP\/1\.1 400 /);
        }
        assert.equal(backend.requests.length, count);
      });
    }
  });
}

test('the flag without trusted proxies does nothing, and says so', async (context) => {
  const gateway = await GatewayUnderTest.start(
    context,
    { 'all.yaml': apiRoute('a', '  rules: [{ filters: { directResponse: { statusCode: 200, body: ok } } }]') },
    ['--proxy-protocol'],
  );
  assert.equal((await get(gateway.http, '/')).body, 'ok');
  assert.match(gateway.log.map((line) => line.msg).join('\n'), /--proxy-protocol does nothing/);
});
