/** Calls over the pools, balancers and sockets of a worker, to servers on loopback. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { REFUSING_PORTS } from '../../../scripts/free-port.ts';
import { type CallOutcome, type CallRequest, contextFields } from '../../exchange/calls.ts';
import type { Exchange } from '../../exchange/exchange.ts';
import { Fields } from '../../exchange/fields.ts';
import { exchangeOf } from '../../policies/exchange.fixture.ts';
import type { CallTarget } from '../../snapshot/calls.ts';
import type { Retry } from '../../snapshot/recovery.ts';
import type { Upstream } from '../../snapshot/upstream.ts';
import { WorkerMetrics } from '../../telemetry/worker-metrics.ts';
import { endpoint, fakeContext, upstream } from '../../upstream/fixtures.ts';
import { Upstreams } from '../../upstream/upstreams.ts';
import { createWire } from '../../wire/index.ts';
import { BackendConnector } from '../backend-connector.ts';
import { ClientIdentity } from '../client-identity.ts';
import { Proxy } from '../proxy.ts';
import { RetryBudget } from '../retry-budget.ts';
import { BackendTlsStore } from '../tls/backend-tls-store.ts';
import { UpstreamCalls } from './upstream-calls.ts';

const metrics = new WorkerMetrics();
const errors: string[] = [];
const runtime = { version: 0, router: { find: () => undefined } };
const budget = new RetryBudget(RetryBudget.allocate(1), 1, 0);
const proxy = new Proxy(runtime, new ClientIdentity([]), metrics, undefined, budget, (_level, message) => errors.push(message));
const connector = new BackendConnector(await createWire('stream'), proxy.deadlines, new BackendTlsStore(() => {}));
const upstreams = new Upstreams({ ...fakeContext(), connector, deadlines: proxy.deadlines, metrics });
const calls = new UpstreamCalls(proxy, upstreams);
const servers: Server[] = [];

after(() => {
  upstreams.close();
  proxy.deadlines.close();
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
  assert.deepEqual(errors, []);
});

async function listen(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

let named = 0;

/** An upstream of its own with these ports. */
function targetOf(ports: readonly number[], change: Partial<CallTarget> = {}, settings: Partial<Upstream> = {}): CallTarget {
  const key = `shop/calls-${named++}/80`;
  const endpoints = ports.map((port, index) => endpoint(index, { address: '127.0.0.1', port }));
  upstreams.put({ upstreams: new Map([[key, upstream({ key, service: 'calls', ...settings })]]), endpoints: new Map([[key, endpoints]]) });
  return { upstream: key, timeout: 5000, ...change };
}

function requestOf(change: Partial<CallRequest> = {}): CallRequest {
  return { name: 'one', method: 'GET', path: '/', query: '', fields: new Fields(), body: Buffer.alloc(0), maxAnswerBytes: 1000, decode: true, ...change };
}

function call(target: CallTarget, request: Partial<CallRequest> = {}, origin = exchangeOf()): Promise<CallOutcome> {
  return new Promise((resolve) => calls.to(target).call(origin, requestOf(request), resolve));
}

