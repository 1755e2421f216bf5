/** An exchange on its way to its route and through the filters, and how it ends: what needs no backend. */
// The global of that name is looked up anew at each use.
import { performance } from 'node:perf_hooks';
import { AnswerRefusal } from '../exchange/answer-refusal.ts';
import type { Timed } from '../exchange/deadlines.ts';
import type { Exchange, ExchangeRunner, FetchStream, GivenAnswer, Reply, RunningFetch } from '../exchange/exchange.ts';
import { FieldKind, maskOf } from '../exchange/field-names.ts';
import type { Fields } from '../exchange/fields.ts';
import { grpcTimeout } from '../exchange/grpc.ts';
import { type BodyLength, isEmptyBody } from '../exchange/streams.ts';
import { type Filter, Verdict } from '../policies/policy.ts';
import type { PickedBackend } from '../upstream/backend-picker.ts';
import type { EndpointState } from '../upstream/endpoint-state.ts';
import { AnswerPipe, type AnswerPipeOwner } from './bodies/answer-pipe.ts';
import type { CompiledRoute } from './compiled-route.ts';
import { logExchange } from './log-exchange.ts';
import { NO_PLACE, type Place } from './overload/overload.ts';
import type { Proxy } from './proxy.ts';
import { recordExchange } from './record-spans.ts';
import * as replies from './replies.ts';

const NO_BYTES = Buffer.alloc(0);
const REQUEST_ID = maskOf(FieldKind.XRequestId);

export abstract class RoutedExchange implements Timed, AnswerPipeOwner, ExchangeRunner {
  readonly exchange: Exchange;
  readonly proxy: Proxy;
  route: CompiledRoute | undefined = undefined;
  protected done = false;
  #nextFilter = 0;
  #filtersFailed = false;
  /** What the answer passes through, on routes whose filters may change bodies. */
  protected pipe: AnswerPipe | undefined = undefined;
  /** What the log says once the answer is over. */
  protected answerReason = '';
  /** Among the requests that the gateway takes on at once. */
  #place: Place = NO_PLACE;

  // Time-outs, on the clock of performance.now().
  deadline = Number.POSITIVE_INFINITY;
  deadlineIndex = -1;
  requestDeadline = Number.POSITIVE_INFINITY;
  protected lastActivity = 0;

  // For the log.
  /** Where the request went, or was to go, last. */
  backend: PickedBackend | undefined = undefined;
  endpoint: EndpointState | undefined = undefined;
  attempts = 0;
  requestBytes = 0;
  responseBytes = 0;
  status = 0;
  reason = '';
  upstreamStatus = 0;
  upstreamMs = 0;

  constructor(proxy: Proxy, exchange: Exchange) {
    this.proxy = proxy;
    this.exchange = exchange;
  }

  /** The filters let it pass. */
  protected abstract forward(): void;
  /** Reads the request's body to its end for that filter, then calls `collected` with it; longer than `max` is 413. */
  protected abstract collectBody(max: number, collected: (body: Buffer) => void): void;
  /** Ends whatever is under way for it. */
  protected abstract cancel(): void;
  /** Answers with what a filter has. */
  protected abstract give(answer: GivenAnswer): void;
  abstract fetch(fields: Fields, stream: FetchStream): RunningFetch;
  abstract onDeadline(now: number): void;

  start(): void {
    const exchange = this.exchange;
    this.proxy.retryBudget.countRequest(exchange.startedAt);
    this.proxy.identity.stamp(exchange);
    const { clientValidations } = this.proxy;
    const refusal = clientValidations.isEmpty ? undefined : clientValidations.judge(exchange);
    if (refusal !== undefined) {
      this.answer(refusal);
      return;
    }
    const found = this.proxy.runtime.router.find(exchange);
    if (found === undefined) {
      this.answer(replies.noRoute);
      return;
    }
    const route = found.value;
    this.route = route;
    exchange.routeId = route.route.id;
    exchange.matchedPath = route.paths[found.matchIndex];
    exchange.runner = this;
    const timeouts = route.route.timeouts;
    this.requestDeadline = exchange.startedAt + timeouts.request;
    if (exchange.isGrpc) this.requestDeadline = Math.min(this.requestDeadline, exchange.startedAt + (grpcTimeout(exchange.requestFields) ?? timeouts.request));
    this.lastActivity = exchange.startedAt;
    const { overload } = this.proxy;
    if (overload !== undefined) {
      const place = overload.admit(route.route.priority);
      if (place === undefined) {
        this.proxy.metrics.shed(overload.refusal.reason);
        this.answer(overload.refusal);
        return;
      }
      this.#place = place;
    }
    if (route.route.httpsRedirect && exchange.scheme === 'http') {
      this.answer(replies.httpsRedirect(exchange));
      return;
    }
    const unmet = clientValidations.isEmpty ? undefined : clientValidations.judgeRoute(exchange, route.route);
    if (unmet !== undefined) {
      this.answer(unmet);
      return;
    }
    this.#runFilters();
  }

