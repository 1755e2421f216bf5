import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Exchange, type RequestHead } from '../exchange/exchange.ts';
import { Fields } from '../exchange/fields.ts';
import { type ClientStream, NO_BODY } from '../exchange/streams.ts';
import { type Filter, Verdict } from '../policies/policy.ts';
import { WorkerMetrics } from '../telemetry/worker-metrics.ts';
import { ClientIdentity } from './client-identity.ts';
import type { CompiledRoute } from './compiled-route.ts';
import { Proxy } from './proxy.ts';
import { RetryBudget } from './retry-budget.ts';

/** The client's side, which remembers what it was told to answer. */
class RecordedStream implements Partial<ClientStream> {
  readonly requestBody = NO_BODY;
  responded = false;
  status = 0;

  respondText(status: number): void {
    this.responded = true;
    this.status = status;
  }
}

interface Outcome {
  readonly status: number;
  readonly errors: readonly string[];
  readonly metrics: WorkerMetrics;
  readonly stopped: number;
}

/** One exchange on a route with that filter; what is under way after `start` is stopped. */
function run(filter: Filter): Outcome {
  const errors: string[] = [];
  const metrics = new WorkerMetrics();
  const route = {
    route: { id: 'ApiRoute/default/a/0', httpsRedirect: false, timeouts: { request: 1000, backendRequest: 1000, idle: 1000 } },
    paths: [],
    requestFilters: [filter],
    responseFilters: [filter],
    backends: [],
    picker: { pick: () => undefined, pickAffine: () => undefined },
    metrics: metrics.route('ApiRoute/default/a/0'),
  } as unknown as CompiledRoute;
  const runtime = { version: 1, router: { find: () => ({ value: route, matchIndex: 0 }) } };
  const proxy = new Proxy(runtime, new ClientIdentity([]), metrics, undefined, new RetryBudget(RetryBudget.allocate(1), 1, 0), (_level, message) =>
    errors.push(message),
  );
  const stream = new RecordedStream();
  const head: RequestHead = {
    method: 'GET',
    path: '/',
    query: '',
    scheme: 'http',
    authority: 'a',
    host: 'a',
    protocol: 'HTTP/1.1',
    fields: new Fields(),
    headBytes: 1,
  };
  const peer = { remoteAddress: '127.0.0.1', remotePort: 1, localPort: 2, tls: undefined };
  proxy.onExchange(new Exchange(head, stream as unknown as ClientStream, peer, performance.now()));
  const stopped = proxy.stopExchanges();
  proxy.deadlines.close();
  assert.equal(proxy.deadlines.size, 0);
  return { status: stream.status, errors, metrics, stopped };
}

function broken(): never {
  throw new Error('a fault of ours');
}

test('a request filter that throws costs its exchange, with 500 and a log line, and nothing else', () => {
  const { status, errors, stopped } = run({ policy: 'broken', describe: () => '', onRequest: broken });
  assert.deepEqual([status, errors, stopped], [500, ['exchange failed'], 0]);
});

test('so does a response filter, whose exchange is answered without it', () => {
  const { status, errors, stopped } = run({ policy: 'broken', describe: () => '', onResponse: broken });
  assert.deepEqual([status, errors, stopped], [500, ['exchange failed'], 0]);
});

test('an exchange that is under way when the process ends is answered and counted', () => {
  const { status, errors, stopped, metrics } = run({ policy: 'waiting', describe: () => '', onRequest: () => Verdict.Waiting });
  assert.deepEqual([status, errors, stopped], [503, [], 1]);
  assert.deepEqual([...metrics.route('ApiRoute/default/a/0').requests.values()], [1]);
});

test('one whose filter fails at that moment does not keep the others', () => {
  const { status, errors, stopped } = run({ policy: 'broken', describe: () => '', onRequest: () => Verdict.Waiting, onResponse: broken });
  assert.deepEqual([status, errors, stopped], [500, ['exchange failed'], 1]);
});
