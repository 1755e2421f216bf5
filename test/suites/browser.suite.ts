/**
 * A browser loads a page through the gateway, over HTTP/2, which then opens a WebSocket, an event stream and a gRPC-Web call,
 * and sends what came of each to its server.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { test } from 'node:test';
import { WebSocketServer } from 'ws';
import { freePort } from '../../scripts/free-port.ts';
import { GatewayUnderTest } from '../gateway/gateway.ts';
import { endWith, type Lifetime, PATIENCE } from '../gateway/lifetime.ts';
import { apiRoute, service } from '../gateway/manifests.ts';
import { built, startForeign } from './foreign-program.ts';
import { ServerCertificate } from './server-certificate.ts';

const PAGE = `<!doctype html><title>Tidegate</title><body><script>
const told = {};
function tell(what, value) {
  told[what] = value;
  if (Object.keys(told).length === 4) fetch('/told', { method: 'POST', body: JSON.stringify(told) });
}
tell('protocol', performance.getEntriesByType('navigation')[0].nextHopProtocol);

const socket = new WebSocket(location.origin.replace('http', 'ws') + '/socket');
socket.onopen = () => socket.send('ping');
socket.onmessage = (event) => { tell('socket', event.data); socket.close(); };
socket.onerror = () => tell('socket', 'error');

const events = new EventSource('/events');
const seen = [];
events.onmessage = (event) => { seen.push(event.data); if (seen.length === 3) { events.close(); tell('events', seen.join(' ')); } };

// An empty message, and the trailers as the last frame of the body: the gRPC-Web protocol without a library.
fetch('/grpc.testing.TestService/EmptyCall', {
  method: 'POST', body: new Uint8Array(5),
  headers: { 'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1' },
}).then(async (response) => {
  const bytes = new Uint8Array(await response.arrayBuffer());
  const trailers = bytes.findIndex((byte) => byte === 0x80);
  tell('grpc', response.status + ' ' + new TextDecoder().decode(bytes.slice(trailers + 5)).split('\\r\\n')[0]);
}).catch((error) => tell('grpc', String(error)));
</script>`;

interface Site {
  readonly port: number;
  /** What the page has sent. */
  readonly told: Promise<unknown>;
}

/** A server with the page, an event stream of three events, and a WebSocket that echoes. */
async function startSite(lifetime: Lifetime): Promise<Site> {
  const told = Promise.withResolvers<unknown>();
  const server = createServer(async (request, response) => {
    if (request.url === '/told') {
      told.resolve(await json(request));
      response.end();
      return;
    }
    if (request.url !== '/events') {
      response.setHeader('content-type', 'text/html').end(PAGE);
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    // It stays open: the browser has to get each event as it comes, not when the answer ends.
    for (const event of ['one', 'two', 'three']) response.write(`data: ${event}\n\n`);
  });
  const sockets = new WebSocketServer({ server, path: '/socket' });
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`echo ${String(data)}`)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endWith(lifetime, () => {
    server.close();
    server.closeAllConnections();
  });
  return { port: (server.address() as AddressInfo).port, told: told.promise };
}

test('a page with a WebSocket, an event stream and gRPC-Web in Chromium', { timeout: 3 * PATIENCE }, async (t) => {
  const certificate = new ServerCertificate('site.test');
  const interop = await freePort();
  startForeign(t, built('grpc-interop-server'), ['--port', String(interop)]);
  const site = await startSite(t);
  const gateway = await GatewayUnderTest.start(t, {
    'all.yaml': `${certificate.secret('site')}${service('site', [site.port])}${service('interop', [interop])}---
apiVersion: tidegate.dev/v1alpha1
kind: BackendPolicy
metadata: { name: interop, namespace: default }
spec: { targetRefs: [{ kind: Service, name: interop }], protocol: H2C }
${apiRoute(
  'site',
  `  hostnames: [site.test]
  tls: { secretName: site }
  rules:
    - backendRefs: [{ name: site, port: 80 }]
    - matches: [{ path: { value: /grpc.testing.TestService } }]
      backendRefs: [{ name: interop, port: 80 }]`,
)}`,
  });
  const profile = mkdtempSync(join(tmpdir(), 'tidegate-browser-'));
  endWith(t, () => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }));
  startForeign(t, 'chromium', [
    ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', `--user-data-dir=${profile}`, '--no-first-run'],
    ...['--ignore-certificate-errors', '--host-resolver-rules=MAP site.test 127.0.0.1', '--disable-background-networking', '--disable-sync'],
    `https://site.test:${gateway.https}/`,
  ]);
  assert.deepEqual(await site.told, {
    protocol: 'h2',
    socket: 'echo ping',
    events: 'one two three',
    grpc: '200 grpc-status: 0',
  });
});
