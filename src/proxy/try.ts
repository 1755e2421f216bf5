import { performance } from 'node:perf_hooks';
import type { Deadlines } from '../exchange/deadlines.ts';
import type { Reply } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import type { BodyLength, UpstreamFailure, UpstreamHandler, UpstreamRequest, UpstreamStream } from '../exchange/streams.ts';
import { childOf, type SpanContext, traceparentOf } from '../exchange/trace-context.ts';
import { type CircuitBreaker, Refusal } from '../upstream/breaker/circuit-breaker.ts';
import type { EndpointState } from '../upstream/endpoint-state.ts';
import { CANCELLED, FAILED, type TryResult } from '../upstream/health/worker-health.ts';
import { TlsError } from '../wire/tls-error.ts';
import type { ExchangeLife } from './exchange-life.ts';
import { recordTry } from './record-spans.ts';
import * as replies from './replies.ts';
import { Discard, HeldAnswer, MAX_DISCARDED, type SetAside } from './set-aside.ts';
import type { Tunnel } from './tunnel/tunnel.ts';
import type { Addressed } from './upstream-request.ts';

/**
 * One try of an exchange at one endpoint: where it goes, how long it takes, and what came of it. What it hears of the backend
 * goes to the exchange, which has one try at a time or several; once over, a try is silent.
 */
export class Try implements UpstreamHandler {
  readonly addressed: Addressed;
  readonly endpoint: EndpointState;
  /** `performance.now()`. */
  readonly startedAt: number;
  /** Undefined before it begins, and once it is over. */
  stream: UpstreamStream | undefined = undefined;
  awaitingHead = true;
  /** When the answer's head is due, on the clock of performance.now(). */
  headDeadline = Number.POSITIVE_INFINITY;
  /** Until the head of its answer, or its failure; 0 before. */
  latencyMs = 0;
  /** What the exchange has become, once both sides have switched protocols. */
  tunnel: Tunnel | undefined = undefined;
  #status = 0;
  /** Why it did not begin. */
  refusal: Reply | undefined = undefined;
  /** What was sent to earlier tries is to be sent to this one, too. */
  owesBody = false;
  #aside: SetAside | undefined = undefined;
  readonly #life: ExchangeLife;
  #breaker: CircuitBreaker | undefined = undefined;
  #ticket = 0;
  /** The breaker knows how it went. */
  #settled = false;
  /** Where the exchange's trace is recorded. */
  #span: SpanContext | undefined = undefined;
  #failure = '';
  /** Tries that went before. */
  #before = 0;

  constructor(life: ExchangeLife, addressed: Addressed, endpoint: EndpointState, startedAt: number) {
    this.#life = life;
    this.addressed = addressed;
    this.endpoint = endpoint;
    this.startedAt = startedAt;
  }

  /**
   * @param fresh on a new connection, whatever the pool has
   * @returns undefined when the circuit breaker does not let it through: `refusal` says why, and nothing else was done
   */
  begin(fresh: boolean): UpstreamStream | undefined {
    const breaker = this.addressed.backend.upstream?.breaker;
    if (breaker !== undefined && !this.#admit(breaker)) return undefined;
    const { exchange } = this.#life;
    let { request } = this.addressed;
    if (exchange.span !== undefined) {
      this.#span = childOf(exchange.span);
      this.#before = this.#life.attempts;
      request = inTrace(request, this.#span);
    }
    const stream = this.endpoint.pool.request(request, this, fresh);
    if (stream === undefined) {
      this.#breaker?.release(this.#ticket, false);
      this.#refuse(Refusal.MaxPending);
      return undefined;
    }
    this.endpoint.started();
    this.stream = stream;
    return stream;
  }

  #admit(breaker: CircuitBreaker): boolean {
    const ticket = breaker.admit(this.startedAt);
    if (ticket < 0) {
      this.#refuse(ticket as Refusal, breaker.opensIn(this.startedAt));
      return false;
    }
    this.#breaker = breaker;
    this.#ticket = ticket;
    return true;
  }

  #refuse(refusal: Refusal, opensIn = 0): void {
    this.refusal = replies.circuitRefusal(refusal, opensIn);
    this.addressed.backend.upstream?.metrics.countRefusal(this.refusal.reason);
  }

  #settle(failed: boolean, now: number): void {
    if (this.#breaker === undefined || this.#settled) return;
    this.#settled = true;
    this.#breaker.settle(this.#ticket, failed, now);
  }

  /** For the breaker: no answer, or none that was complete. */
  #fail(now: number): void {
    if (this.#settled) this.#breaker?.turnBad(this.#ticket, this.startedAt + this.latencyMs, now);
    else this.#settle(true, now);
  }

