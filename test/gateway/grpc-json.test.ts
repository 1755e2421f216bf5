/** JSON requests onto unary methods of gRPC, at a server that speaks HTTP/2 without TLS. */
import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { shopDescriptors } from '../../src/transcoding/shop.fixture.ts';
import { get, send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { echo, failing, GrpcBackend, type GrpcCall } from './grpc-backend.ts';
import { wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

let orders: GrpcBackend;
let calls: GrpcCall[];
let gateway: GatewayUnderTest;

before(async () => {
  orders = await GrpcBackend.start(wholeFile, shopDescriptors(), ['shop.Orders']);
  calls = orders.calls;
  const filter = (name: string, more = '', timeout = '50s') =>
    `{ grpcJson: { backendRef: { name: orders, port: 80 }, descriptorSetRef: { name: ${name}, key: shop.pb }, services: [shop.Orders], timeout: ${timeout} }${more} }`;
  const set = (name: string, bytes: Uint8Array) =>
    `---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: ${name} }\nbinaryData: { shop.pb: ${Buffer.from(bytes).toString('base64')} }\n`;
  gateway = await GatewayUnderTest.start(wholeFile, {
    'services.yaml': service('orders', [orders.port]).replace('port: 80 }', 'port: 80, appProtocol: kubernetes.io/h2c }'),
    'descriptors.yaml': set('shop', shopDescriptors()) + set('broken', Buffer.from('no descriptors')),
    'routes.yaml': apiRoute(
      'shop',
      `  rules:
    - { name: api, filters: ${filter('shop')} }
    - { name: hurried, matches: [{ headers: [{ name: x-hurry, type: Present }] }], filters: ${filter('shop', '', '500ms')} }
    - { matches: [{ path: { value: /missing } }], filters: ${filter('nothing')} }
    - { matches: [{ path: { value: /broken } }], filters: ${filter('broken')} }
    - { name: told, matches: [{ headers: [{ name: x-told, type: Present }] }], filters: ${filter('shop').replace('timeout: 50s', 'timeout: 50s, requestHeaders: [X-Tenant, x-trace-bin], responseHeaders: [x-total, x-late, cache-control]').replace(/ }$/, ', cache: {} }')} }
    - { name: kept, matches: [{ headers: [{ name: x-cached, type: Present }] }], filters: ${filter('shop', ', cache: { defaultTTL: 1m }')} }`,
    ),
  });
});

beforeEach(() => {
  orders.respond = echo;
  calls.length = 0;
});

test('path, query and body become a message; the answer is its JSON', async () => {
  const answer = await get(gateway.http, '/v1/customers/a%20b/orders/7?lines=x&lines=y&customer.is_new=true', { authorization: 'Bearer t', 'x-other': '1' });
  assert.deepEqual([answer.status, answer.headers['content-type']], [200, 'application/json']);
  assert.deepEqual(JSON.parse(answer.body), { id: '7', customer: { id: 'a b', isNew: true }, lines: ['x', 'y'] });
  const { path, headers } = calls[0] as GrpcCall;
  assert.deepEqual(
    [path, headers['content-type'], headers.te, headers.authorization, headers['x-other']],
    ['/shop.Orders/GetOrder', 'application/grpc', 'trailers', 'Bearer t', undefined],
  );
  assert.match(String(headers['grpc-timeout']), /^50000m$/);
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
  orders.respond = (_stream, _call, answer) => answer({ orders: [{ id: '1' }, { id: '2' }] });
  assert.equal((await get(gateway.http, '/v1/orders')).body, '[{"id":"1"},{"id":"2"}]');
});

test('requests that no method takes, or that do not fit, reach no backend', async () => {
  assert.equal((await get(gateway.http, '/v2/orders')).status, 404);
  const other = await send(gateway.http, '/v1/orders', { method: 'DELETE' });
  assert.deepEqual([other.status, String(other.headers.allow).split(', ').sort().join()], [405, 'GET,HEAD,POST']);
  assert.equal((await get(gateway.http, '/v1/orders/seven')).status, 400);
  assert.equal((await get(gateway.http, '/v1/orders/7?nothing=1')).status, 400);
  assert.equal((await send(gateway.http, '/v1/orders', { method: 'POST', body: '{' })).status, 400);
  assert.equal((await send(gateway.http, '/v1/orders', { method: 'POST', body: `"${'x'.repeat(1024 * 1024)}"` })).status, 413);
  assert.equal((await get(gateway.http, '/v1/watch')).status, 404);
  for (const path of ['/missing', '/broken']) assert.equal((await get(gateway.http, path)).status, 500);
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
    orders.respond = failing(code, 'no%20such%20order');
    const answer = await get(gateway.http, '/v1/orders/7');
    assert.deepEqual([answer.status, JSON.parse(answer.body)], [status, { code, message: 'no such order' }]);
  }
  await gateway.untilAccess(({ reason, status }) => reason === 'grpc_status' && status === 400);
  orders.respond = (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.end('not a message');
  };
  assert.equal((await get(gateway.http, '/v1/orders/7')).status, 502);
  orders.respond = (stream) => stream.respond({ ':status': 503 }, { endStream: true });
  assert.equal((await get(gateway.http, '/v1/orders/7')).status, 503);
  orders.respond = () => {};
  assert.equal((await get(gateway.http, '/v1/orders/7', { 'x-hurry': '1' })).status, 504);
});

test('headers and metadata that are named go along, and back; a cache goes by them', async () => {
  const headers = { 'x-told': '1', 'x-tenant': 'acme', 'x-trace-bin': 'AP8', 'x-other': '1' };
  orders.respond = (_stream, { message }, answer) =>
    answer(message, { 'x-total': ['1', '2'], 'x-none': 'a', 'cache-control': 'max-age=60' }, { 'x-late': 'yes', 'x-total': '3' });
  const answer = await get(gateway.http, '/v1/orders/80', headers);
  assert.deepEqual(
    ['x-total', 'x-late', 'x-none', 'vary', 'cache-status'].map((name) => answer.headers[name]),
    ['1, 2', 'yes', undefined, 'x-tenant, x-trace-bin', 'tidegate; fwd=uri-miss; stored'],
  );
  const { headers: metadata } = calls[0] as GrpcCall;
  assert.deepEqual([metadata['x-tenant'], metadata['x-trace-bin'], metadata['x-other'], metadata['x-told']], ['acme', 'AP8', undefined, undefined]);
  assert.equal((await get(gateway.http, '/v1/orders/80', headers)).headers['cache-status'], 'tidegate; hit');
  assert.equal((await get(gateway.http, '/v1/orders/80', { ...headers, 'x-tenant': 'globex' })).headers['cache-status'], 'tidegate; fwd=vary-miss; stored');
  orders.respond = (stream) => stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '5', 'x-total': '0' }, { endStream: true });
  const failed = await get(gateway.http, '/v1/orders/81', headers);
  assert.deepEqual([failed.status, failed.headers['x-total']], [404, '0']);
});

