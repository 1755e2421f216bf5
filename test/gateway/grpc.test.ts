/** gRPC and gRPC-Web: errors of the gateway's own, deadlines, and the translation for browsers, here with a backend of HTTP/1.1. */
import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';
import { Backend, type RecordedRequest } from './backend.ts';
import { get, send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

let backend: Backend;
let gateway: GatewayUnderTest;

/** A message of five bytes: not compressed, its length, its bytes. */
const MESSAGE = Buffer.from([0, 0, 0, 0, 5, ...Buffer.from('hello')]);

/** An answer with one message, in two chunks, and trailers. */
function grpcAnswer(): Buffer {
  const head = 'HTTP/1.1 200 OK\r\nContent-Type: application/grpc+proto\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n';
  const chunk = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
  return Buffer.concat([
    Buffer.from(head),
    chunk(MESSAGE.subarray(0, 4)),
    chunk(MESSAGE.subarray(4)),
    Buffer.from('0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\n\r\n'),
  ]);
}

const respond = ({ head }: RecordedRequest): Buffer | string | undefined => {
  const path = head.split(' ')[1];
  if (path === '/test.Slow/Wait') return undefined;
  if (path === '/test.Plain/Page') return 'HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nnope';
  if (path === '/test.Bad/Fail') return 'HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 5\r\nContent-Length: 0\r\n\r\n';
  return grpcAnswer();
};

before(async () => {
  backend = await Backend.start(wholeFile, respond);
  gateway = await GatewayUnderTest.start(wholeFile, {
    'all.yaml':
      service('grpc', [backend.port]) +
      service('empty', []) +
      apiRoute(
        'grpc',
        `  rules:
    - matches: [{ path: { value: /test.Echo } }, { path: { value: /test.Plain } }, { path: { value: /test.Bad } }, { path: { value: /test.Slow } }]
      backendRefs: [{ name: grpc, port: 80 }]
    - matches: [{ path: { value: /test.Empty } }]
      backendRefs: [{ name: empty, port: 80 }]
    - matches: [{ path: { value: /test.Limited } }]
      filters: { ipAccess: { deny: [127.0.0.1] } }
      backendRefs: [{ name: grpc, port: 80 }]
    - matches: [{ path: { value: /test.Direct } }]
      filters: { directResponse: { statusCode: 503, contentType: text/plain, body: closed } }`,
      ),
  });
});
beforeEach(() => {
  backend.requests.length = 0;
});

async function call(path: string, headers: Record<string, string> = {}, body = MESSAGE.toString('latin1')) {
  return send(gateway.http, path, { method: 'POST', headers: { 'content-type': 'application/grpc', ...headers }, body });
}

const errors: readonly (readonly [what: string, path: string, status: string, reason: string])[] = [
  ['no route', '/test.Nowhere/Call', '12', 'no_route'],
  ['no endpoint', '/test.Empty/Call', '14', 'no_endpoint'],
  ['a filter that refuses', '/test.Limited/Call', '7', 'ip_denied'],
];

for (const [what, path, status, reason] of errors) {
  test(`${what} is told with grpc-status ${status}`, async () => {
    const answer = await call(path);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['content-type'], 'application/grpc');
    assert.equal(answer.headers['grpc-status'], status);
    assert.match(String(answer.headers['grpc-message']), /\w/);
    assert.equal(answer.body, '');
    const line = await gateway.untilAccess((one) => one.path === path);
    assert.equal(line.reason, reason);
  });
}