  /** Nobody wants its answer any more. @param result FAILED where that is the endpoint's fault: it has not answered in time */
  cancel(result: TryResult = this.#aside === undefined ? CANCELLED : this.#status): void {
    if (this.stream === undefined) return;
    const now = performance.now();
    if (result === FAILED) this.#fail(now);
    if (this.awaitingHead) this.#failure = result === FAILED ? 'timeout' : 'cancelled';
    this.stream.cancel();
    this.#end(true, now, result);
    this.#aside?.onBroken();
  }

  /** Keeps its answer back until `release`. The parameters are those of `onResponse`. */
  hold(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, last: boolean): HeldAnswer {
    const held = new HeldAnswer(status, fields, length, first, start, end, last);
    this.#aside = held;
    this.stream?.pauseResponse();
    return held;
  }

  /** What is still to come of the answer that was held goes to the exchange from now on. */
  release(): void {
    this.#aside = undefined;
  }

  /** Nobody wants its answer, whose end may be near enough to use the connection again. @param length of its body */
  discard(length: BodyLength, deadlines: Deadlines): void {
    if (this.stream === undefined) return;
    if (length > MAX_DISCARDED) this.cancel(this.#status);
    else this.#aside = new Discard(this.stream, deadlines, () => this.cancel());
  }

  onInformational(status: number, fields: Fields): void {
    if (this.stream !== undefined) this.#life.onInformational(status, fields);
  }

  onResponse(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, stable: boolean, last: boolean): void {
    if (this.stream === undefined) return;
    const now = performance.now();
    this.awaitingHead = false;
    this.#status = status;
    this.latencyMs = now - this.startedAt;
    this.endpoint.unreachable = false;
    this.addressed.backend.upstream?.metrics.count(status, this.latencyMs / 1000);
    if (this.#breaker !== undefined) this.#settle(status >= 500, now);
    if (last) this.#end(false, now, status);
    this.#life.onAnswer(this, now, status, fields, length, first, start, end, stable, last);
  }

  onResponseData(bytes: Buffer, start: number, end: number, stable: boolean): void {
    if (this.stream === undefined) return;
    if (this.tunnel !== undefined) this.tunnel.onBackendData(bytes, start, end, stable);
    else if (this.#aside !== undefined) this.#aside.onData(bytes, start, end);
    else this.#life.onAnswerData(this, bytes, start, end, stable);
  }

  onResponseEnd(trailers: Fields | undefined): void {
    if (this.stream === undefined) return;
    if (this.tunnel !== undefined) {
      this.tunnel.onBackendEnd();
      return;
    }
    this.#end(false, 0, this.#status);
    if (this.#aside === undefined) this.#life.onAnswerEnd(trailers);
    else this.#aside.onEnd(trailers);
  }

  onUpstreamWritable(): void {
    if (this.stream === undefined) return;
    if (this.tunnel !== undefined) this.tunnel.onBackendWritable();
    else this.#life.onUpstreamWritable(this);
  }

  onUpstreamFailure(failure: UpstreamFailure, requestBytesSent: boolean, reusedConnection: boolean, cause: Error | undefined): void {
    if (this.stream === undefined) return;
    if (this.tunnel !== undefined) {
      this.tunnel.onBackendLost();
      return;
    }
    const now = performance.now();
    this.#fail(now);
    this.#failure = failure;
    if (failure === 'connect-failure') this.endpoint.unreachable = true;
    // That of the head, once it is there, is what counts.
    this.#end(true, now, FAILED);
    this.latencyMs = now - this.startedAt;
    if (cause instanceof TlsError) this.addressed.backend.upstream?.metrics.countTlsFailure(cause.failure);
    if (this.#aside !== undefined) this.#aside.onBroken();
    else this.#life.onTryFailed(this, failure, requestBytesSent, reusedConnection, cause);
  }

  /** The tunnel is over. That it was cut says little about its endpoint, which has answered. */
  endTunnel(failed: boolean): void {
    if (this.stream !== undefined) this.#end(failed, 0, failed ? CANCELLED : this.#status);
  }

  #end(failed: boolean, now: number, result: TryResult): void {
    this.stream = undefined;
    this.awaitingHead = false;
    this.#breaker?.release(this.#ticket, this.#settled);
    if (this.#span !== undefined) this.#record(this.#span);
    this.endpoint.finished(this.latencyMs === 0 ? now - this.startedAt : this.latencyMs, failed, result);
  }

  #record(span: SpanContext): void {
    const { startedAt, endpoint } = this;
    const { exchange, proxy } = this.#life;
    const tried = { exchange, endpoint, startedAt, upstream: this.addressed.backend.upstream?.key ?? '', resent: this.#before };
    if (proxy.tracer !== undefined) recordTry(proxy.tracer, span, { ...tried, endedAt: performance.now(), status: this.#status, failure: this.#failure });
  }
}

/** The same request, with the try's own span as what its backend's spans are below. Another try has another one. */
function inTrace(request: UpstreamRequest, span: SpanContext): UpstreamRequest {
  const fields = request.fields.clone();
  fields.set('traceparent', traceparentOf(span));
  return { ...request, fields };
}