  /** How many of the route's request filters have had it. */
  get filtersPassed(): number {
    return this.#nextFilter;
  }

  /** Goes on where another exchange of the same route stands. */
  protected runFiltersFrom(next: number): void {
    this.#nextFilter = next;
    this.#runFilters();
  }

  #runFilters(): void {
    const filters = (this.route as CompiledRoute).requestFilters;
    while (this.#nextFilter < filters.length) {
      const filter = filters[this.#nextFilter++] as Filter;
      const verdict = filter.onRequest?.(this.exchange) ?? Verdict.Continue;
      if (verdict !== Verdict.Continue && !this.#goesOn(filter, verdict)) return;
    }
    this.forward();
  }

  /** @returns false: what goes on comes later, or there is nothing more */
  #goesOn(filter: Filter, verdict: Verdict): boolean {
    const exchange = this.exchange;
    switch (verdict) {
      case Verdict.Continue:
        return true;
      case Verdict.Answered:
        if (exchange.given !== undefined) this.give(exchange.given);
        else this.answer(exchange.reply ?? replies.internalError);
        return false;
      case Verdict.Waiting:
        exchange.resume = () => this.#resume();
        exchange.fail = (error) => this.fail(error);
        this.deadline = this.requestDeadline;
        this.proxy.deadlines.add(this);
        return false;
      case Verdict.NeedsBody:
        return this.#goesOnWithBody(filter);
    }
  }

  #goesOnWithBody(filter: Filter): boolean {
    const exchange = this.exchange;
    const max = filter.maxRequestBody ?? 0;
    if (exchange.requestBody === undefined && isEmptyBody(exchange.stream.requestBody)) exchange.requestBody = NO_BYTES;
    const known = exchange.requestLength;
    if (known > max) {
      this.answer(replies.bodyTooLarge);
      return false;
    }
    if (exchange.requestBody !== undefined) return this.#goesOn(filter, filter.onRequestBody?.(exchange, exchange.requestBody) ?? Verdict.Continue);
    this.collectBody(max, (body) => {
      try {
        exchange.requestBody = body;
        if (this.#goesOn(filter, filter.onRequestBody?.(exchange, body) ?? Verdict.Continue)) this.#runFilters();
      } catch (error) {
        this.fail(error);
      }
    });
    return false;
  }

