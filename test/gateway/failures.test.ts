/** Backends that refuse, die, stall; what is tried again and what is not. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { REFUSING_PORTS } from '../../scripts/free-port.ts';
import { answering, Backend } from './backend.ts';
import { get, send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

let good: Backend;
let flaky: Backend;
let gateway: GatewayUnderTest;

before(async () => {
  good = await Backend.start(wholeFile, answering('good'));
  flaky = await Backend.start(wholeFile, answering('flaky'));
  const [refusing] = REFUSING_PORTS;
  gateway = await GatewayUnderTest.start(
    wholeFile,
    {
      'services.yaml': service('half', [refusing, good.port]) + service('down', [refusing]) + service('flaky', [flaky.port]),
      'empty.yaml': '---\napiVersion: v1\nkind: Service\nmetadata: { name: empty }\nspec: { ports: [{ port: 80 }] }\n',
      'routes.yaml': apiRoute(
        'routes',
        `  rules:
    - { matches: [{ path: { value: /half } }], backendRefs: [{ name: half, port: 80 }] }
    - { matches: [{ path: { value: /down } }], backendRefs: [{ name: down, port: 80 }] }
    - { matches: [{ path: { value: /flaky } }], backendRefs: [{ name: flaky, port: 80 }] }
    - { matches: [{ path: { value: /brief } }], timeouts: { backendRequest: 300ms }, backendRefs: [{ name: flaky, port: 80 }] }
    - { matches: [{ path: { value: /empty } }], backendRefs: [{ name: empty, port: 80 }] }
    - { matches: [{ path: { value: /missing } }], backendRefs: [{ name: missing, port: 80 }] }
    - { matches: [{ path: { value: /whole } }], timeouts: { request: 300ms }, backendRefs: [{ name: flaky, port: 80 }] }
    - { matches: [{ path: { value: /whole/cut } }], timeouts: { request: 2s }, backendRefs: [{ name: flaky, port: 80 }] }`,
      ),
    },
    ['--workers', '1'],
  );
});

test('a refused connection goes to another endpoint, whatever the method', async () => {
  for (let index = 0; index < 6; index++)
    assert.equal((await send(gateway.http, '/half', { method: index % 2 === 0 ? 'GET' : 'POST', body: index % 2 === 0 ? '' : 'body' })).body, 'good');
});

test('all endpoints refusing: 502', async () => {
  const answer = await get(gateway.http, '/down');
  assert.equal(answer.status, 502);
  assert.equal((await gateway.untilAccess((line) => line.path === '/down')).reason, 'connect_failure');
});

test('no ready endpoint: 503 with Retry-After; a missing Service: 500', async () => {
  const empty = await get(gateway.http, '/empty');
  assert.equal(empty.status, 503);
  assert.ok(empty.headers['retry-after']);
  assert.equal((await get(gateway.http, '/missing')).status, 500);
});

/** From now on, and whenever `requests` is 0, the next request dies with its connection, and those after it are answered. */
function killFirst(): { requests: number } {
  const respond = flaky.respond;
  const seen = { requests: 0 };
  flaky.respond = (request, socket) => {
    if (seen.requests++ > 0) return respond(request, socket);
    socket.destroy();
    return undefined;
  };
  return seen;
}

test('a GET that dies on a reused connection goes again on a new one, once; a POST does not', async () => {
  const respond = flaky.respond;
  assert.equal((await get(gateway.http, '/flaky/warm')).body, 'flaky');
  const seen = killFirst();
  assert.equal((await get(gateway.http, '/flaky/get')).body, 'flaky');
  assert.equal(seen.requests, 2);
  seen.requests = 0;
  assert.equal((await send(gateway.http, '/flaky/post', { method: 'POST', body: 'x' })).status, 502);
  assert.equal(seen.requests, 1);
  flaky.respond = respond;
});

test('time-outs: backendRequest and request give 504 before the head, and the log says which', async () => {
  const respond = flaky.respond;
  flaky.respond = () => undefined;
  assert.equal((await get(gateway.http, '/brief/stall')).status, 504);
  assert.equal((await gateway.untilAccess((line) => line.path === '/brief/stall')).reason, 'backend_request_timeout');
  assert.equal((await get(gateway.http, '/whole/stall')).status, 504);
  assert.equal((await gateway.untilAccess((line) => line.path === '/whole/stall')).reason, 'request_timeout');
  flaky.respond = () => 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart';
  await assert.rejects(get(gateway.http, '/whole/cut'));
  flaky.respond = respond;
});

// Many clients send it with every POST.
test('a request with Content-Length: 0 is complete with its head: the same time-outs, and the same second try', async () => {
  const respond = flaky.respond;
  const headers = { 'content-length': '0' };
  flaky.respond = () => undefined;
  assert.equal((await send(gateway.http, '/brief/nothing', { method: 'POST', headers })).status, 504);
  assert.equal((await gateway.untilAccess((line) => line.path === '/brief/nothing')).reason, 'backend_request_timeout');
  flaky.respond = respond;
  assert.equal((await get(gateway.http, '/flaky/warm')).body, 'flaky');
  const seen = killFirst();
  const answer = await send(gateway.http, '/flaky/delete', { method: 'DELETE', headers });
  flaky.respond = respond;
  assert.deepEqual([answer.status, seen.requests], [200, 2]);
});

test('a body that does not come in time is 408', async () => {
  const answer = await new Promise<number>((resolve, reject) => {
    import('node:http').then(({ request }) => {
      const outgoing = request(
        { port: gateway.http, host: '127.0.0.1', path: '/whole/slow', method: 'POST', headers: { 'content-length': '100' }, agent: false },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      );
      outgoing.on('error', reject);
      outgoing.write('some');
    }, reject);
  });
  assert.equal(answer, 408);
});
