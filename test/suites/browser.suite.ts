/**
 * A browser loads a page through the gateway, over HTTP/2, which then opens a WebSocket, an event stream and a gRPC-Web call,
 * and writes what came of each into its document.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { WebSocketServer } from 'ws';
import { freePort } from '../../scripts/free-port.ts';
import { GatewayUnderTest } from '../gateway/gateway.ts';
import { endWith, type Lifetime } from '../gateway/lifetime.ts';
import { apiRoute, service } from '../gateway/manifests.ts';
import { built, runForeign, startForeign } from './foreign-program.ts';
import { ServerCertificate } from './server-certificate.ts';

const PAGE = `<!doctype html><title>Tidegate</title><body><script>
const told = {};
function tell(what, value) {
  told[what] = value;
  if (Object.keys(told).length === 4) document.body.textContent = 'told ' + JSON.stringify(told);
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
  tell('grpc', response.status + ' ' + new TextDecoder().decode(bytes.slice(trailers + 5)).trim());
}).catch((error) => tell('grpc', String(error)));
</script>`;

/** A server with the page, an event stream of three events, and a WebSocket that echoes. @returns its port */
async function startSite(lifetime: Lifetime): Promise<number> {
  const server = createServer((request, response) => {
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
  return (server.address() as AddressInfo).port;
}

test('a page with a WebSocket, an event stream and gRPC-Web in Chromium', async (t) => {
  const certificate = new ServerCertificate('site.test');
  const interop = await freePort();
  startForeign(t, built('grpc-interop-server'), ['--port', String(interop)]);
  const site = await startSite(t);
  const gateway = await GatewayUnderTest.start(t, {
    'all.yaml': `${certificate.secret('site')}${service('site', [site])}${service('interop', [interop])}---
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
  const { output } = await runForeign('chromium', [
    ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', `--user-data-dir=${profile}`, '--no-first-run'],
    ...['--ignore-certificate-errors', `--host-resolver-rules=MAP site.test 127.0.0.1`, '--disable-background-networking', '--disable-sync'],
    ...['--virtual-time-budget=20000', '--dump-dom', `https://site.test:${gateway.https}/`],
  ]);
  const told = /told (\{.*?\})/.exec(output)?.[1];
  assert.ok(told !== undefined, `the page did not get everything:\n${output}`);
  assert.deepEqual(JSON.parse(told.replaceAll('&quot;', '"').replaceAll('&amp;', '&')), {
    protocol: 'h2',
    socket: 'echo ping',
    events: 'one two three',
    grpc: '200 grpc-status: 0',
  });
});