  #resume(): void {
    this.exchange.onAbandoned = undefined;
    if (this.done) return;
    try {
      if (this.exchange.given !== undefined) this.give(this.exchange.given);
      else if (this.exchange.reply !== undefined) this.answer(this.exchange.reply);
      else this.#runFilters();
    } catch (error) {
      this.fail(error);
    }
  }

  /** A fault of ours, in a filter most likely: it costs this exchange, and not the worker with all the others. */
  fail(error: unknown): void {
    const refusal = error instanceof AnswerRefusal ? error.reply : undefined;
    if (refusal === undefined) {
      this.proxy.log('error', 'exchange failed', {
        requestId: this.exchange.requestId,
        route: this.route?.route.id,
        error: error instanceof Error ? error.stack : String(error),
      });
    }
    if (this.done) return;
    this.cancel();
    if (this.exchange.stream.responded) {
      this.exchange.stream.abort();
      this.finish(this.status, refusal?.reason ?? 'internal_error');
      return;
    }
    // The response filters may be what failed.
    this.#filtersFailed = true;
    this.closePipe();
    this.answer(refusal ?? replies.internalError);
  }

  /** Answers by the gateway itself; the response filters see it as any other answer. */
  answer(reply: Reply): void {
    const exchange = this.exchange;
    if (exchange.wouldOpenTunnel(reply.status)) {
      this.answer(replies.noUpgradeHere);
      return;
    }
    exchange.reply = reply;
    const { status, fields, body } = replies.render(reply, exchange.requestId, exchange.isGrpc);
    if (this.changesAnswers) {
      this.#answerThroughPipe(reply.reason, status, fields, body);
      return;
    }
    this.filterResponse(status, fields);
    this.responseBytes = body.length;
    if (typeof body === 'string') exchange.stream.respondText(status, fields, body);
    else exchange.stream.respond(status, fields, body.length, body, 0, body.length, true, true);
    this.finish(status, reply.reason);
  }

  #answerThroughPipe(reason: string, status: number, fields: Fields, body: string | Buffer): void {
    const bytes = typeof body === 'string' ? Buffer.from(body, 'latin1') : body;
    this.deadline = this.requestDeadline;
    this.proxy.deadlines.add(this);
    try {
      this.beginPipe(reason, status, fields, bytes.length, bytes, 0, bytes.length, true, true);
    } catch (error) {
      this.fail(error);
    }
  }

  protected filterResponse(status: number, fields: Fields): void {
    this.stampResponse(fields);
    const filters = this.route?.responseFilters;
    if (filters === undefined || this.#filtersFailed) return;
    for (let index = 0; index < filters.length; index++) filters[index]?.onResponse?.(this.exchange, status, fields);
  }

  protected stampResponse(fields: Fields): void {
    fields.removeKinds(REQUEST_ID);
    fields.appendOwn('X-Request-Id', this.exchange.requestId, FieldKind.XRequestId);
  }

  // --- answers whose body filters may change ---

  protected get changesAnswers(): boolean {
    return this.route?.changesAnswers === true && !this.#filtersFailed;
  }

  /** Sends an answer through the filters. @param reason for the log, once it is over @throws what a filter throws @returns whether more may come */
  protected beginPipe(
    reason: string,
    status: number,
    fields: Fields,
    length: BodyLength,
    first: Buffer | undefined,
    start: number,
    end: number,
    stable: boolean,
    last: boolean,
  ): boolean {
    this.closePipe();
    this.answerReason = reason;
    this.stampResponse(fields);
    const pipe = new AnswerPipe(this, this.exchange, (this.route as CompiledRoute).responseFilters);
    this.pipe = pipe;
    return pipe.begin(status, fields, length, first, start, end, stable, last);
  }

  protected closePipe(): void {
    this.pipe?.close();
    this.pipe = undefined;
  }

  /** @param now `performance.now()`, where that is known */
  sendHead(
    status: number,
    fields: Fields,
    length: BodyLength,
    first: Buffer | undefined,
    start: number,
    end: number,
    stable: boolean,
    last: boolean,
    now?: number,
  ): boolean {
    this.status = status;
    this.responseBytes += end - start;
    this.leaveIfLasting(status, length, fields);
    const writable = this.exchange.stream.respond(status, fields, length, first, start, end, stable, last);
    if (last) this.finish(status, this.answerReason, now);
    return writable;
  }

  sendBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    this.responseBytes += end - start;
    return this.exchange.stream.writeBody(bytes, start, end, stable);
  }

  sendEnd(trailers: Fields | undefined): void {
    this.exchange.stream.endBody(trailers);
    this.finish(this.status, this.answerReason);
  }

  abstract resumeAnswer(): void;

  replaceAnswer(reply: Reply): void {
    this.cancel();
    this.closePipe();
    try {
      this.answer(reply);
    } catch (error) {
      this.fail(error);
    }
  }

  cutAnswer(reason: string): void {
    this.cancel();
    this.exchange.stream.abort();
    this.finish(this.status, reason);
  }

  /** More of a body is to come, from either side. @param now `performance.now()` */
  protected awaitMore(now: number): void {
    this.lastActivity = now;
    this.deadline = Math.min(this.requestDeadline, now + (this.route as CompiledRoute).route.timeouts.idle);
  }

  /** @param length and `fields`: of the answer that goes to the client now */
  protected leaveIfLasting(status: number, length: BodyLength, fields: Fields): void {
    if (this.proxy.overload?.lasts(this.#place, status, length, fields) === true) this.#leavePlace();
  }

  #leavePlace(): void {
    this.proxy.overload?.leave(this.#place);
    this.#place = NO_PLACE;
  }

  protected finish(status: number, reason: string, now = performance.now()): void {
    this.done = true;
    this.closePipe();
    this.#leavePlace();
    this.status = status;
    this.reason = reason;
    this.proxy.deadlines.remove(this);
    this.record(now - this.exchange.startedAt);
  }

  /** One count in the metrics, one line in the log, and a span where the trace is recorded. */
  protected record(durationMs: number): void {
    (this.route?.metrics ?? this.proxy.unrouted).count(this.exchange.method, this.status, durationMs / 1000);
    if (this.proxy.accessLog !== undefined) logExchange(this.proxy.accessLog, this, durationMs);
    const { span, startedAt } = this.exchange;
    if (span !== undefined && this.proxy.tracer !== undefined) recordExchange(this.proxy.tracer, this, span, startedAt + durationMs);
  }
}
