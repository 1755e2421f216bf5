import { performance } from 'node:perf_hooks';
import type { Deadlines, Timed } from '../exchange/deadlines.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import { type BodyLength, isEmptyBody, NO_BODY, type UpstreamHandler, type UpstreamStream } from '../exchange/streams.ts';
import type { WorkerMetrics } from '../telemetry/worker-metrics.ts';
import type { CircuitBreaker, Refusal } from '../upstream/breaker/circuit-breaker.ts';
import type { EndpointState } from '../upstream/endpoint-state.ts';
import { FAILED, type TryResult } from '../upstream/health/worker-health.ts';
import type { UpstreamState } from '../upstream/upstream-state.ts';
import { type KeptBody, MAX_KEPT_BODY } from './kept-body.ts';
import { circuitRefusal } from './replies.ts';

/** Copies of one worker at a time, with those whose body is still coming: with their bodies 16 MiB at most. */
export const MAX_MIRRORS = 256;
/** ms for a whole copy, answer included: what a mirror that is slow gets is dropped, and makes room. */
const MIRROR_TIMEOUT = 10_000;
/** Bytes of its answer that are read, so that the connection can be used again. */
const MAX_ANSWER = 64 * 1024;

/**
 * Copies of requests, sent to a mirror and forgotten. A copy goes out when the request has been read to its end, and has no
 * bearing on it: nothing waits for it, and what is too much is dropped and counted.
 */
export class Mirrors {
  readonly #deadlines: Deadlines;
  readonly #metrics: WorkerMetrics;
  #underWay = 0;

  constructor(deadlines: Deadlines, metrics: WorkerMetrics) {
    this.#deadlines = deadlines;
    this.#metrics = metrics;
  }

  get underWay(): number {
    return this.#underWay;
  }

  /**
   * A copy of the request as it is now.
   * @returns undefined where there is no room for it, or where it can't be copied
   */
  begin(upstream: UpstreamState, exchange: Exchange): MirroredRequest | undefined {
    if (exchange.upgrade !== '') return undefined;
    if (this.#underWay >= MAX_MIRRORS || exchange.requestLength > MAX_KEPT_BODY) {
      this.dropped();
      return undefined;
    }
    this.#underWay++;
    return new MirroredRequest(this, this.#deadlines, upstream, exchange);
  }

  // What copies tell.

  dropped(): void {
    this.#metrics.add('tidegate_mirror_dropped_total', 1);
  }

  over(): void {
    this.#underWay--;
  }

  sent(): void {
    this.#metrics.add('tidegate_mirror_requests_total', 1);
  }
}

/** One copy, from its request's beginning to the end of its own answer. */
export class MirroredRequest implements UpstreamHandler, Timed {
  deadline = Number.POSITIVE_INFINITY;
  deadlineIndex = -1;
  readonly #mirrors: Mirrors;
  readonly #deadlines: Deadlines;
  readonly #upstream: UpstreamState;
  readonly #exchange: Exchange;
  readonly #fields: Fields;
  readonly #target: string;
  #body: KeptBody | undefined = undefined;
  #endpoint: EndpointState | undefined = undefined;
  #stream: UpstreamStream | undefined = undefined;
  #startedAt = 0;
  #latencyMs = 0;
  #status = 0;
  #answerBytes = 0;
  #isOver = false;
  #breaker: CircuitBreaker | undefined = undefined;
  #ticket = 0;
  /** The breaker knows how it went. */
  #settled = false;

  constructor(mirrors: Mirrors, deadlines: Deadlines, upstream: UpstreamState, exchange: Exchange) {
    this.#mirrors = mirrors;
    this.#deadlines = deadlines;
    this.#upstream = upstream;
    this.#exchange = exchange;
    // What a backendRef changes is for that backend alone.
    this.#fields = exchange.requestFields.clone();
    this.#target = exchange.upstreamPath + exchange.upstreamQuery;
  }

