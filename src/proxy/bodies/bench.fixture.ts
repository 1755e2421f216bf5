/** For tests of filters that change bodies: one route of a worker with filters of the test's own, on sockets, to a backend of the test's own. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after } from 'node:test';
import type { BodySink, BodyStage, StagedBody } from '../../exchange/bodies.ts';
import type { Fields } from '../../exchange/fields.ts';
import { ServerConnection } from '../../http1/server-connection.ts';
import { serverOptions } from '../../http1/server-options.fixture.ts';
import { ServerConnection as Http2ServerConnection } from '../../http2/server-connection.ts';
import type { Filter } from '../../policies/policy.ts';
import type { Backend, Route } from '../../snapshot/route.ts';
import type { AccessRecord } from '../../telemetry/access-line.ts';
import type { AccessLog } from '../../telemetry/access-log.ts';
import { WorkerMetrics } from '../../telemetry/worker-metrics.ts';
import { BackendPicker } from '../../upstream/backend-picker.ts';
import { endpoint, fakeContext, upstream } from '../../upstream/fixtures.ts';
import { Upstreams } from '../../upstream/upstreams.ts';
import { createWire } from '../../wire/index.ts';
import { BackendConnector } from '../backend-connector.ts';
import { ClientIdentity } from '../client-identity.ts';
import type { CompiledRoute } from '../compiled-route.ts';
import { Proxy } from '../proxy.ts';
import { compileRecovery } from '../recovery-plan.ts';
import { RetryBudget } from '../retry-budget.ts';
import { BackendTlsStore } from '../tls/backend-tls-store.ts';

export interface SeenRequest {
  readonly message: IncomingMessage;
  readonly body: string;
}

/** What stands between clients and `backend`. */
export interface Bench {
  /** Ports of the two protocols. */
  readonly http1: number;
  readonly http2: number;
  readonly seen: SeenRequest[];
  /** What the access log has. */
  readonly lines: AccessRecord[];
  /** Waits for that many lines of the log. */
  untilLines(count: number): Promise<void>;
  readonly faults: readonly string[];
  filters: readonly Filter[];
  route: Partial<Route>;
  mirror: boolean;
  /** Called with each request and its body, once that is whole. */
  backend: (request: SeenRequest, response: ServerResponse) => void;
}

const wire = await createWire('stream');

export async function startBench(): Promise<Bench> {
  const faults: string[] = [];
  const metrics = new WorkerMetrics();
  const lines: AccessRecord[] = [];
  let wake = (): void => {};
  const log = {
    write: (line: AccessRecord) => {
      lines.push(line);
      wake();
    },
  } as unknown as AccessLog;
  const untilLines = async (count: number): Promise<void> => {
    while (lines.length < count) await new Promise<void>((resolve) => (wake = resolve));
  };
  const found = { value: undefined as unknown as CompiledRoute, matchIndex: 0 };
  const budget = new RetryBudget(RetryBudget.allocate(1), 1, 0);
  const proxy = new Proxy({ version: 1, router: { find: () => found } }, new ClientIdentity([]), metrics, log, budget, (_level, message, { error }) =>
    faults.push(`${message}: ${error}`),
  );
  const connector = new BackendConnector(wire, proxy.deadlines, new BackendTlsStore(() => {}));
  const upstreams = new Upstreams({ ...fakeContext(), connector, deadlines: proxy.deadlines, metrics });
  const seen: SeenRequest[] = [];
  const server = await listen((message, response) => {
    const chunks: Buffer[] = [];
    message.on('error', () => {});
    message.on('data', (chunk: Buffer) => chunks.push(chunk));
    message.on('end', () => {
      const request = { message, body: Buffer.concat(chunks).toString('latin1') };
      seen.push(request);
      bench.backend(request, response);
    });
  });
  const key = 'shop/web/80';
  const { port } = server.address() as AddressInfo;
  upstreams.put({ upstreams: new Map([[key, upstream({ key, service: 'web' })]]), endpoints: new Map([[key, [endpoint(0, { address: '127.0.0.1', port })]]]) });
  const options = serverOptions(proxy.deadlines);
  const at = { host: '127.0.0.1', port: 0, reusePort: false, maxConnections: 100 };
  const compile = (): void => {
    found.value = compiledRoute(bench, upstreams, metrics, key);
  };
  const http1 = await wire.listen(at, (connection) => {
    compile();
    new ServerConnection(connection, options, proxy);
  });
  const http2 = await wire.listen(at, (connection) => {
    compile();
    new Http2ServerConnection(connection, options, proxy);
  });
  const bench: Bench = {
    ...{ http1: http1.port, http2: http2.port, seen, faults, lines, untilLines },
    ...{ filters: [], route: {}, mirror: false, backend: (_request, response) => response.end('ok') },
  };
  after(async () => {
    upstreams.close();
    proxy.deadlines.close();
    server.closeAllConnections();
    server.close();
    await Promise.all([http1.close(), http2.close()]);
  });
  return bench;
}