function reasonOf(outcome: CallOutcome): string {
  return outcome.failure === undefined ? `answered ${outcome.status}` : `${outcome.failure.status} ${outcome.failure.reason}`;
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const RETRY: Retry = { attempts: 2, on: [503, 'connect-failure'], backoff: 1, maxBackoff: 1, budgetPercent: 100, nonIdempotent: false };

test('a call brings what it was given, and gives back the whole answer', async () => {
  const seen: IncomingMessage[] = [];
  const port = await listen((message, response) => {
    seen.push(message);
    void bodyOf(message).then((body) => response.writeHead(201, { 'x-a': 'b' }).end(`${message.method} ${message.url} ${body.length}`));
  });
  const origin = exchangeOf({
    headers: { authorization: 'Bearer t', traceparent: 'tp', tracestate: 'ts', 'x-request-id': 'r-1', cookie: 'secret', 'x-other': '1' },
  });
  // Larger than what is kept for a retry, and than what a socket takes at once.
  const body = Buffer.alloc(3_000_000, 'x');
  const outcome = await call(targetOf([port]), { method: 'POST', path: '/a/b', query: '?c=d', fields: contextFields(origin), body }, origin);
  assert.ok(outcome.failure === undefined, reasonOf(outcome));
  assert.deepEqual([outcome.status, outcome.fields.get('x-a'), String(outcome.body)], [201, 'b', 'POST /a/b?c=d 3000000']);
  const { headers } = seen[0] as IncomingMessage;
  assert.deepEqual(Object.keys(headers).sort(), ['accept-encoding', 'authorization', 'content-length', 'host', 'traceparent', 'tracestate', 'x-request-id']);
  assert.deepEqual([headers.host, headers.authorization, headers['accept-encoding']], ['calls.shop', 'Bearer t', 'identity']);
  assert.deepEqual(
    origin.calls?.map(({ name, status, reason }) => [name, status, reason]),
    [['one', 201, '']],
  );
});

test('tries count for their upstream, and for no route', async () => {
  const port = await listen((_message, response) => response.end('ok'));
  const target = targetOf([port]);
  await call(target);
  const families = metrics.families([], {});
  const tries = families.find(({ name }) => name === 'tidegate_upstream_requests_total')?.values.filter(({ labels }) => labels?.upstream === target.upstream);
  assert.deepEqual(
    tries?.map(({ value }) => value),
    [1],
  );
  assert.equal(families.find(({ name }) => name === 'tidegate_requests_total')?.values.length, 0);
});

test('there is no answer: no reference, no endpoint, nobody listens, too slow, broken off, too long', async () => {
  const port = await listen((message, response) => {
    if (message.url === '/slow') return;
    if (message.url === '/long') response.end(Buffer.alloc(1001));
    else if (message.url === '/longer') {
      // Without a length: it is found out on the way.
      response.write(Buffer.alloc(600));
      setImmediate(() => response.write(Buffer.alloc(600)));
    } else {
      response.writeHead(200, { 'content-length': '100' });
      response.write('broken', () => response.destroy());
    }
  });
  const target = targetOf([port]);
  assert.equal(reasonOf(await call({ timeout: 1000 })), '500 backend_not_resolved');
  assert.equal(reasonOf(await call(targetOf([]))), '503 no_endpoint');
  assert.equal(reasonOf(await call(targetOf([REFUSING_PORTS[0]]))), '502 connect_failure');
  assert.equal(reasonOf(await call(targetOf([port], { timeout: 200 }), { path: '/slow' })), '504 request_timeout');
  assert.equal(reasonOf(await call(target, { path: '/broken' })), '502 upstream_reset');
  assert.equal(reasonOf(await call(target, { path: '/long' })), '502 call_answer_too_long');
  assert.equal(reasonOf(await call(target, { path: '/longer' })), '502 call_answer_too_long');
  const origin = exchangeOf();
  await call(target, { path: '/long' }, origin);
  assert.deepEqual(
    origin.calls?.map(({ status, reason }) => [status, reason]),
    [[0, 'call_answer_too_long']],
  );
});

test('nobody hears of a call before it has returned, nor of one that was given up', async () => {
  let returned = false;
  await new Promise<void>((resolve) => {
    calls.to(targetOf([])).call(exchangeOf(), requestOf(), () => {
      assert.ok(returned);
      resolve();
    });
    returned = true;
  });
  const cut = Promise.withResolvers<void>();
  const come = Promise.withResolvers<void>();
  const port = await listen((message) => {
    message.socket.once('close', cut.resolve);
    come.resolve();
  });
  const origin = exchangeOf();
  const running = calls.to(targetOf([port])).call(origin, requestOf(), () => assert.fail('it was given up'));
  await come.promise;
  running.abort();
  running.abort();
  await cut.promise;
  assert.deepEqual(
    origin.calls?.map(({ status, reason }) => [status, reason]),
    [[0, 'abandoned']],
  );
  assert.equal(proxy.stopExchanges(), 0);
});

test('bodies that are compressed unasked are decoded, as far as they may go', async () => {
  const bodies: Record<string, Buffer> = { '/good': gzipSync('decoded'), '/bomb': gzipSync(Buffer.alloc(1001)), '/lie': Buffer.from('plain') };
  const port = await listen((message, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bodies[message.url as string]));
  const target = targetOf([port]);
  const good = await call(target, { path: '/good' });
  assert.ok(good.failure === undefined);
  assert.deepEqual([String(good.body), good.fields.get('content-encoding')], ['decoded', undefined]);
  const raw = await call(target, { path: '/good', decode: false });
  assert.deepEqual([raw.failure === undefined && raw.body, raw.failure === undefined && raw.fields.get('content-encoding')], [bodies['/good'], 'gzip']);
  assert.equal(reasonOf(await call(target, { path: '/bomb' })), '502 call_answer_not_decoded');
  assert.equal(reasonOf(await call(target, { path: '/lie' })), '502 call_answer_not_decoded');
});

test('zstd: a frame that wants a window of more than 8 MiB is not decoded', async () => {
  /** One raw block in a window of so many times 1 KiB, as a power of two (RFC 8878 section 3.1.1). */
  const frame = (power: number): Buffer => Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, power << 3, (7 << 3) | 1, 0, 0]), Buffer.from('decoded')]);
  const port = await listen((message, response) => response.writeHead(200, { 'content-encoding': 'zstd' }).end(frame(Number(message.url?.slice(1)))));
  const target = targetOf([port]);
  const good = await call(target, { path: '/13' });
  assert.equal(good.failure === undefined && String(good.body), 'decoded');
  assert.equal(reasonOf(await call(target, { path: '/14' })), '502 call_answer_not_decoded');
});

