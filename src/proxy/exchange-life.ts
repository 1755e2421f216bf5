/**
 * The life of one exchange: route, filters, a try at an endpoint (and a second one where that is safe), the answer, the log
 * line. It sits between the client's stream and the upstream's, and holds back whichever side is faster.
 */
// The global of that name is looked up anew at each use.
import { performance } from 'node:perf_hooks';
import type { Timed } from '../exchange/deadlines.ts';
import type { Exchange, Reply } from '../exchange/exchange.ts';
import { FieldKind, maskOf } from '../exchange/field-names.ts';
import type { Fields } from '../exchange/fields.ts';
import { grpcTimeout } from '../exchange/grpc.ts';
import { type BodyLength, type ClientHandler, isEmptyBody, type UpstreamFailure, type UpstreamStream } from '../exchange/streams.ts';
import { Verdict } from '../policies/policy.ts';
import type { PickedBackend } from '../upstream/backend-picker.ts';
import type { EndpointState } from '../upstream/endpoint-state.ts';
import { FAILED } from '../upstream/health/worker-health.ts';
import type { CompiledRoute } from './compiled-route.ts';
import { logExchange } from './log-exchange.ts';
import type { Proxy } from './proxy.ts';
import * as replies from './replies.ts';
import { defaultRetry, Retry } from './retry.ts';
import { Try } from './try.ts';
import { Tunnel, type TunnelOwner } from './tunnel/tunnel.ts';
import { type Addressed, addressTo, settleHost } from './upstream-request.ts';

const REQUEST_ID = maskOf(FieldKind.XRequestId);

/** Status that the log and metrics show for a client that left before its answer; nginx's users know it. */
const CLIENT_GONE = 499;

export class ExchangeLife implements ClientHandler, TunnelOwner, Timed {
  readonly exchange: Exchange;
  readonly #proxy: Proxy;
  route: CompiledRoute | undefined = undefined;
  #nextFilter = 0;
  #done = false;
  #filtersFailed = false;

  /** The try under way. */
  #try: Try | undefined = undefined;
  /** Where the request went, or was to go, last. */
  backend: PickedBackend | undefined = undefined;
  endpoint: EndpointState | undefined = undefined;
  attempts = 0;
  #responding = false;
  /** What it has become, once both sides have switched protocols. */
  #tunnel: Tunnel | undefined = undefined;
  /** Some of the request's body has been read, so that it can't be sent again. */
  #bodyTaken = false;
  #requestEnded: boolean;
  #requestPaused = false;

  // Time-outs, on the clock of performance.now().
  deadline = Number.POSITIVE_INFINITY;
  deadlineIndex = -1;
  #requestDeadline = Number.POSITIVE_INFINITY;
  #lastActivity = 0;

  // For the log.
  requestBytes = 0;
  responseBytes = 0;
  status = 0;
  reason = '';
  upstreamStatus = 0;
  upstreamMs = 0;

  constructor(proxy: Proxy, exchange: Exchange) {
    this.#proxy = proxy;
    this.exchange = exchange;
    this.#requestEnded = isEmptyBody(exchange.stream.requestBody);
  }

  start(): void {
    const exchange = this.exchange;
    this.#proxy.identity.stamp(exchange);
    const found = this.#proxy.runtime.router.find(exchange);
    if (found === undefined) {
      this.#reply(replies.noRoute);
      return;
    }
    const route = found.value;
    this.route = route;
    exchange.matchedPath = route.paths[found.matchIndex];
    const timeouts = route.route.timeouts;
    this.#requestDeadline = exchange.startedAt + timeouts.request;
    if (exchange.isGrpc)
      this.#requestDeadline = Math.min(this.#requestDeadline, exchange.startedAt + (grpcTimeout(exchange.requestFields) ?? timeouts.request));
    this.#lastActivity = exchange.startedAt;
    if (route.route.httpsRedirect && exchange.scheme === 'http') {
      this.#reply(replies.httpsRedirect(exchange));
      return;
    }
    this.#runFilters();
  }

  #runFilters(): void {
    const filters = (this.route as CompiledRoute).requestFilters;
    while (this.#nextFilter < filters.length) {
      const filter = filters[this.#nextFilter++];
      const verdict = filter?.onRequest?.(this.exchange) ?? Verdict.Continue;
      if (verdict === Verdict.Continue) continue;
      if (verdict === Verdict.Answered) {
        this.#reply(this.exchange.reply ?? replies.internalError);
      } else {
        this.exchange.resume = () => this.#resume();
        this.deadline = this.#requestDeadline;
        this.#proxy.deadlines.add(this);
      }
      return;
    }
    this.#forward();
  }

