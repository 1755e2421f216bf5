/** Long bodies in both directions: whole, in order, and never held in the gateway. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { before, test } from 'node:test';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, wholeFile } from './lifetime.ts';
import { service } from './manifests.ts';

const SIZE = 64 * 1024 * 1024;
/** More than kernels hold of what nobody reads: tens of MiB a socket, where they are set to. */
const ENDLESS = 1024 * 1024 * 1024;
const block = Buffer.alloc(64 * 1024, 'tidegate ');

let backend: Server;
let gateway: GatewayUnderTest;
/** Bytes that the backend has handed to its socket for the slow reader. */
let written = 0;

before(async () => {
  backend = createServer((incoming, response) => {
    if (incoming.method === 'POST') {
      const digest = createHash('sha256');
      let bytes = 0;
      incoming.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        digest.update(chunk);
      });
      incoming.on('end', () => response.end(JSON.stringify({ bytes, digest: digest.digest('hex') })));
      return;
    }
    const size = incoming.url === '/endless' ? ENDLESS : SIZE;
    if (incoming.url !== '/chunked') response.setHeader('content-length', size);
    written = 0;
    const push = (): void => {
      while (written < size) {
        written += block.length;
        if (!response.write(block)) {
          response.once('drain', push);
          return;
        }
      }
      response.end();
    };
    push();
  });
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
  endWith(wholeFile, () => {
    backend.close();
    backend.closeAllConnections();
  });
  gateway = await GatewayUnderTest.start(wholeFile, {
    'all.yaml': `${service('web', [(backend.address() as AddressInfo).port])}---
apiVersion: tidegate.dev/v1alpha1
kind: ApiRoute
metadata: { name: web }
spec: { rules: [{ filters: { limits: { maxRequestBodyBytes: 1073741824 } }, backendRefs: [{ name: web, port: 80 }] }] }
`,
  });
});

function expected(): string {
  const digest = createHash('sha256');
  for (let sent = 0; sent < SIZE; sent += block.length) digest.update(block);
  return digest.digest('hex');
}

for (const path of ['/length', '/chunked']) {
  test(`64 MiB down, ${path}`, async () => {
    const digest = createHash('sha256');
    await new Promise<void>((resolve, reject) => {
      request({ port: gateway.http, host: '127.0.0.1', path, agent: false }, (response) => {
        response.on('data', (chunk: Buffer) => digest.update(chunk));
        response.on('end', resolve);
        response.on('error', reject);
      })
        .on('error', reject)
        .end();
    });
    assert.equal(digest.digest('hex'), expected());
  });
}

for (const headers of [{ 'content-length': String(SIZE) }, { 'transfer-encoding': 'chunked' }]) {
  test(`64 MiB up, ${Object.keys(headers)[0]}`, async () => {
    const body = await new Promise<string>((resolve, reject) => {
      const outgoing = request({ port: gateway.http, host: '127.0.0.1', path: '/', method: 'POST', headers, agent: false }, (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve(text));
      });
      outgoing.on('error', reject);
      let sent = 0;
      const push = (): void => {
        while (sent < SIZE) {
          sent += block.length;
          if (!outgoing.write(block)) {
            outgoing.once('drain', push);
            return;
          }
        }
        outgoing.end();
      };
      push();
    });
    assert.deepEqual(JSON.parse(body), { bytes: SIZE, digest: expected() });
  });
}

function residentBytes(): number {
  const status = readFileSync(`/proc/${gateway.process.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024;
}

test('a slow reader holds the backend back: what the gateway keeps is bounded', async (t) => {
  const socket = connect(gateway.http, '127.0.0.1');
  endWith(t, () => socket.destroy());
  socket.write('GET /endless HTTP/1.1\r\nHost: a\r\n\r\n');
  // Reads the first bytes, then nothing: the kernel's buffers fill, then the gateway must stop reading.
  await new Promise((resolve) => socket.once('readable', resolve));
  const before = residentBytes();
  let last = -1;
  for (let quiet = 0; quiet < 10; ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    quiet = written === last ? quiet + 1 : 0;
    last = written;
  }
  assert.ok(written < ENDLESS / 2, `the backend could write ${written} bytes`);
  assert.ok(residentBytes() - before < 16 * 1024 * 1024, 'the gateway grew');
});
