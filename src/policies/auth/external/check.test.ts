import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { MethodDefinition, ServiceClientConstructor } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import fc from '../../../../scripts/fast-check.ts';
import { exchangeOf } from '../../exchange.fixture.ts';
import { checkRequest } from './check-request.ts';
import { type CheckAllowed, CheckResponseError, readCheckResponse } from './check-response.ts';

const loaded = loadSync(join(import.meta.dirname, 'testdata/ext-authz.proto'), { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true });
const check = (loaded['envoy.service.auth.v3.Authorization'] as unknown as ServiceClientConstructor['service']).Check as MethodDefinition<unknown, unknown>;

/** As a server of somebody else's making reads it. */
const readRequest = (bytes: Buffer): never => check.requestDeserialize(bytes) as never;
const response = (message: object): Buffer => check.responseSerialize(message);

test('a CheckRequest tells of the request what Envoy tells', () => {
  const exchange = exchangeOf({ method: 'POST', url: 'https://a.test/x/y?z=1', client: '2001:db8::1', body: 12 });
  exchange.requestId = 'id-1';
  const headers = new Map([
    ['x-a', '1,2'],
    ['x-utf8', Buffer.from('ä', 'utf8').toString('latin1')],
    ['x-latin1', 'ä'],
    ['__proto__', 'p'],
  ]);
  const { attributes } = readRequest(checkRequest(exchange, headers, 1_700_000_000_250)) as { attributes: Record<string, unknown> };
  assert.deepEqual(attributes.source, {
    address: { socket_address: { protocol: 0, address: '2001:db8::1', port_value: 40000 } },
    ...{ service: '', labels: {}, principal: '', certificate: '' },
  });
  assert.deepEqual((attributes.destination as { address: unknown }).address, { socket_address: { protocol: 0, address: '', port_value: 8080 } });
  const { time, http } = attributes.request as { time: unknown; http: Record<string, unknown> };
  assert.deepEqual(time, { seconds: 1_700_000_000, nanos: 250_000_000 });
  assert.deepEqual(
    { ...http, headers: undefined },
    {
      ...{ id: 'id-1', method: 'POST', headers: undefined, path: '/x/y?z=1', host: 'a.test', scheme: 'https', query: '', fragment: '', size: 12 },
      ...{ protocol: 'HTTP/1.1', body: '', raw_body: Buffer.alloc(0) },
    },
  );
  assert.deepEqual(Object.entries(http.headers as object).sort(), [
    [':authority', 'a.test'],
    [':method', 'POST'],
    [':path', '/x/y?z=1'],
    [':scheme', 'https'],
    ['__proto__', 'p'],
    ...Object.entries({ 'x-a': '1,2', 'x-latin1': '!', 'x-utf8': 'ä' }),
  ]);
});

test('the size of a body that only its end will tell is -1', () => {
  const { attributes } = readRequest(checkRequest(exchangeOf({ method: 'POST', body: -1 }), new Map(), 0)) as {
    attributes: { request: { http: { size: number } } };
  };
  assert.equal(attributes.request.http.size, -1);
});

