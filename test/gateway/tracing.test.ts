/** Traces as a collector gets them: exchanges, their tries, and what backends are told. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { before, test } from 'node:test';
import { answering, Backend } from './backend.ts';
import { get } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';
import { readSpans, type SentSpan } from './otlp.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';
const spans: SentSpan[] = [];
let backend: Backend;
let gateway: GatewayUnderTest;
let wake = (): void => {};

before(async () => {
  const collector = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    spans.push(...readSpans(Buffer.concat(chunks)));
    response.end();
    wake();
  });
  collector.listen(0, '127.0.0.1');
  await once(collector, 'listening');
  endWith(wholeFile, () => collector.close());
  backend = await Backend.start(wholeFile, answering('ok'));
  gateway = await GatewayUnderTest.start(
    wholeFile,
    {
      'all.yaml':
        service('web', [backend.port]) +
        apiRoute(
          'web',
          `  rules:
    - matches: [{ path: { value: /orders } }]
      retry: { attempts: 1, on: [503], backoff: 1ms }
      backendRefs: [{ name: web, port: 80 }]
    - matches: [{ path: { value: /kept } }]
      filters: { cache: {} }
      backendRefs: [{ name: web, port: 80 }]
    - matches: [{ path: { value: "/pages/{id}" } }]
      filters:
        aggregate:
          calls:
            - { name: user, backendRef: { name: web, port: 80 }, request: { path: "'/user'" }, retry: { attempts: 1, on: [503], backoff: 1ms } }
            - { name: gone, backendRef: { name: nowhere, port: 80 }, request: { path: "'/gone'" }, onError: { value: "null" } }
          response: { body: "user.status" }`,
        ),
    },
    ['--workers', '1', '--otlp-endpoint', `http://127.0.0.1:${(collector.address() as AddressInfo).port}`, '--trace-ratio', '1'],
  );
});

async function spansOf(traceId: string, count: number): Promise<SentSpan[]> {
  for (;;) {
    const found = spans.filter((span) => span.traceId === traceId);
    if (found.length >= count) return found;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
}

test('an exchange is a span below that of its client, each try one below the exchange, and backends are below their try', async () => {
  let tries = 0;
  backend.respond = () => (++tries === 1 ? 'HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n' : 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  const { status } = await get(gateway.http, '/orders/7?token=secret', { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: 'a=b', 'user-agent': 'test' });
  assert.equal(status, 200);
  const found = await spansOf(TRACE, 3);
  const server = found.find(({ kind }) => kind === 'server');
  assert.ok(server);
  assert.equal(server.name, 'GET /orders');
  assert.equal(server.parentSpanId, PARENT);
  assert.equal(server.isError, false);
  const { 'tidegate.request_id': requestId, 'client.address': client, 'server.address': host, ...attributes } = server.attributes;
  assert.ok(requestId !== undefined && client === '127.0.0.1' && host !== undefined);
  assert.deepEqual(attributes, {
    'http.request.method': 'GET',
    'url.scheme': 'http',
    'url.path': '/orders/7',
    'network.protocol.version': '1.1',
    'http.response.status_code': 200,
    'http.route': '/orders',
    'tidegate.route': 'ApiRoute/default/web/0',
    'user_agent.original': 'test',
  });
  const attempts = found.filter(({ kind }) => kind === 'client');
  assert.deepEqual(
    attempts.map(({ parentSpanId, attributes: own, isError }) => [parentSpanId, own['http.response.status_code'], own['http.request.resend_count'], isError]),
    [
      [server.spanId, 503, undefined, true],
      [server.spanId, 200, 1, false],
    ],
  );
  assert.deepEqual(
    backend.requests.slice(-2).map(({ head }) => /^traceparent: (.*)$/im.exec(head)?.[1]),
    attempts.map(({ spanId }) => `00-${TRACE}-${spanId}-01`),
  );
  assert.match(backend.requests.at(-1)?.head ?? '', /^tracestate: a=b$/im);
  assert.ok(found.every(({ durationMs }) => durationMs >= 0 && durationMs < 60_000));
  assert.ok(!JSON.stringify(found).includes('secret'));
});

test('so it is where the gateway asks for an answer to keep', async () => {
  const trace = '2'.repeat(32);
  backend.respond = answering('ok');
  await get(gateway.http, '/kept/1', { traceparent: `00-${trace}-${PARENT}-01` });
  const found = await spansOf(trace, 2);
  const server = found.find(({ kind }) => kind === 'server');
  const attempt = found.find(({ kind }) => kind === 'client');
  assert.equal(attempt?.parentSpanId, server?.spanId);
  assert.ok(backend.requests.at(-1)?.head.includes(`traceparent: 00-${trace}-${attempt?.spanId}-01`));
});

test('what fails is told, and spans are counted', async () => {
  backend.respond = () => 'nonsense\r\n\r\n';
  const trace = TRACE.replace(/^../, 'ff');
  assert.equal((await get(gateway.http, '/orders', { traceparent: `00-${trace}-${PARENT}-00` })).status, 502);
  const found = await spansOf(trace, 2);
  assert.deepEqual(found.map(({ kind, attributes, isError }) => [kind, attributes['error.type'], isError]).sort(), [
    ['client', 'malformed', true],
    ['server', 'upstream_malformed', true],
  ]);
  const { body } = await get(gateway.admin, '/metrics');
  assert.match(body, /^tidegate_spans_exported_total \d+$/m);
});

test('each call of an aggregate is a span below the exchange, with its tries below it', async () => {
  let tries = 0;
  backend.respond = () => (++tries === 1 ? 'HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n' : 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  const trace = TRACE.replace(/^../, 'ee');
  const { status, body } = await get(gateway.http, '/pages/7', { traceparent: `00-${trace}-${PARENT}-01` });
  assert.deepEqual([status, body], [200, '200']);
  const found = await spansOf(trace, 5);
  const exchange = found.find(({ kind }) => kind === 'server');
  assert.deepEqual([exchange?.name, exchange?.parentSpanId], ['GET /pages/{id}', PARENT]);
  const calls = found.filter(({ kind }) => kind === 'internal').sort((a, b) => (a.name < b.name ? -1 : 1));
  assert.deepEqual(
    calls.map(({ name, parentSpanId, attributes, isError }) => [
      name,
      parentSpanId,
      attributes['tidegate.call'],
      attributes['http.response.status_code'],
      isError,
    ]),
    [
      ['call gone', exchange?.spanId, 'gone', undefined, true],
      ['call user', exchange?.spanId, 'user', 200, false],
    ],
  );
  const attempts = found.filter(({ kind }) => kind === 'client');
  assert.deepEqual(
    attempts.map(({ parentSpanId, attributes }) => [parentSpanId, attributes['http.response.status_code']]),
    [
      [calls[1]?.spanId, 503],
      [calls[1]?.spanId, 200],
    ],
  );
  assert.deepEqual(
    backend.requests.slice(-2).map(({ head }) => /^traceparent: (.*)$/im.exec(head)?.[1]),
    attempts.map(({ spanId }) => `00-${trace}-${spanId}-01`),
  );
});
