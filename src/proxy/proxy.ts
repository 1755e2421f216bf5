import { Deadlines } from '../exchange/deadlines.ts';
import type { Exchange, FetchStream } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import { GrpcKind, grpcKind } from '../exchange/grpc.ts';
import { newRequestId } from '../exchange/request-id.ts';
import type { ClientHandler, ExchangeSink, Refusal } from '../exchange/streams.ts';
import type { AccessLog } from '../telemetry/access-log.ts';
import type { RouteMetrics } from '../telemetry/route-metrics.ts';
import type { Tracer } from '../telemetry/tracing/tracer.ts';
import { NO_ROUTE, type WorkerMetrics } from '../telemetry/worker-metrics.ts';
import type { ClientIdentity } from './client-identity.ts';
import { ExchangeLife } from './exchange-life.ts';
import { FetchLife } from './fetch-life.ts';
import { GrpcWebStream } from './grpc-web.ts';
import { Mirrors } from './mirrors.ts';
import type { Overload } from './overload/overload.ts';
import * as replies from './replies.ts';
import type { RetryBudget } from './retry-budget.ts';
import type { RoutedExchange } from './routed-exchange.ts';
import type { Runtime } from './runtime.ts';
import { ClientValidations } from './tls/client-validations.ts';
import { Tunnels } from './tunnel/tunnels.ts';

export type ProxyLog = (level: 'error', message: string, fields: Readonly<Record<string, unknown>>) => void;

/** Takes the exchanges of one worker's listeners and runs them by the worker's newest runtime. */
export class Proxy implements ExchangeSink {
  readonly deadlines: Deadlines;
  readonly identity: ClientIdentity;
  readonly metrics: WorkerMetrics;
  readonly accessLog: AccessLog | undefined;
  readonly log: ProxyLog;
  readonly retryBudget: RetryBudget;
  readonly mirrors: Mirrors;
  /** Counts requests that no route took. */
  readonly unrouted: RouteMetrics;
  runtime: Runtime;
  /** Which hosts ask for client certificates; replaced together with the runtime. */
  clientValidations = ClientValidations.NONE;
  readonly tunnels = new Tunnels();
  readonly overload: Overload | undefined;
  /** Absent: no trace is recorded. */
  readonly tracer: Tracer | undefined;

  constructor(
    runtime: Runtime,
    identity: ClientIdentity,
    metrics: WorkerMetrics,
    accessLog: AccessLog | undefined,
    retryBudget: RetryBudget,
    log: ProxyLog,
    overload?: Overload,
    tracer?: Tracer,
  ) {
    this.overload = overload;
    this.tracer = tracer;
    this.runtime = runtime;
    this.deadlines = new Deadlines();
    this.identity = identity;
    this.metrics = metrics;
    this.accessLog = accessLog;
    this.log = log;
    this.retryBudget = retryBudget;
    this.mirrors = new Mirrors(this.deadlines, metrics);
    this.unrouted = metrics.route(NO_ROUTE);
  }

  onExchange(exchange: Exchange): ClientHandler {
    const kind = grpcKind(exchange.method, exchange.requestFields);
    exchange.isGrpc = kind !== GrpcKind.None;
    const translated = kind === GrpcKind.Web || kind === GrpcKind.WebText ? new GrpcWebStream(exchange, kind) : undefined;
    const life = new ExchangeLife(this, exchange);
    const handler = translated === undefined ? life : translated.handledBy(life);
    try {
      life.start();
    } catch (error) {
      life.fail(error);
    }
    return handler;
  }

  /** See `ExchangeRunner.fetch`. */
  fetch(origin: RoutedExchange, fields: Fields, stream: FetchStream): FetchLife {
    const fetched = new FetchLife(this, origin, fields, stream);
    fetched.run();
    return fetched;
  }

  /**
   * Ends every exchange that is under way: with 503 where nothing of an answer went out, else by cutting it. Each gets its
   * line in the log and its count.
   * @returns how many there were
   */
  stopExchanges(): number {
    let stopped = this.tunnels.stop(replies.stopping.reason);
    // Whatever is under way has a deadline.
    for (const item of this.deadlines) {
      if (item instanceof ExchangeLife && item.stop()) stopped++;
    }
    return stopped;
  }

  onRefused(refusal: Refusal): void {
    const durationMs = performance.now() - refusal.startedAt;
    this.unrouted.count(refusal.method, refusal.status, durationMs / 1000);
    this.accessLog?.write({
      requestId: refusal.requestId || newRequestId(),
      clientIp: refusal.clientAddress,
      method: refusal.method,
      host: refusal.host,
      path: refusal.target,
      protocol: refusal.protocol,
      status: refusal.status,
      reason: refusal.reason,
      shadowRefusals: '',
      requestBytes: 0,
      responseBytes: refusal.responseBytes,
      durationMs,
      route: '',
      upstream: '',
      endpoint: '',
      upstreamStatus: 0,
      upstreamMs: 0,
      attempts: 0,
      userAgent: '',
      referer: '',
      traceId: '',
      tlsVersion: refusal.tls?.version ?? '',
      sni: refusal.tls?.serverName ?? '',
    });
  }
}