test('a failure has its details', async () => {
  const any = new BinaryWriter().tag(1, WireType.LengthDelimited).string('type.googleapis.com/shop.Customer');
  any.tag(2, WireType.LengthDelimited).bytes(new BinaryWriter().tag(1, WireType.LengthDelimited).string('ada').finish());
  const details = new BinaryWriter().tag(1, WireType.Varint).int32(9).tag(3, WireType.LengthDelimited).bytes(any.finish()).finish();
  orders.respond = failing(9, 'busy', details);
  const answer = await get(gateway.http, '/v1/orders/7');
  const expected = { code: 9, message: 'busy', details: [{ '@type': 'type.googleapis.com/shop.Customer', id: 'ada' }] };
  assert.deepEqual([answer.status, JSON.parse(answer.body)], [400, expected]);
});

test('HEAD runs as GET, and leaves out the body', async () => {
  const answer = await send(gateway.http, '/v1/orders/7', { method: 'HEAD' });
  assert.deepEqual([answer.status, answer.body, answer.headers['content-type'], answer.headers['content-length']], [200, '', 'application/json', '10']);
  assert.equal(calls.length, 1);
  assert.equal((await send(gateway.http, '/shop.Orders/Plain', { method: 'HEAD' })).status, 405);
});

test('beside a cache, answers are kept for as long as the rule says; failures, and those for who is known, are not', async () => {
  const headers = { 'x-cached': '1' };
  orders.respond = failing(5, 'none');
  assert.equal((await get(gateway.http, '/v1/orders/70', headers)).status, 404);
  orders.respond = echo;
  const statuses: unknown[] = [];
  for (const more of [{ authorization: 'Bearer t' }, {}, {}]) {
    const answer = await get(gateway.http, '/v1/orders/70?lines=a', { ...headers, ...more });
    assert.deepEqual(JSON.parse(answer.body), { id: '70', lines: ['a'] });
    statuses.push(answer.headers['cache-status']);
  }
  assert.deepEqual(statuses, ['tidegate; fwd=uri-miss', 'tidegate; fwd=uri-miss; stored', 'tidegate; hit']);
  assert.equal((await get(gateway.http, '/v1/orders/70', headers)).headers['cache-status'], 'tidegate; fwd=uri-miss; stored');
});

test('calls are counted by method and status of gRPC', async () => {
  const counted = async (code: string): Promise<number> => {
    const { body } = await get(gateway.admin, '/metrics');
    const line = new RegExp(
      `^tidegate_grpc_json_calls_total\\{route="ApiRoute/default/shop/(?:api|hurried)",method="shop.Orders/ListOrders",code="${code}"\\} (\\d+)$`,
      'm',
    );
    return Number(line.exec(body)?.[1] ?? 0);
  };
  const before = await Promise.all(['OK', 'NOT_FOUND', 'NO_ANSWER'].map(counted));
  await get(gateway.http, '/v1/orders');
  orders.respond = failing(5, 'none');
  await get(gateway.http, '/v1/orders');
  orders.respond = () => {};
  await get(gateway.http, '/v1/orders', { 'x-hurry': '1' });
  assert.deepEqual(
    await Promise.all(['OK', 'NOT_FOUND', 'NO_ANSWER'].map(counted)),
    before.map((count) => count + 1),
  );
});
