/** One call of a client, several calls of the gateway: what goes to each backend, and what comes of what they do. */
import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Backend, type RecordedRequest, type Responder } from './backend.ts';
import { get, send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

function json(value: unknown, status = 200, fields = ''): Responder {
  const body = Buffer.from(JSON.stringify(value));
  return () => `HTTP/1.1 ${status} OK\r\nContent-Type: application/json\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body.toString('latin1')}`;
}

function bytes(body: Buffer, fields: string): Responder {
  return () => Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\n${fields}Content-Length: ${body.length}\r\n\r\n`), body]);
}

const silent: Responder = () => undefined;
const reset: Responder = (_request, socket) => {
  socket.resetAndDestroy();
  return undefined;
};
const ORDERS = [
  { id: 1, total: 9.5, secret: 'x' },
  { id: 2, total: 3, secret: 'y' },
];

let users: Backend;
let orders: Backend;
let spare: Backend;
let gateway: GatewayUnderTest;

before(async () => {
  [users, orders, spare] = await Promise.all([Backend.start(wholeFile), Backend.start(wholeFile), Backend.start(wholeFile)]);
  const user = '{ name: user, backendRef: { name: users, port: 80 }, request: { path: "\'/users/\' + request.path.id" } }';
  const aggregate = (path: string, calls: readonly string[], response: string, more = ''): string => `    - matches: [{ path: { value: "${path}" } }]
      filters:
        aggregate:
          ${more === '' ? 'timeout: 50s' : more}
          calls:
${calls.map((call) => `            - ${call}`).join('\n')}
          response: ${response}
`;
  const call = (name: string, path: string, more = ''): string =>
    `{ name: ${name}, backendRef: { name: ${name}, port: 80 }, request: { path: "'${path}'" }${more === '' ? '' : `, ${more}`} }`;
  gateway = await GatewayUnderTest.start(wholeFile, {
    'services.yaml': [service('users', [users.port]), service('orders', [orders.port]), service('pair', [orders.port, spare.port])].join(''),
    'routes.yaml': apiRoute(
      'bff',
      `  rules:
    - name: page
      matches: [{ path: { value: "/page/{id}" } }]
      filters:
        aggregate:
          timeout: 50s
          calls:
            - name: user
              backendRef: { name: users, port: 80 }
              request: { path: "'/users/' + request.path.id", headers: { x-a: "request.headers['x-a']", x-b: "request.query.b" } }
            - name: orders
              backendRef: { name: orders, port: 80 }
              request: { path: "'/orders?user=' + string(user.body.id)" }
              timeout: 3s
              onError: { value: "[]" }
              when: "user.status == 200"
          response:
            status: "user.status"
            headers: { cache-control: "'private'", x-took: "string(orders.durationMs)", x-partial: "orders.failed ? 'yes' : ''" }
            body: "user.status != 200 ? {'error': 'no such user'} : {'name': user.body.name, 'orders': orders.body.map(o, {'id': o.id, 'total': o.total}), 'partial': orders.failed}"
${aggregate('/both', [call('users', '/u'), call('orders', '/o')], '{ body: "[users.body, orders.body]" }')}
${aggregate('/hurried', [call('users', '/u'), call('orders', '/o', 'timeout: 1500ms')], '{ body: "[users.body, orders.body]" }')}
${aggregate('/brief', [call('users', '/u')], '{ body: "users.body" }', 'timeout: 300ms')}
${aggregate('/tolerant', [call('users', '/u', 'timeout: 300ms, onError: { value: "\'none\'" }'), call('orders', '/o', 'onError: { value: "null" }')], '{ body: "[users.body, users.failed, users.status, orders.body, orders.failed, orders.status]" }')}
${aggregate('/status', [call('users', '/u')], '{ status: "users.status" }')}
${aggregate('/fan', ['{ name: a, backendRef: { name: users, port: 80 }, request: { method: POST, path: "\'/a\'", body: "{\'id\': request.body.id}" } }', '{ name: b, backendRef: { name: orders, port: 80 }, request: { method: PUT, path: "\'/b\'", body: "request.body.lines" } }'], '{ status: "201", body: "a.body" }')}
${aggregate('/missing', [call('users', '/u')], '{ body: "users.body.nothing" }')}
${aggregate('/costly', [call('users', '/u')], '{ body: "users.body.map(a, users.body.map(b, users.body.map(c, a + b + c)))" }')}
${aggregate('/large', [call('users', '/u')], '{ body: "users.body + users.body + users.body + users.body + users.body + users.body + users.body + users.body + users.body" }')}
${aggregate('/unsafe', [call('users', '/u')], '{ status: "200", headers: { x-a: "users.body" } }')}
${aggregate('/query', ['{ name: user, backendRef: { name: users, port: 80 }, request: { path: "\'/users/\' + request.query.id" } }'], '{ body: "user.status" }')}
${aggregate('/retry', [call('orders', '/o', 'retry: { attempts: 2, on: [503], backoff: 1ms }')], '{ body: "orders.body" }')}
${aggregate('/hedge', ['{ name: pair, backendRef: { name: pair, port: 80 }, request: { path: "\'/p\'" }, hedge: { after: 20ms } }'], '{ body: "pair.body" }')}
${aggregate('/nowhere', ['{ name: gone, backendRef: { name: gone, port: 80 }, request: { path: "\'/\'" }, onError: { value: "\'nobody\'" } }'], '{ body: "gone.body" }')}
    - matches: [{ path: { value: "/kept/{id}" } }]
      filters:
        cache: { defaultTTL: 1m }
        aggregate:
          calls:
            - name: user
              backendRef: { name: users, port: 80 }
              request: { path: "'/users/' + request.path.id", headers: { x-a: "request.headers['x-a']" } }
              onError: { value: "{'name': null}" }
          response:
            status: "user.status == 404 ? 404 : 200"
            headers: { x-language: "'accept-language' in request.headers ? request.headers['accept-language'] : ''" }
            body: "[user.body.name, 'x-a' in request.headers ? request.headers['x-a'] : '']"
    - matches: [{ path: { value: /own-word } }]
      filters:
        cache: {}
        aggregate:
          calls: [${call('users', '/u')}]
          response: { headers: { cache-control: "'max-age=60'" }, body: users.body.name }
    - matches: [{ path: { value: /renewed } }]
      filters:
        cache: {}
        aggregate:
          calls: [${call('users', '/u')}]
          response: { headers: { cache-control: "'max-age=0, stale-while-revalidate=60'" }, body: users.body.name }
    - matches: [{ path: { value: /tided-over } }]
      filters:
        cache: {}
        aggregate:
          calls: [${call('users', '/u')}]
          response: { headers: { cache-control: "'max-age=0, stale-if-error=60'", etag: "'\\"a\\"'" }, body: users.body.name }
${aggregate('/self/{id}', [user], '{ body: "user.body" }')}
`,
    ),
  });
});

beforeEach(() => {
  users.respond = json({ id: 7, name: 'Ada', email: 'ada@example.com' });
  orders.respond = json(ORDERS);
  spare.respond = json('spare');
  for (const backend of [users, orders, spare]) backend.requests.length = 0;
});

function lineOf(request: RecordedRequest | undefined): string | undefined {
  return request?.head.split('\r\n')[0];
}

function fieldsOf(request: RecordedRequest | undefined): Record<string, string> {
  const lines = request?.head.split('\r\n').slice(1) ?? [];
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
}

test('a call that needs another one waits for it; the answer has the fields that were asked for', async () => {
  const answer = await get(gateway.http, '/page/a%20b%3F');
  assert.deepEqual(JSON.parse(answer.body), {
    name: 'Ada',
    orders: [
      { id: 1, total: 9.5 },
      { id: 2, total: 3 },
    ],
    partial: false,
  });
  const { status, headers } = answer;
  assert.deepEqual([status, headers['content-type'], headers['cache-control'], headers['x-partial']], [200, 'application/json', 'private', undefined]);
  assert.deepEqual([lineOf(users.requests[0]), lineOf(orders.requests[0])], ['GET /users/a%20b%3F HTTP/1.1', 'GET /orders?user=7 HTTP/1.1']);
  const line = await gateway.untilAccess(({ path }) => path === '/page/a%20b%3F');
  assert.deepEqual(
    (line.calls as { name: string; status: number }[]).map(({ name, status }) => [name, status]),
    [
      ['user', 200],
      ['orders', 200],
    ],
  );
  assert.deepEqual([line.reason, line.route, line.upstream], ['aggregate', 'ApiRoute/default/bff/page', undefined]);
});

test("the client's Authorization, trace context and request id go along, and what is listed, and nothing else", async () => {
  const headers = {
    authorization: 'Bearer t',
    traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    'x-request-id': 'r-1',
    'x-a': '1',
    cookie: 'c=d',
    'x-c': '2',
  };
  await get(gateway.http, '/page/7', headers);
  const fields = fieldsOf(users.requests[0]);
  assert.deepEqual(Object.keys(fields).sort(), ['accept-encoding', 'authorization', 'host', 'traceparent', 'x-a', 'x-request-id']);
  assert.deepEqual([fields.authorization, fields['x-request-id'], fields['x-a'], fields.host], ['Bearer t', 'r-1', '1', 'users.default']);
  assert.ok(fields.traceparent?.startsWith(`00-${'a'.repeat(32)}-`));
  assert.ok(!('x-a' in fieldsOf(orders.requests[0])));
});

test('calls run at once', async () => {
  // Each answers only when both have been asked.
  let waiting: (() => void)[] = [];
  const together: Responder = (request, socket) => {
    waiting.push(() => socket.write(json(lineOf(request))(request, socket) as string));
    if (waiting.length === 2) for (const answer of waiting.splice(0)) answer();
    return undefined;
  };
  users.respond = together;
  orders.respond = together;
  assert.equal((await get(gateway.http, '/both')).body, '["GET /u HTTP/1.1","GET /o HTTP/1.1"]');
  waiting = [];
});

test('a call that may fail leaves a partial answer: slow, broken, failing, not JSON, too long', async () => {
  const long = bytes(Buffer.alloc(1024 * 1024 + 1, '1'), 'Content-Type: application/json\r\n');
  for (const respond of [
    silent,
    reset,
    json('x', 503),
    bytes(Buffer.from('{"a":'), 'Content-Type: application/json\r\n'),
    bytes(Buffer.from([1]), 'Content-Type: image/png\r\n'),
    long,
  ]) {
    orders.respond = respond;
    const answer = await get(gateway.http, '/page/7');
    assert.deepEqual([answer.status, answer.headers['x-partial'], JSON.parse(answer.body)], [200, 'yes', { name: 'Ada', orders: [], partial: true }]);
  }
  const line = await gateway.untilAccess(({ reason }) => reason === 'aggregate_partial');
  assert.equal(line.status, 200);
  users.respond = silent;
  orders.respond = json('x', 502);
  assert.equal((await get(gateway.http, '/tolerant')).body, '["none",true,0,null,true,502]');
});

test('without onError the whole answer is 502, or 504 when it took too long; what else is under way is cut', async () => {
  users.respond = json('x', 500);
  orders.respond = silent;
  const failed = await get(gateway.http, '/both');
  assert.deepEqual([failed.status, JSON.parse(failed.body).title], [502, 'Bad Gateway']);
  const cut = await gateway.untilAccess(({ reason }) => reason === 'call_failed');
  const given = (cut.calls as { name: string; reason?: string }[]).find(({ name }) => name === 'orders');
  assert.deepEqual([cut.status, given?.reason], [502, 'abandoned']);
  users.respond = json('x');
  assert.equal((await get(gateway.http, '/hurried')).status, 504);
  const line = await gateway.untilAccess(({ reason }) => reason === 'call_timeout');
  assert.deepEqual(
    (line.calls as { name: string; status: number }[]).map(({ name, status }) => [name, status]),
    [
      ['users', 200],
      ['orders', 0],
    ],
  );
  users.respond = silent;
  assert.equal((await get(gateway.http, '/brief')).status, 504);
  assert.equal((await gateway.untilAccess(({ path }) => path === '/brief')).reason, 'call_timeout');
});

test('a 4xx is a result; a call whose condition does not hold is not made', async () => {
  users.respond = json({ message: 'no' }, 404);
  const answer = await get(gateway.http, '/page/7');
  assert.deepEqual([answer.status, answer.body, orders.requests.length], [404, '{"error":"no such user"}', 0]);
  assert.equal((await get(gateway.http, '/status')).status, 404);
  users.respond = bytes(Buffer.from('plain'), 'Content-Type: text/plain\r\n');
  assert.equal((await get(gateway.http, '/self/1')).body, '"plain"');
  users.respond = () => 'HTTP/1.1 204 No Content\r\n\r\n';
  assert.equal((await get(gateway.http, '/self/1')).body, 'null');
});

test("parts of the request's body go to several backends; a body that is no JSON, or too long, to none", async () => {
  const headers = { 'content-type': 'application/json' };
  const answer = await send(gateway.http, '/fan', { method: 'POST', headers, body: '{"id":12345678901234567890123,"lines":[1,2.5,"é"]}' });
  assert.equal(answer.status, 201);
  assert.deepEqual([lineOf(users.requests[0]), users.requests[0]?.body], ['POST /a HTTP/1.1', '{"id":1.2345678901234568e+22}']);
  assert.deepEqual([lineOf(orders.requests[0]), Buffer.from(orders.requests[0]?.body ?? '', 'latin1').toString()], ['PUT /b HTTP/1.1', '[1,2.5,"é"]']);
  assert.equal(fieldsOf(users.requests[0])['content-type'], 'application/json');
  assert.equal((await send(gateway.http, '/fan', { method: 'POST', headers, body: '{"id":' })).status, 400);
  assert.equal((await send(gateway.http, '/fan', { method: 'POST', headers, body: `{"id":1,"lines":${'['.repeat(150)}${']'.repeat(150)}}` })).status, 400);
  assert.equal((await send(gateway.http, '/fan', { method: 'POST', headers, body: `"${'x'.repeat(1024 * 1024)}"` })).status, 413);
  assert.equal(users.requests.length, 1);
});

test('HEAD is GET without the body', async () => {
  const answer = await send(gateway.http, '/page/7', { method: 'HEAD' });
  assert.deepEqual([answer.status, answer.body, answer.headers['content-type']], [200, '', 'application/json']);
  assert.equal(lineOf(users.requests[0]), 'GET /users/7 HTTP/1.1');
});

test('expressions that fail are 503, those that cost or give too much 502', async () => {
  assert.equal((await get(gateway.http, '/missing')).status, 503);
  assert.equal((await gateway.untilAccess(({ path }) => path === '/missing')).reason, 'expression_failed');
  users.respond = json(Array.from({ length: 1000 }, (_, index) => index));
  assert.equal((await get(gateway.http, '/costly')).status, 502);
  assert.equal((await gateway.untilAccess(({ path }) => path === '/costly')).reason, 'expression_too_costly');
  users.respond = bytes(Buffer.from(JSON.stringify('x'.repeat(1024 * 1024 - 2))), 'Content-Type: application/json\r\n');
  assert.equal((await get(gateway.http, '/large')).status, 502);
  users.respond = json('x'.repeat(1000));
  assert.equal((await get(gateway.http, '/large')).body, JSON.stringify('x'.repeat(9000)));
});

test('no value makes a second line of a header, or another path', async () => {
  users.respond = json('a\r\nx-evil: 1');
  const answer = await get(gateway.http, '/unsafe');
  assert.deepEqual([answer.status, answer.headers['x-evil']], [503, undefined]);
  users.requests.length = 0;
  for (const id of ['..', '%2e%2e%2fadmin', 'a%2Fb', '%00']) assert.equal((await get(gateway.http, `/query?id=${id}`)).status, 400, id);
  assert.equal(users.requests.length, 0);
  await get(gateway.http, '/query?id=a%3Fb%26c');
  assert.equal(lineOf(users.requests[0]), 'GET /users/a%3Fb%26c HTTP/1.1');
  await get(gateway.http, '/page/7?b=c%0d%0ad:%20e');
  assert.equal(users.requests.length, 1);
  assert.equal((await get(gateway.http, '/self/%FF')).status, 400);
});

test('beside a cache, whole answers are kept, by the headers that expressions read', async () => {
  const ask = async (path: string, headers: Record<string, string> = {}) => {
    const answer = await get(gateway.http, path, headers);
    return { body: answer.body, vary: answer.headers.vary, cache: String(answer.headers['cache-status']) };
  };
  const first = await ask('/kept/1', { 'x-a': 'one' });
  assert.deepEqual(first, { body: '["Ada","one"]', vary: 'accept-language, x-a', cache: 'tidegate; fwd=uri-miss; stored' });
  users.respond = json({ name: 'Grace' });
  assert.deepEqual(await ask('/kept/1', { 'x-a': 'one' }), { ...first, cache: 'tidegate; hit' });
  assert.equal((await ask('/kept/1', { 'x-a': 'two' })).body, '["Grace","two"]');
  assert.equal((await ask('/kept/1', { 'x-a': 'one', 'accept-language': 'de' })).cache, 'tidegate; fwd=vary-miss; stored');
  assert.equal(users.requests.length, 3);
  const line = await gateway.untilAccess(({ path, reason }) => path === '/kept/1' && reason === 'aggregate');
  assert.equal((line.calls as { name: string }[])[0]?.name, 'user');
  await gateway.untilAccess(({ path, reason }) => path === '/kept/1' && reason === 'cache_hit');
});

test('of answers beside a cache, parts and failures are not kept, nor what a backend has a word on', async () => {
  const cases: readonly (readonly [string, Responder])[] = [
    ['/kept/partial', json('x', 503)],
    ['/kept/missing', json({ name: 'x' }, 404)],
    ['/kept/said', json({ name: 'x' }, 200, 'Cache-Control: max-age=60\r\n')],
    ['/kept/cookie', json({ name: 'x' }, 200, 'Set-Cookie: a=b\r\n')],
  ];
  for (const [path, respond] of cases) {
    users.respond = respond;
    for (let round = 0; round < 2; round++) {
      const { headers } = await get(gateway.http, path);
      assert.equal(headers['cache-status'], 'tidegate; fwd=uri-miss', path);
    }
  }
  assert.equal(users.requests.length, 8);
  // Its own word counts, whatever backends say.
  users.respond = json({ name: 'x' }, 200, 'Cache-Control: no-store\r\n');
  for (const status of ['fwd=uri-miss; stored', 'hit']) assert.equal((await get(gateway.http, '/own-word')).headers['cache-status'], `tidegate; ${status}`);
});

test('beside a cache, stale answers are renewed by calls of their own, and stand in for those that fail', async () => {
  const first = await get(gateway.http, '/renewed');
  assert.deepEqual([first.body, first.headers['cache-status']], ['"Ada"', 'tidegate; fwd=uri-miss; stored']);
  users.respond = json({ name: 'Grace' });
  const stale = await get(gateway.http, '/renewed');
  assert.equal(stale.body, '"Ada"');
  assert.match(String(stale.headers['cache-status']), /^tidegate; hit; ttl=/);
  await gateway.until('/renewed', (_status, body) => body === '"Grace"');

  assert.equal((await get(gateway.http, '/tided-over')).body, '"Grace"');
  users.respond = json('x', 503);
  const over = await get(gateway.http, '/tided-over');
  assert.deepEqual([over.status, over.body, over.headers['cache-status']], [200, '"Grace"', 'tidegate; hit; fwd=stale']);
  assert.equal((await get(gateway.http, '/both')).status, 502);
});

test('answers that are compressed are read', async () => {
  users.respond = bytes(gzipSync('{"name":"Ada"}'), 'Content-Type: application/json\r\nContent-Encoding: gzip\r\n');
  assert.equal((await get(gateway.http, '/self/1')).body, '{"name":"Ada"}');
});

test('calls are retried and hedged; a Service that is not there is a call that fails', async () => {
  let asked = 0;
  orders.respond = (request, socket) => json(asked, ++asked < 3 ? 503 : 200)(request, socket);
  assert.deepEqual([(await get(gateway.http, '/retry')).body, asked], ['2', 3]);
  orders.respond = silent;
  for (let round = 0; round < 2; round++) assert.equal((await get(gateway.http, '/hedge')).body, '"spare"');
  assert.equal((await get(gateway.http, '/nowhere')).body, '"nobody"');
});

test('each call is counted, by what became of it', async () => {
  const { body } = await get(gateway.admin, '/metrics');
  const results = [...body.matchAll(/^tidegate_aggregate_calls_total\{route="ApiRoute\/default\/bff\/page",call="orders",result="(\w+)"\} [1-9]/gm)].map(
    ([, result]) => result,
  );
  assert.deepEqual(results.sort(), ['failed', 'ok', 'skipped', 'timeout']);
});