  /** The request is complete. @param body undefined where it has none */
  send(body: KeptBody | undefined): void {
    if (this.#isOver || this.#stream !== undefined) return;
    const endpoint = body?.lost === true ? undefined : this.#upstream.pick(this.#exchange, undefined);
    this.#startedAt = performance.now();
    if (endpoint === undefined || !this.#admit()) {
      this.abandon();
      return;
    }
    this.#body = body;
    const { method, requestLength } = this.#exchange;
    const length = isEmptyBody(requestLength) ? NO_BODY : (body?.length ?? 0);
    const sent = endpoint.pool.request({ method, target: this.#target, fields: this.#fields, body: length }, this, false);
    if (sent === undefined) {
      this.#breaker?.release(this.#ticket, false);
      this.abandon();
      return;
    }
    this.#stream = sent;
    this.#endpoint = endpoint;
    this.deadline = this.#startedAt + MIRROR_TIMEOUT;
    this.#deadlines.add(this);
    endpoint.started();
    this.#mirrors.sent();
    if (sent.connected) this.onUpstreamWritable();
  }

  /** Whether the mirror's circuit breaker lets it through, as it would any other request. */
  #admit(): boolean {
    const { breaker, metrics } = this.#upstream;
    if (breaker === undefined) return true;
    const ticket = breaker.admit(this.#startedAt);
    if (ticket < 0) {
      metrics.countRefusal(circuitRefusal(ticket as Refusal, 0).reason);
      return false;
    }
    this.#breaker = breaker;
    this.#ticket = ticket;
    return true;
  }

  /** The request came to nothing before its end: there is no copy of it. Does nothing once that is on its way. */
  abandon(): void {
    if (this.#isOver || this.#stream !== undefined) return;
    this.#isOver = true;
    this.#mirrors.dropped();
    this.#mirrors.over();
  }

  onUpstreamWritable(): void {
    const body = this.#body;
    const stream = this.#stream;
    if (body === undefined || stream === undefined) return;
    this.#body = undefined;
    body.writeTo(stream);
    stream.endBody(undefined);
  }

  onInformational(): void {}

  onResponse(
    status: number,
    _fields: Fields,
    length: BodyLength,
    _first: Buffer | undefined,
    start: number,
    end: number,
    _stable: boolean,
    last: boolean,
  ): void {
    this.#latencyMs = performance.now() - this.#startedAt;
    this.#upstream.metrics.count(status, this.#latencyMs / 1000);
    this.#status = status;
    this.#settle(status >= 500);
    if (last) this.#end(false, status);
    else if (length > MAX_ANSWER) this.#cancel(status);
    else this.onResponseData(undefined, start, end);
  }

  onResponseData(_bytes: Buffer | undefined, start: number, end: number): void {
    this.#answerBytes += end - start;
    if (this.#answerBytes > MAX_ANSWER) this.#cancel(this.#status);
  }

  onResponseEnd(): void {
    this.#end(false, this.#status);
  }

  onUpstreamFailure(): void {
    if (this.#isOver) return;
    if (this.#settled) this.#breaker?.turnBad(this.#ticket, this.#startedAt + this.#latencyMs, performance.now());
    this.#end(true, FAILED);
  }

  onDeadline(): void {
    this.#cancel(this.#status === 0 ? FAILED : this.#status);
  }

  #settle(failed: boolean): void {
    if (this.#breaker === undefined || this.#settled) return;
    this.#settled = true;
    this.#breaker.settle(this.#ticket, failed, performance.now());
  }

  #cancel(result: TryResult): void {
    this.#stream?.cancel();
    this.#end(true, result);
  }

  #end(failed: boolean, result: TryResult): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#body = undefined;
    this.#deadlines.remove(this);
    if (result === FAILED) this.#settle(true);
    this.#breaker?.release(this.#ticket, this.#settled);
    this.#endpoint?.finished(this.#latencyMs === 0 ? performance.now() - this.#startedAt : this.#latencyMs, failed, result);
    this.#mirrors.over();
  }
}
