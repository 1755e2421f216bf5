import { performance } from 'node:perf_hooks';
import { Exchange, type FetchStream, type Reply, type RunningFetch } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import type { BodyLength } from '../exchange/streams.ts';
import type { CompiledRoute } from './compiled-route.ts';
import { ExchangeLife } from './exchange-life.ts';
import type { Proxy } from './proxy.ts';
import { render } from './replies.ts';
import type { RoutedExchange } from './routed-exchange.ts';
import type { Try } from './try.ts';

/**
 * The life of a request that a filter sends in the place of its exchange's own, to the same route's backends: it does not end with
 * that exchange, and counts for upstreams, and not for the route. Response filters are for those that its answer goes to.
 */
export class FetchLife extends ExchangeLife implements RunningFetch {
  readonly #stream: FetchStream;
  readonly #next: number;
  #begun = false;

  constructor(proxy: Proxy, origin: RoutedExchange, fields: Fields, stream: FetchStream) {
    const { path, query, scheme, authority, host, protocol, peer } = origin.exchange;
    const head = { method: 'GET', path, query, scheme, authority, host, protocol, fields, headBytes: 0 };
    const exchange = new Exchange(head, stream, peer, performance.now());
    exchange.clientAddress = origin.exchange.clientAddress;
    exchange.requestId = origin.exchange.requestId;
    exchange.traceId = origin.exchange.traceId;
    exchange.span = origin.exchange.span;
    exchange.upstreamPath = origin.exchange.upstreamPath;
    exchange.upstreamQuery = origin.exchange.upstreamQuery;
    exchange.upstreamHost = origin.exchange.upstreamHost;
    exchange.routeId = origin.exchange.routeId;
    exchange.matchedPath = origin.exchange.matchedPath;
    exchange.identity = origin.exchange.identity;
    super(proxy, exchange);
    this.route = origin.route;
    this.#stream = stream;
    this.#next = origin.filtersPassed;
  }

  /** Sets it going. */
  run(): void {
    const { startedAt } = this.exchange;
    this.requestDeadline = startedAt + (this.route as CompiledRoute).route.timeouts.request;
    this.lastActivity = startedAt;
    try {
      this.runFiltersFrom(this.#next);
    } catch (error) {
      this.fail(error);
    }
    this.#begun = true;
  }

  resume(): void {
    this.onClientWritable();
  }

  abort(): void {
    this.onClientGone();
  }

  /** Those that it is for end by themselves. */
  override stop(): boolean {
    return false;
  }

  override answer(reply: Reply): void {
    this.finish(reply.status, reply.reason);
    // Nobody hears of it before `fetch` has returned.
    if (this.#begun) this.#tell(reply);
    else queueMicrotask(() => this.#tell(reply));
  }

  #tell(reply: Reply): void {
    if (reply.cacheable !== true) {
      this.#stream.onReply(reply);
      return;
    }
    const { status, fields, body } = render(reply, this.exchange.requestId, false);
    const bytes = typeof body === 'string' ? Buffer.from(body, 'latin1') : body;
    this.#stream.judge(status, fields, bytes.length);
    this.#stream.respond(status, fields, bytes.length, bytes, 0, bytes.length, true, true);
  }

  protected override get changesAnswers(): boolean {
    return false;
  }

  protected override filterResponse(): void {}

  /** A cookie that binds a client to its endpoint is for that client alone. */
  protected override stampAnswer(attempt: Try, status: number, fields: Fields, length: BodyLength): void {
    if (!this.#stream.judge(status, fields, length)) attempt.addressed.backend.affinity?.stamp(this.exchange, attempt.endpoint, fields);
  }

  protected override record(): void {}
}
