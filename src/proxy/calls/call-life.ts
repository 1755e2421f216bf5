import { performance } from 'node:perf_hooks';
import type { CallOutcome, CallRequest, RunningCall } from '../../exchange/calls.ts';
import { Exchange, type Reply } from '../../exchange/exchange.ts';
import { childOf } from '../../exchange/trace-context.ts';
import type { CompiledRoute } from '../compiled-route.ts';
import { ExchangeLife } from '../exchange-life.ts';
import type { Proxy } from '../proxy.ts';
import { recordCall } from '../record-spans.ts';
import * as replies from '../replies.ts';
import { type CallOwner, CallStream } from './call-stream.ts';
import { codingOf, decodeBody } from './decoded-body.ts';

const answerTooLong: Reply = { status: 502, reason: 'call_answer_too_long', detail: 'A backend answered with more than the gateway takes.' };
const notDecoded: Reply = { status: 502, reason: 'call_answer_not_decoded', detail: 'A backend sent an answer that can not be read.' };
/** Servers expect a length of these, 0 if there is nothing (RFC 9110 section 8.6). */
const WITH_BODY = new Set(['POST', 'PUT', 'PATCH']);
/** An answer whose head came, and that broke off. */
function brokenOff(reason: string): Reply {
  if (reason.endsWith('timeout')) return replies.gatewayTimeout(reason);
  return { status: 502, reason, detail: 'The backend did not complete its answer.' };
}

/** The life of one call: that of an exchange without a client, a router and filters. It counts for its upstream, and not for a route. */
export class CallLife extends ExchangeLife implements CallOwner, RunningCall {
  readonly #origin: Exchange;
  readonly #request: CallRequest;
  readonly #stream: CallStream;
  #onEnd: ((outcome: CallOutcome) => void) | undefined;
  #failure: Reply | undefined = undefined;
  /** `run` has returned. */
  #begun = false;

  constructor(proxy: Proxy, origin: Exchange, request: CallRequest, onEnd: (outcome: CallOutcome) => void) {
    const { method, path, query, fields, body, maxAnswerBytes } = request;
    const stream = new CallStream(body, WITH_BODY.has(method), maxAnswerBytes);
    const head = { method, path, query, scheme: 'http' as const, authority: '', host: '', protocol: 'HTTP/1.1', fields, headBytes: 0 };
    const exchange = new Exchange(head, stream, origin.peer, performance.now());
    exchange.clientAddress = origin.clientAddress;
    exchange.requestId = origin.requestId;
    exchange.traceId = origin.traceId;
    // Its tries are below it in the trace; below its exchange where it has no name of its own.
    exchange.span = origin.span === undefined || request.name === '' ? origin.span : childOf(origin.span);
    super(proxy, exchange);
    stream.owner = this;
    this.#stream = stream;
    this.#origin = origin;
    this.#request = request;
    this.#onEnd = onEnd;
  }

  run(route: CompiledRoute): void {
    const { startedAt } = this.exchange;
    this.proxy.retryBudget.countRequest(startedAt);
    this.route = route;
    this.requestDeadline = startedAt + route.route.timeouts.request;
    this.lastActivity = startedAt;
    try {
      this.forward();
    } catch (error) {
      this.fail(error);
    }
    this.#begun = true;
  }

  abort(): void {
    if (this.#onEnd === undefined) return;
    this.#record(0, performance.now() - this.exchange.startedAt, 'abandoned');
    this.#onEnd = undefined;
    this.onClientGone();
  }

  onTooLong(): void {
    if (this.done) return;
    this.cancel();
    this.#failure = answerTooLong;
    this.finish(answerTooLong.status, answerTooLong.reason);
  }

  override answer(reply: Reply): void {
    this.#failure = reply;
    this.finish(reply.status, reply.reason);
  }

  override countRetry(reason: string): void {
    this.proxy.metrics.route(this.#origin.routeId).countRetry(reason);
  }

  /** It goes with the exchange that it is for. */
  override stop(): boolean {
    return false;
  }

  protected override filterResponse(): void {}

  protected override record(): void {}

  protected override finish(status: number, reason: string, now = performance.now()): void {
    if (this.done) return;
    super.finish(status, reason, now);
    const durationMs = now - this.exchange.startedAt;
    const { isComplete, isTooLong, status: answered, fields, trailers, body } = this.#stream;
    const failure = this.#failure ?? (isTooLong ? answerTooLong : isComplete ? undefined : brokenOff(reason));
    if (failure !== undefined || fields === undefined) {
      this.#settle({ failure: failure ?? replies.internalError, status: answered, durationMs });
      return;
    }
    const coding = this.#request.decode && body.length > 0 ? codingOf(fields) : '';
    if (coding === '') {
      this.#settle({ status: answered, fields, body, trailers, durationMs });
      return;
    }
    decodeBody(body, coding, this.#request.maxAnswerBytes, (decoded) => {
      if (decoded === undefined) {
        this.#settle({ failure: notDecoded, status: answered, durationMs });
        return;
      }
      fields.remove('content-encoding');
      this.#settle({ status: answered, fields, body: decoded, trailers, durationMs });
    });
  }

  #settle(outcome: CallOutcome): void {
    // Nobody hears of it before `call` has returned.
    if (this.#begun) this.#deliver(outcome);
    else queueMicrotask(() => this.#deliver(outcome));
  }

  #deliver(outcome: CallOutcome): void {
    const onEnd = this.#onEnd;
    if (onEnd === undefined) return;
    this.#onEnd = undefined;
    const { failure } = outcome;
    this.#record(failure === undefined ? outcome.status : 0, outcome.durationMs, failure?.reason ?? '');
    try {
      onEnd(outcome);
    } catch (error) {
      this.#origin.fail(error);
    }
  }

  #record(status: number, ms: number, reason: string): void {
    const { name } = this.#request;
    if (name === '') return;
    const { span, startedAt } = this.exchange;
    if (span !== undefined && this.proxy.tracer !== undefined)
      recordCall(this.proxy.tracer, span, { name, startedAt, endedAt: startedAt + ms, status, failure: reason });
    this.#origin.calls ??= [];
    this.#origin.calls.push({ name, status, ms, reason });
  }
}