test('allowed: headers by every append option, removals, response headers, query parameters; metadata are passed over', () => {
  const header = (key: string, value: string, rest: object = {}): object => ({ header: { key, value }, ...rest });
  const outcome = readCheckResponse(
    response({
      status: { code: 0 },
      ok_response: {
        headers: [
          header('X-Set', '1'),
          header('x-add', '2', { append: { value: true } }),
          header('x-not', '3', { append: { value: false } }),
          header('x-absent', '4', { append_action: 'ADD_IF_ABSENT' }),
          header('x-over', '5', { append: { value: true }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' }),
          header('x-if', '6', { append_action: 'OVERWRITE_IF_EXISTS' }),
          { header: { key: 'x-raw', raw_value: Buffer.from([0xe4]) } },
        ],
        headers_to_remove: ['Authorization', 'x-b'],
        response_headers_to_add: [header('x-r', 'r', { append: { value: true } })],
        query_parameters_to_set: [{ key: 'q', value: 'v' }],
        query_parameters_to_remove: ['token'],
        dynamic_metadata: { fields: { a: 'b' } },
      },
      dynamic_metadata: { fields: { a: 'b' } },
    }),
  ) as CheckAllowed;
  assert.equal(outcome.allowed, true);
  assert.deepEqual(
    outcome.headers.map(({ name, value, action }) => `${name}=${value} ${action}`),
    ['x-set=1 Set', 'x-add=2 Add', 'x-not=3 Set', 'x-absent=4 AddIfAbsent', 'x-over=5 Set', 'x-if=6 OverwriteIfPresent', 'x-raw=ä Set'],
  );
  assert.deepEqual(outcome.headersToRemove, ['authorization', 'x-b']);
  assert.deepEqual(outcome.responseHeaders, [{ name: 'x-r', value: 'r', action: 'Add' }]);
  assert.deepEqual(outcome.queryToSet, [['q', 'v']]);
  assert.deepEqual(outcome.queryToRemove, ['token']);
});

test('denied: with what the server says, else 403; the code decides, and not the part that is there', () => {
  // 2^32: an OK in its lower half alone.
  assert.equal(readCheckResponse(Buffer.from('0a060880808080' + '10', 'hex')).allowed, false);
  assert.deepEqual(readCheckResponse(response({ status: { code: 7 } })), { allowed: false, status: 403, headers: [], body: '' });
  assert.deepEqual(readCheckResponse(response({ status: { code: -1 } })), { allowed: false, status: 403, headers: [], body: '' });
  assert.deepEqual(readCheckResponse(response({ status: { code: 16 }, ok_response: { headers: [] } })), { allowed: false, status: 403, headers: [], body: '' });
  const denied = { status: { code: 302 }, headers: [{ header: { key: 'location', value: '/in' } }], body: 'nö' };
  assert.deepEqual(readCheckResponse(response({ status: { code: 16 }, denied_response: denied })), {
    ...{ allowed: false, status: 302, headers: [{ name: 'location', value: '/in', action: 'Set' }], body: 'nö' },
  });
  for (const code of [0, 100, 101, 700]) {
    const outcome = readCheckResponse(response({ status: { code: 7 }, denied_response: { status: { code } } }));
    assert.equal(outcome.allowed === false && outcome.status, 403);
  }
  assert.equal(readCheckResponse(Buffer.alloc(0)).allowed, true, 'OK is the status that is not written, as gRPC has it');
});

test('a header that would split the message, or has no name, makes the answer none', () => {
  for (const header of [
    { key: 'x-a', value: 'a\r\nx-b: c' },
    { key: 'x-a', value: 'a\0' },
    { key: '', value: 'a' },
    { key: ':path', value: '/' },
    { key: 'a b', value: '' },
  ]) {
    assert.throws(() => readCheckResponse(response({ status: { code: 0 }, ok_response: { headers: [{ header }] } })), CheckResponseError);
  }
});

test('whatever the bytes are, reading them ends, with an answer or a CheckResponseError', () => {
  const good = response({ status: { code: 7 }, denied_response: { status: { code: 401 }, headers: [{ header: { key: 'a', value: 'b' } }], body: 'text' } });
  const edits = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 });
  const mutated = fc.tuple(edits, fc.nat(good.length)).map(([changes, length]) => {
    const bytes = Buffer.from(good);
    for (const [at, byte] of changes) bytes[at] = byte;
    return bytes.subarray(0, length);
  });
  fc.assert(
    fc.property(
      fc.oneof(
        mutated,
        fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
      ),
      (bytes) => {
        try {
          readCheckResponse(bytes);
        } catch (error) {
          assert.ok(error instanceof CheckResponseError, String(error));
        }
      },
    ),
  );
  assert.throws(() => readCheckResponse(Buffer.from('08ffffffffffffffffffffff01', 'hex')), CheckResponseError);
  assert.throws(
    () => readCheckResponse(Buffer.from(new BinaryWriter().tag(2, WireType.LengthDelimited).bytes(good).finish()).subarray(0, 5)),
    CheckResponseError,
  );
});