test('the same paths answer with HTTP statuses to those who do not speak gRPC', async () => {
  assert.equal((await get(gateway.http, '/test.Empty/Call')).status, 503);
  assert.equal((await send(gateway.http, '/test.Nowhere/Call', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' })).status, 404);
});

test('an answer that a manifest gives word for word stays as it is', async () => {
  const answer = await call('/test.Direct/Call');
  assert.equal(answer.status, 503);
  assert.equal(answer.body, 'closed');
});

test('grpc-timeout bounds the time-outs of the route', async () => {
  const answer = await call('/test.Slow/Wait', { 'grpc-timeout': '300m' });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['grpc-status'], '4');
  const line = await gateway.untilAccess((one) => one.path === '/test.Slow/Wait');
  assert.equal(line.reason, 'request_timeout');
  assert.match(backend.requests[0]?.head ?? '', /\r\ngrpc-timeout: 300m/i);
});

const TRAILERS = Buffer.from('grpc-status: 0\r\ngrpc-message: fine\r\n');
const TRAILERS_FRAME = Buffer.concat([Buffer.from([0x80, 0, 0, 0, TRAILERS.length]), TRAILERS]);

async function callWeb(path: string, headers: Record<string, string>, body: Buffer) {
  const response = await fetch(`http://127.0.0.1:${gateway.http}${path}`, { method: 'POST', headers, body });
  return { response, bytes: Buffer.from(await response.arrayBuffer()) };
}

test('gRPC-Web, binary: the backend sees gRPC, and the trailers come as the last frame', async () => {
  const { response, bytes } = await callWeb('/test.Echo/Say', { 'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1' }, MESSAGE);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'application/grpc-web+proto');
  assert.deepEqual(bytes, Buffer.concat([MESSAGE, TRAILERS_FRAME]));
  assert.match(backend.requests[0]?.head ?? '', /\r\ncontent-type: application\/grpc\+proto/i);
  assert.equal(backend.requests[0]?.body, MESSAGE.toString('latin1'));
});

test('gRPC-Web, text: both bodies are base64', async () => {
  const headers = { 'content-type': 'application/grpc-web-text', accept: 'application/grpc-web-text' };
  // Two texts one behind the other, each with padding of its own.
  const body = MESSAGE.subarray(0, 5).toString('base64') + MESSAGE.subarray(5).toString('base64');
  const { response, bytes } = await callWeb('/test.Echo/Say', headers, Buffer.from(body));
  assert.equal(response.headers.get('content-type'), 'application/grpc-web-text+proto');
  const decoded = Buffer.concat((bytes.toString().match(/[^=]+=*/g) ?? []).map((text) => Buffer.from(text, 'base64')));
  assert.deepEqual(decoded, Buffer.concat([MESSAGE, TRAILERS_FRAME]));
  assert.equal(backend.requests[0]?.body, MESSAGE.toString('latin1'));
});

test('gRPC-Web: an answer without a message has its status among the fields', async () => {
  const { response, bytes } = await callWeb('/test.Bad/Fail', { 'content-type': 'application/grpc-web' }, MESSAGE);
  assert.equal(response.headers.get('grpc-status'), '5');
  assert.equal(response.headers.get('content-type'), 'application/grpc-web');
  assert.equal(bytes.length, 0);
});

test('gRPC-Web: what is no gRPC passes as it is', async () => {
  const { response, bytes } = await callWeb('/test.Plain/Page', { 'content-type': 'application/grpc-web-text' }, Buffer.from('AAAA'));
  assert.equal(response.status, 404);
  assert.equal(response.headers.get('content-type'), 'text/html');
  assert.equal(bytes.toString(), 'nope');
});

test('gRPC-Web: errors of the gateway are told in its form', async () => {
  const { response } = await callWeb('/test.Nowhere/Call', { 'content-type': 'application/grpc-web-text' }, Buffer.from('AAAA'));
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'application/grpc-web-text');
  assert.equal(response.headers.get('grpc-status'), '12');
});

for (const [what, body] of [
  ['no base64', 'AA!A'],
  ['base64 that is cut short', 'AAAAA'],
] as const) {
  test(`gRPC-Web, text: ${what} is refused`, async () => {
    const { response } = await callWeb('/test.Slow/Wait', { 'content-type': 'application/grpc-web-text', 'x-what': what }, Buffer.from(body));
    assert.equal(response.headers.get('grpc-status'), '3');
    await gateway.untilAccess((line) => line.reason === 'malformed_base64');
  });
}