  #resume(): void {
    this.exchange.onAbandoned = undefined;
    if (this.#done) return;
    try {
      if (this.exchange.reply !== undefined) this.#reply(this.exchange.reply);
      else this.#runFilters();
    } catch (error) {
      this.fail(error);
    }
  }

  /** A fault of ours, in a filter most likely: it costs this exchange, and not the worker with all the others. */
  fail(error: unknown): void {
    this.#proxy.log('error', 'exchange failed', {
      requestId: this.exchange.requestId,
      route: this.route?.route.id,
      error: error instanceof Error ? error.stack : String(error),
    });
    if (this.#done) return;
    this.#cancelTry();
    if (this.exchange.stream.responded) {
      this.exchange.stream.abort();
      this.#finish(this.status, 'internal_error');
      return;
    }
    // The response filters may be what failed.
    this.#filtersFailed = true;
    this.#reply(replies.internalError);
  }

  // --- towards the backend ---

  #forward(): void {
    const exchange = this.exchange;
    const picker = (this.route as CompiledRoute).picker;
    const kept = picker.pickAffine(exchange);
    const backend = kept === undefined ? picker.pick() : kept.backend;
    if (backend === undefined) {
      this.backend = picker.heaviest;
      // A rule without any, whose redirect was skipped, has nothing to serve.
      this.#reply((this.route as CompiledRoute).backends.length === 0 ? replies.noBackend : replies.noEndpoint);
      return;
    }
    this.backend = backend;
    if (backend.upstream === undefined) {
      this.#reply(backend.spec.unresolvedStatus === 503 ? replies.unresolvedBackend503 : replies.unresolvedBackend500);
      return;
    }
    const endpoint = kept === undefined ? backend.upstream.pick(exchange, undefined) : kept.endpoint;
    if (endpoint === undefined) {
      this.#reply(replies.noEndpoint);
      return;
    }
    settleHost(exchange, backend.upstream.upstream);
    const refusal = this.#begin(addressTo(exchange, this.route as CompiledRoute, backend), endpoint, false);
    if (refusal !== undefined) this.#reply(refusal);
  }

  /** @param fresh on a new connection, for a try after another @returns why it may not begin, in which case nothing was done */
  #begin(addressed: Addressed, endpoint: EndpointState, fresh: boolean): Reply | undefined {
    const now = performance.now();
    const { timeouts } = (this.route as CompiledRoute).route;
    const attempt = new Try(this, addressed, endpoint, now);
    const stream = attempt.begin(fresh);
    if (stream === undefined) return attempt.refusal;
    this.#try = attempt;
    this.backend = addressed.backend;
    this.endpoint = endpoint;
    this.attempts++;
    this.#lastActivity = now;
    if (this.#requestEnded) attempt.headDeadline = now + timeouts.backendRequest;
    this.deadline = Math.min(this.#requestDeadline, attempt.headDeadline);
    if (!this.#requestEnded) this.deadline = Math.min(this.deadline, now + timeouts.idle);
    this.#proxy.deadlines.add(this);
    // Until the connection is up the body stays with the client, so that another endpoint can still have it whole.
    if (!this.#requestEnded && stream.connected) this.exchange.stream.resumeRequestBody();
    return undefined;
  }

  onRequestData(bytes: Buffer, start: number, end: number, stable: boolean): void {
    if (this.#tunnel !== undefined) {
      this.#tunnel.onClientData(bytes, start, end, stable);
      return;
    }
    const stream = this.#try?.stream;
    if (this.#done || stream === undefined) return;
    this.#bodyTaken = true;
    this.requestBytes += end - start;
    this.#lastActivity = performance.now();
    if (!stream.writeBody(bytes, start, end, stable)) {
      this.#requestPaused = true;
      this.exchange.stream.pauseRequestBody();
    }
  }

  onUpstreamWritable(): void {
    if (this.#done || this.#requestEnded) return;
    this.#lastActivity = performance.now();
    this.#requestPaused = false;
    this.exchange.stream.resumeRequestBody();
  }

  onRequestEnd(trailers: Fields | undefined): void {
    if (this.#tunnel !== undefined) {
      this.#tunnel.onClientEnd();
      return;
    }
    this.#requestEnded = true;
    const attempt = this.#try;
    if (this.#done || attempt?.stream === undefined) return;
    if (attempt.awaitingHead) {
      attempt.headDeadline = performance.now() + (this.route as CompiledRoute).route.timeouts.backendRequest;
      this.deadline = Math.min(this.#requestDeadline, attempt.headDeadline);
    }
    attempt.stream.endBody(trailers);
  }

  onRequestError(status: number, reason: string, responseBytes: number): void {
    if (this.#done) return;
    this.responseBytes += responseBytes;
    this.#cancelTry();
    this.#finish(status, reason);
  }

  onClientGone(): void {
    if (this.#done) return;
    if (this.#tunnel !== undefined) {
      this.#tunnel.onClientGone();
      return;
    }
    this.#cancelTry();
    this.#finish(this.#responding ? this.status : CLIENT_GONE, 'client_gone');
  }

  // --- towards the client ---

  onInformational(status: number, fields: Fields): void {
    if (!this.#done && !this.#responding) this.exchange.stream.inform(status, fields);
  }

  /** The head of the answer, as `UpstreamHandler.onResponse` has it. @param now `performance.now()` */
  onAnswer(
    attempt: Try,
    now: number,
    status: number,
    fields: Fields,
    length: BodyLength,
    first: Buffer | undefined,
    start: number,
    end: number,
    stable: boolean,
    last: boolean,
  ): void {
    this.#responding = true;
    this.status = status;
    this.upstreamStatus = status;
    this.upstreamMs = attempt.latencyMs;
    try {
      attempt.addressed.compiled?.responseFilter?.onResponse?.(this.exchange, status, fields);
      attempt.addressed.backend.affinity?.stamp(this.exchange, attempt.endpoint, fields);
      this.#filterResponse(status, fields);
    } catch (error) {
      this.fail(error);
      return;
    }
    this.responseBytes = end - start;
    const writable = this.exchange.stream.respond(status, fields, length, first, start, end, stable, last);
    if (last) {
      this.#finish(status, '', now);
      return;
    }
    if (!writable) attempt.stream?.pauseResponse();
    if (status === 101) {
      this.#beginTunnel(attempt, first, start, end);
      return;
    }
    this.#lastActivity = now;
    this.deadline = Math.min(this.#requestDeadline, now + (this.route as CompiledRoute).route.timeouts.idle);
  }

  /** Both sides have switched protocols: from here on bytes go both ways until both have ended. */
  #beginTunnel(attempt: Try, first: Buffer | undefined, start: number, end: number): void {
    const { deadlines } = this.#proxy;
    const { idle, tunnel } = (this.route as CompiledRoute).route.timeouts;
    const { stream, startedAt } = this.exchange;
    deadlines.remove(this);
    const until = tunnel === undefined ? Number.POSITIVE_INFINITY : startedAt + tunnel;
    this.#tunnel = new Tunnel(stream, attempt.stream as UpstreamStream, this, deadlines, { idle, until });
    attempt.tunnel = this.#tunnel;
    if (first !== undefined) this.#tunnel.sentAlong(first, start, end);
    stream.resumeRequestBody();
    this.#proxy.tunnels.add(this.#tunnel);
  }

  onTunnelOver(tunnel: Tunnel, reason: string, failed: boolean): void {
    this.#proxy.tunnels.remove(tunnel);
    this.#try?.endTunnel(failed);
    this.#finish(this.status, reason);
  }

  onAnswerData(attempt: Try, bytes: Buffer, start: number, end: number, stable: boolean): void {
    this.responseBytes += end - start;
    this.#lastActivity = performance.now();
    if (!this.exchange.stream.writeBody(bytes, start, end, stable)) attempt.stream?.pauseResponse();
  }

  onClientWritable(): void {
    if (this.#done) return;
    if (this.#tunnel !== undefined) {
      this.#tunnel.onClientWritable();
      return;
    }
    this.#lastActivity = performance.now();
    this.#try?.stream?.resumeResponse();
  }

  onAnswerEnd(trailers: Fields | undefined): void {
    this.exchange.stream.endBody(trailers);
    this.#finish(this.status, '');
  }

  onTryFailed(attempt: Try, failure: UpstreamFailure, requestBytesSent: boolean, reusedConnection: boolean, cause: Error | undefined): void {
    this.upstreamMs = attempt.latencyMs;
    if (this.#responding) {
      this.exchange.stream.abort();
      this.#finish(this.status, failure === 'malformed' ? 'upstream_malformed' : 'upstream_reset');
      return;
    }
    if (this.#retry(attempt, failure, requestBytesSent, reusedConnection)) return;
    this.#reply(replies.upstreamFailure(failure, cause));
  }

  #retry({ addressed, endpoint: failed }: Try, failure: UpstreamFailure, requestBytesSent: boolean, reusedConnection: boolean): boolean {
    const route = this.route as CompiledRoute;
    if (this.attempts > 1 || this.#bodyTaken) return false;
    const where = defaultRetry(failure, requestBytesSent, reusedConnection, this.exchange);
    if (where === Retry.Nowhere) return false;
    let to = addressed;
    let endpoint = addressed.backend.upstream?.pick(this.exchange, failed);
    if (endpoint === undefined || (endpoint === failed && where === Retry.OtherEndpoint)) {
      const other = route.picker.pickOther(this.exchange, addressed.backend, failed);
      if (other === undefined) return false;
      to = addressTo(this.exchange, route, other.backend);
      endpoint = other.endpoint;
    }
    if (this.#begin(to, endpoint, true) !== undefined) return false;
    route.metrics.countRetry(failure);
    return true;
  }

  // --- time-outs ---

  onDeadline(now: number): void {
    if (this.#done) return;
    const timeouts = (this.route as CompiledRoute).route.timeouts;
    const headDeadline = this.#try?.awaitingHead === true ? this.#try.headDeadline : Number.POSITIVE_INFINITY;
    const idleDeadline = this.#responding || !this.#requestEnded ? this.#lastActivity + timeouts.idle : Number.POSITIVE_INFINITY;
    const waitingForClient = !this.#requestEnded && !this.#requestPaused && this.#try?.stream?.connected === true;
    if (now >= this.#requestDeadline) this.#expire('request_timeout', waitingForClient);
    else if (now >= headDeadline) this.#expire('backend_request_timeout', false);
    else if (now >= idleDeadline) this.#expire('idle_timeout', waitingForClient);
    else this.deadline = Math.min(this.#requestDeadline, headDeadline, idleDeadline);
  }

  #expire(reason: string, clientIsSlow: boolean): void {
    if (!clientIsSlow && this.#try?.awaitingHead === true) this.#try.cancel(FAILED);
    this.#cutShort(reason, clientIsSlow ? replies.slowRequest : replies.gatewayTimeout(reason));
  }

  /** The process ends, and can't wait any longer. */
  stop(): void {
    if (this.#done) return;
    try {
      this.#cutShort(replies.stopping.reason, replies.stopping);
    } catch (error) {
      this.fail(error);
    }
  }

  #cutShort(reason: string, reply: Reply): void {
    this.#cancelTry();
    if (this.#responding) {
      this.exchange.stream.abort();
      this.#finish(this.status, reason);
    } else {
      this.#reply(reply);
    }
  }

  // --- the end ---

  /** Answers by the gateway itself; the response filters see it as any other answer. */
  #reply(reply: Reply): void {
    const exchange = this.exchange;
    const { status, fields, text } = replies.render(reply, exchange.requestId, exchange.isGrpc);
    this.#filterResponse(status, fields);
    this.responseBytes = text.length;
    exchange.stream.respondText(status, fields, text);
    this.#finish(status, reply.reason);
  }

  #filterResponse(status: number, fields: Fields): void {
    fields.removeKinds(REQUEST_ID);
    fields.appendLines(`X-Request-Id: ${this.exchange.requestId}\r\n`, REQUEST_ID);
    const filters = this.route?.responseFilters;
    if (filters === undefined || this.#filtersFailed) return;
    for (let index = 0; index < filters.length; index++) filters[index]?.onResponse?.(this.exchange, status, fields);
  }

  #cancelTry(): void {
    this.#try?.cancel();
    this.exchange.onAbandoned?.();
    this.exchange.onAbandoned = undefined;
  }

  #finish(status: number, reason: string, now = performance.now()): void {
    this.#done = true;
    this.status = status;
    this.reason = reason;
    this.#proxy.deadlines.remove(this);
    const durationMs = now - this.exchange.startedAt;
    (this.route?.metrics ?? this.#proxy.unrouted).count(this.exchange.method, status, durationMs / 1000);
    if (this.#proxy.accessLog !== undefined) logExchange(this.#proxy.accessLog, this, durationMs);
  }
}