test('calls are retried and hedged as requests are; retries count for the route of their exchange', async () => {
  let asked = 0;
  const flaky = await listen((_message, response) => {
    asked++;
    response.writeHead(asked < 3 ? 503 : 200).end('third');
  });
  const origin = exchangeOf();
  origin.routeId = 'ApiRoute/shop/a/0';
  const retried = await call(targetOf([flaky], { retry: RETRY }), {}, origin);
  assert.deepEqual([reasonOf(retried), asked], ['answered 200', 3]);
  assert.equal(metrics.route('ApiRoute/shop/a/0').retries.get('503'), 2);
  const silent = await listen(() => {});
  const quick = await listen((_message, response) => response.end('quick'));
  const hedge = { after: 10, max: 1 };
  const answers = await Promise.all([1, 2].map(() => call(targetOf([silent, quick], { hedge }))));
  assert.deepEqual(
    answers.map((answer) => answer.failure === undefined && String(answer.body)),
    ['quick', 'quick'],
  );
});

test('by HTTP/2, trailers come with the answer', async () => {
  const server = createHttp2Server();
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '5' }));
    stream.end('message');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const target = targetOf([(server.address() as AddressInfo).port], {}, { protocol: 'H2C' });
  const outcome = await call(target, { method: 'POST', body: Buffer.from('body') });
  assert.deepEqual(
    [outcome.failure === undefined && String(outcome.body), outcome.failure === undefined && outcome.trailers?.get('grpc-status')],
    ['message', '5'],
  );
  upstreams.remove([target.upstream as string]);
  server.close();
});

test('what fails in a callback fails the exchange, and not the worker', async () => {
  const failed = Promise.withResolvers<unknown>();
  const origin: Exchange = exchangeOf();
  origin.fail = failed.resolve;
  const fault = new Error('a fault of ours');
  calls.to(targetOf([])).call(origin, requestOf(), () => {
    throw fault;
  });
  assert.equal(await failed.promise, fault);
});
