/** JSON requests onto unary methods of gRPC, at a server that speaks HTTP/2 without TLS. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { before, beforeEach, test } from 'node:test';
import { fromBinary, fromJson, type JsonValue, toBinary, toJson } from '@bufbuild/protobuf';
import { readTranscoding } from '../../src/transcoding/bindings.ts';
import { shopDescriptors } from '../../src/transcoding/shop.fixture.ts';
import { get, send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

const { bindings } = readTranscoding(shopDescriptors(), ['shop.Orders']);

interface Call {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly message: unknown;
}

type Respond = (stream: ServerHttp2Stream, call: Call, answer: (json: JsonValue) => void) => void;

const calls: Call[] = [];
const echo: Respond = (_stream, { path, message }, answer) => answer(path.endsWith('/UpdateOrder') ? {} : (message as JsonValue));
let respond: Respond = echo;
let server: Http2Server;
let gateway: GatewayUnderTest;

function serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const chunks: Buffer[] = [];
  stream.on('error', () => {});
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('end', () => {
    const path = String(headers[':path']);
    const method = bindings.find((one) => path === `/shop.Orders/${one.method.name}`)?.method;
    assert.ok(method);
    const call = { path, headers, message: toJson(method.input, fromBinary(method.input, Buffer.concat(chunks).subarray(5))) };
    calls.push(call);
    respond(stream, call, (json) => {
      const message = toBinary(method.output, fromJson(method.output, json));
      const head = Buffer.alloc(5);
      head.writeUInt32BE(message.length, 1);
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(Buffer.concat([head, message]));
    });
  });
}

function failing(code: number, message: string): Respond {
  return (stream) =>
    stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': String(code), 'grpc-message': message }, { endStream: true });
}

before(async () => {
  server = createServer();
  server.on('stream', serve);
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => sessions.add(session));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  endWith(wholeFile, () => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const filter = (name: string) =>
    `{ grpcJson: { backendRef: { name: orders, port: 80 }, descriptorSetRef: { name: ${name}, key: shop.pb }, services: [shop.Orders], timeout: 500ms } }`;
  gateway = await GatewayUnderTest.start(wholeFile, {
    'services.yaml': service('orders', [port]).replace('port: 80 }', 'port: 80, appProtocol: kubernetes.io/h2c }'),
    'descriptors.yaml': `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: shop }\nbinaryData: { shop.pb: ${shopDescriptors().toString('base64')} }\n`,
    'routes.yaml': apiRoute(
      'shop',
      `  rules:\n    - { name: api, filters: ${filter('shop')} }\n    - { matches: [{ path: { value: /missing } }], filters: ${filter('nothing')} }`,
    ),
  });
});

beforeEach(() => {
  respond = echo;
  calls.length = 0;
});

test('path, query and body become a message; the answer is its JSON', async () => {
  const answer = await get(gateway.http, '/v1/customers/a%20b/orders/7?lines=x&lines=y&customer.is_new=true', { authorization: 'Bearer t', 'x-other': '1' });
  assert.deepEqual([answer.status, answer.headers['content-type']], [200, 'application/json']);
  assert.deepEqual(JSON.parse(answer.body), { id: '7', customer: { id: 'a b', isNew: true }, lines: ['x', 'y'] });
  const { path, headers } = calls[0] as Call;
  assert.deepEqual(
    [path, headers['content-type'], headers.te, headers.authorization, headers['x-other']],
    ['/shop.Orders/GetOrder', 'application/grpc', 'trailers', 'Bearer t', undefined],
  );
  assert.match(String(headers['grpc-timeout']), /^500m$/);
  const created = await send(gateway.http, '/v1/orders', { method: 'POST', body: '{"id":8,"customer":{"id":"c"}}' });
  assert.deepEqual(JSON.parse(created.body), { id: '8', customer: { id: 'c' } });
  await send(gateway.http, '/v1/orders/9:pay', { method: 'POST', body: '{}' });
  await send(gateway.http, '/v1/orders/9', { method: 'PATCH', body: '{"state":"PAID"}' });
  await send(gateway.http, '/shop.Orders/Plain', { method: 'POST', body: '{"id":1}' });
  assert.deepEqual(
    calls.slice(2).map(({ path: one, message }) => [one, message]),
    [
      ['/shop.Orders/PayOrder', { id: '9' }],
      ['/shop.Orders/UpdateOrder', { name: 'orders/9', order: { state: 'PAID' } }],
      ['/shop.Orders/Plain', { id: '1' }],
    ],
  );
});

test('one field of the answer, where the rule names one', async () => {
  respond = (_stream, _call, answer) => answer({ orders: [{ id: '1' }, { id: '2' }] });
  assert.equal((await get(gateway.http, '/v1/orders')).body, '[{"id":"1"},{"id":"2"}]');
});

test('requests that no method takes, or that do not fit, reach no backend', async () => {
  assert.equal((await get(gateway.http, '/v2/orders')).status, 404);
  const other = await send(gateway.http, '/v1/orders', { method: 'DELETE' });
  assert.deepEqual([other.status, String(other.headers.allow).split(', ').sort().join()], [405, 'GET,POST']);
  assert.equal((await get(gateway.http, '/v1/orders/seven')).status, 400);
  assert.equal((await get(gateway.http, '/v1/orders/7?nothing=1')).status, 400);
  assert.equal((await send(gateway.http, '/v1/orders', { method: 'POST', body: '{' })).status, 400);
  assert.equal((await send(gateway.http, '/v1/orders', { method: 'POST', body: `"${'x'.repeat(1024 * 1024)}"` })).status, 413);
  assert.equal((await get(gateway.http, '/v1/watch')).status, 404);
  assert.equal((await get(gateway.http, '/missing')).status, 500);
  assert.equal(calls.length, 0);
});

test('statuses of gRPC become those of HTTP; what is no gRPC is 502', async () => {
  for (const [code, status] of [
    [3, 400],
    [5, 404],
    [16, 401],
    [14, 503],
    [13, 500],
  ] as const) {
    respond = failing(code, 'no%20such%20order');
    const answer = await get(gateway.http, '/v1/orders/7');
    assert.deepEqual([answer.status, JSON.parse(answer.body)], [status, { code, message: 'no such order' }]);
  }
  await gateway.untilAccess(({ reason, status }) => reason === 'grpc_status' && status === 400);
  respond = (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.end('not a message');
  };
  assert.equal((await get(gateway.http, '/v1/orders/7')).status, 502);
  respond = (stream) => stream.respond({ ':status': 503 }, { endStream: true });
  assert.equal((await get(gateway.http, '/v1/orders/7')).status, 503);
  respond = () => {};
  assert.equal((await get(gateway.http, '/v1/orders/7')).status, 504);
});