async function listen(listener: (message: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** Its filters in the order in which they see a request, as the bench has them now. */
function compiledRoute({ filters, route: change, mirror }: Bench, upstreams: Upstreams, metrics: WorkerMetrics, key: string): CompiledRoute {
  const backend: Backend = { upstream: key, weight: 1, backup: false };
  const route: Route = {
    ...{ id: 'r', kind: 'ApiRoute', namespace: '', name: '', rule: '', hosts: [], matches: [], rank: 0 },
    ...{ isDefaultBackend: false, httpsRedirect: false, filters: {}, backends: [backend] },
    timeouts: { request: 10_000, backendRequest: 10_000, idle: 10_000 },
    ...change,
  };
  return {
    ...{ route, paths: [], backends: [{ requestEdits: undefined, responseFilter: undefined }], metrics: metrics.route('r') },
    requestFilters: filters.filter((filter) => filter.onRequest !== undefined),
    responseFilters: filters.filter((filter) => filter.onResponse !== undefined || filter.onResponseBody !== undefined).reverse(),
    changesAnswers: filters.some((filter) => filter.onResponseBody !== undefined),
    picker: new BackendPicker(route.backends, upstreams),
    recovery: compileRecovery(route, upstreams),
    mirror: mirror ? upstreams.get(key) : undefined,
  };
}

/** Turns text into capitals, a turn of the loop later for each piece, one piece at a time; remembers the most that it has held. */
export class Capitals implements BodyStage {
  static live = 0;
  static maxHeld = 0;
  readonly #sink: BodySink;
  readonly #waiting: Buffer[] = [];
  #held = 0;
  #busy = false;
  #blocked = false;
  #sourceWaits = false;
  #end: { trailers: Fields | undefined } | undefined = undefined;
  #closed = false;

  constructor(sink: BodySink) {
    this.#sink = sink;
    Capitals.live++;
  }

  write(bytes: Buffer, start: number, end: number, _stable: boolean): boolean {
    assert.equal(this.#closed, false, 'written to after close');
    this.#waiting.push(Buffer.from(bytes.toString('latin1', start, end).toUpperCase(), 'latin1'));
    this.#held += end - start;
    Capitals.maxHeld = Math.max(Capitals.maxHeld, this.#held);
    this.#step();
    this.#sourceWaits = true;
    return false;
  }

  end(trailers: Fields | undefined): void {
    this.#end = { trailers };
    this.#step();
  }

  onWritable(): void {
    this.#blocked = false;
    this.#step();
  }

  close(): void {
    this.#closed = true;
    Capitals.live--;
  }

  #step(): void {
    if (this.#busy || this.#blocked) return;
    this.#busy = true;
    setImmediate(() => {
      this.#busy = false;
      if (this.#closed) return;
      const next = this.#waiting.shift();
      if (next !== undefined) {
        this.#held -= next.length;
        this.#blocked = !this.#sink.write(next, 0, next.length, true);
      }
      if (this.#waiting.length > 0) this.#step();
      else if (this.#end !== undefined) this.#sink.end(this.#end.trailers);
      else if (this.#sourceWaits && !this.#blocked) {
        this.#sourceWaits = false;
        this.#sink.resume();
      }
    });
  }
}

export const capitals: StagedBody = { stage: (sink) => new Capitals(sink) };
