/**
 * The life of one exchange between its filters and its end: tries at endpoints (one, and more where that is safe or asked
 * for), and time-outs. The request's body on its way to them is in sent-exchange.ts, the answer's in answered-exchange.ts.
 */
// The global of that name is looked up anew at each use.
import { performance } from 'node:perf_hooks';
import type { FetchStream, Reply, RunningFetch } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import { type BodyLength, isEmptyBody } from '../exchange/streams.ts';
import type { PickedBackend } from '../upstream/backend-picker.ts';
import { FAILED } from '../upstream/health/worker-health.ts';
import { RequestIntake } from './bodies/request-intake.ts';
import type { CompiledRoute } from './compiled-route.ts';
import { KeptBody, MAX_KEPT_BODY } from './kept-body.ts';
import { type NextTry, nextTry } from './next-try.ts';
import { Recovery } from './recovery.ts';
import type { RecoveryPlan } from './recovery-plan.ts';
import * as replies from './replies.ts';
import { defaultRetry, type TryFailure, Where } from './retry.ts';
import { SentExchange } from './sent-exchange.ts';
import type { HeldAnswer } from './set-aside.ts';
import { Try } from './try.ts';
import { addressTo, settleHost } from './upstream-request.ts';

export class ExchangeLife extends SentExchange {
  /** Only where something is to be recovered from. */
  #recovery: Recovery | undefined = undefined;

  // --- towards the backend ---

  protected override forward(): void {
    const exchange = this.exchange;
    const picker = (this.route as CompiledRoute).picker;
    const kept = picker.pickAffine(exchange);
    const backend = kept === undefined ? picker.pick() : kept.backend;
    if (backend === undefined) {
      this.backend = picker.heaviest;
      // A rule without any, whose redirect was skipped, has nothing to serve.
      this.giveUp((this.route as CompiledRoute).backends.length === 0 ? replies.noBackend : nobodyOf(this.backend));
      return;
    }
    this.backend = backend;
    if (backend.upstream === undefined) {
      this.giveUp(backend.spec.unresolvedStatus === 503 ? replies.unresolvedBackend503 : replies.unresolvedBackend500);
      return;
    }
    const endpoint = kept === undefined ? backend.upstream.pick(exchange, undefined) : kept.endpoint;
    if (endpoint === undefined) {
      this.giveUp(nobodyOf(backend));
      return;
    }
    settleHost(exchange, backend.upstream.upstream);
    const { recovery, mirror } = this.route as CompiledRoute;
    if (exchange.isMirrored && mirror !== undefined) this.mirrored = this.proxy.mirrors.begin(mirror, exchange);
    const keepsBody = this.mirrored !== undefined || recovery?.keepsBody(exchange, backend.upstream.upstream.protocol) === true;
    if (exchange.requestStage !== undefined) this.intake ??= new RequestIntake(this, exchange.requestStage);
    if (exchange.requestBody !== undefined) this.kept = this.keepWhole(exchange.requestBody);
    else if (keepsBody && !this.requestEnded && exchange.stream.requestBody <= MAX_KEPT_BODY) this.kept = new KeptBody();
    const { refusal } = this.begin({ addressed: addressTo(exchange, this.route as CompiledRoute, backend), endpoint }, false);
    if (refusal !== undefined) this.giveUp(refusal);
    else if (this.requestEnded) this.mirrored?.send(this.kept);
  }

  /** @param fresh on a new connection, for a try after another @returns a try with a `refusal` where it may not begin: then nothing was done */
  begin({ addressed, endpoint }: NextTry, fresh: boolean): Try {
    const now = performance.now();
    const { route } = this.route as CompiledRoute;
    const attempt = new Try(this, addressed, endpoint, now);
    const stream = attempt.begin(fresh);
    if (stream === undefined) return attempt;
    this.current = attempt;
    this.backend = addressed.backend;
    this.endpoint = endpoint;
    this.attempts++;
    this.lastActivity = now;
    const { requestEnded } = this;
    if (requestEnded) attempt.headDeadline = now + route.timeouts.backendRequest;
    this.deadline = Math.min(this.requestDeadline, attempt.headDeadline, requestEnded ? Number.POSITIVE_INFINITY : now + route.timeouts.idle);
    this.proxy.deadlines.add(this);
    if (requestEnded) this.awaitHedge();
    if (isEmptyBody(this.exchange.requestLength)) return attempt;
    attempt.owesBody = this.bodyTaken || requestEnded;
    // Until the connection is up the body stays with the client, so that another endpoint can still have it whole.
    if (stream.connected) this.onUpstreamWritable(attempt);
    return attempt;
  }

  /** There is no try for now; the next one comes by itself. */
  suspend(): void {
    this.current = undefined;
    this.deadline = this.requestDeadline;
    if (this.requestEnded) return;
    this.requestPaused = true;
    this.exchange.stream.pauseRequestBody();
  }

  #recover(plan: RecoveryPlan): Recovery {
    this.#recovery ??= new Recovery(this, plan, this.route as CompiledRoute);
    return this.#recovery;
  }

  protected override awaitHedge(): void {
    const { recovery } = this.route as CompiledRoute;
    if (recovery?.hedges(this.exchange)) this.#recover(recovery).awaitHedge();
  }

  // --- towards the client ---

  onInformational(status: number, fields: Fields): void {
    if (!this.done && !this.responding) this.exchange.stream.inform(status, fields);
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
    const { recovery } = this.route as CompiledRoute;
    // Nobody else would catch what a filter throws, on the answer or on the request for the next backend.
    try {
      if (recovery !== undefined) {
        if (recovery.isBad(status, fields) && this.#recover(recovery).onBadAnswer(attempt, status, fields, length, first, start, end, last)) return;
        this.#answeredBy(attempt);
      }
      this.forgetBody();
      this.respond(attempt, now, status, fields, length, first, start, end, stable, last);
    } catch (error) {
      this.fail(error);
    }
  }

  /** @param cause of a connection's end */
  onTryFailed(attempt: Try, failure: TryFailure, requestBytesSent: boolean, reusedConnection: boolean, cause: Error | undefined): void {
    try {
      this.#afterFailure(attempt, failure, requestBytesSent, reusedConnection, cause);
    } catch (error) {
      this.fail(error);
    }
  }

  #afterFailure(attempt: Try, failure: TryFailure, requestBytesSent: boolean, reusedConnection: boolean, cause: Error | undefined): void {
    this.upstreamMs = attempt.latencyMs;
    if (this.responding) {
      if (!this.exchange.stream.responded) {
        // A filter waits for the whole of it.
        this.replaceAnswer(replies.tryFailure(failure, cause));
        return;
      }
      this.exchange.stream.abort();
      this.finish(this.status, failure === 'malformed' ? 'upstream_malformed' : 'upstream_reset');
      return;
    }
    const reply = replies.tryFailure(failure, cause);
    const { recovery } = this.route as CompiledRoute;
    const goesOn =
      recovery === undefined
        ? this.#retryOnce(attempt, failure, requestBytesSent, reusedConnection)
        : this.#recover(recovery).onFailure(attempt, failure, requestBytesSent, reusedConnection, reply);
    if (!goesOn) this.answer(reply);
  }

  #retryOnce(attempt: Try, failure: TryFailure, requestBytesSent: boolean, reusedConnection: boolean): boolean {
    if (this.attempts > 1 || this.isBodyLost) return false;
    const where = defaultRetry(failure, requestBytesSent, reusedConnection, this.exchange);
    const next = where === Where.Nowhere ? undefined : nextTry(this.exchange, this.route as CompiledRoute, attempt, where);
    if (next === undefined) return false;
    if (this.begin(next, true).refusal !== undefined) return false;
    this.countRetry(failure);
    return true;
  }

  /** Of several tries, this one has the answer. */
  #answeredBy(attempt: Try): void {
    this.current = attempt;
    this.backend = attempt.addressed.backend;
    this.endpoint = attempt.endpoint;
    this.#recovery?.settle(attempt);
  }

  /** The answer of a try that held it, for want of a better one. */
  passOn(attempt: Try, held: HeldAnswer): void {
    if (held.broken) {
      this.answer(replies.tryFailure('reset', undefined));
      return;
    }
    this.#answeredBy(attempt);
    attempt.release();
    const { body, ended, trailers } = held;
    this.forgetBody();
    this.respond(attempt, performance.now(), held.status, held.fields, held.length, body, 0, body.length, true, ended && trailers === undefined);
    if (this.done) return;
    if (ended) this.onAnswerEnd(trailers);
    else attempt.stream?.resumeResponse();
  }

  // --- time-outs ---

  onDeadline(now: number): void {
    if (this.done) return;
    try {
      this.#checkTime(now);
    } catch (error) {
      this.fail(error);
    }
  }

  #checkTime(now: number): void {
    const timeouts = (this.route as CompiledRoute).route.timeouts;
    const idleDeadline = this.responding || !this.requestEnded ? this.lastActivity + timeouts.idle : Number.POSITIVE_INFINITY;
    const waitingForClient = !this.requestEnded && !this.requestPaused && (this.intake?.isCollecting === true || this.current?.stream?.connected === true);
    if (now >= this.requestDeadline) {
      this.#expire('request_timeout', waitingForClient);
      return;
    }
    let headDeadline = Number.POSITIVE_INFINITY;
    for (const attempt of this.#underWay()) {
      if (!attempt.awaitingHead) continue;
      if (now < attempt.headDeadline) {
        headDeadline = Math.min(headDeadline, attempt.headDeadline);
        continue;
      }
      attempt.cancel(FAILED);
      this.onTryFailed(attempt, 'timeout', true, false, undefined);
      // What follows has a deadline of its own, which this tick or the next looks at.
      return;
    }
    if (now >= idleDeadline) this.#expire('idle_timeout', waitingForClient);
    else this.deadline = Math.min(this.requestDeadline, headDeadline, idleDeadline);
  }

  #underWay(): readonly Try[] {
    const running = this.#recovery?.running;
    if (running !== undefined && running.length > 0) return running;
    return this.current === undefined ? [] : [this.current];
  }

  #expire(reason: string, clientIsSlow: boolean): void {
    if (clientIsSlow) {
      this.#cutShort(reason, replies.slowRequest);
      return;
    }
    const reply = replies.gatewayTimeout(reason);
    if (this.current?.awaitingHead === true) this.current.cancel(FAILED);
    this.cancel();
    const { recovery } = this.route as CompiledRoute;
    if (!this.responding && recovery !== undefined && this.#recover(recovery).onReply(reply, reason === 'request_timeout')) return;
    this.#cutShort(reason, reply);
  }

  /** @param reason for `tidegate_retries_total` */
  countRetry(reason: string): void {
    this.route?.metrics.countRetry(reason);
  }

  /** The process ends, and can't wait any longer. @returns whether that has ended a client's exchange */
  stop(): boolean {
    if (this.done) return false;
    try {
      this.#cutShort(replies.stopping.reason, replies.stopping);
    } catch (error) {
      this.fail(error);
    }
    return true;
  }

  #cutShort(reason: string, reply: Reply): void {
    this.cancel();
    if (this.exchange.stream.responded) {
      this.exchange.stream.abort();
      this.finish(this.status, reason);
    } else {
      this.answer(reply);
    }
  }

  // --- the end ---

  /** No backend can serve it: by the fallback, else by the gateway. */
  giveUp(reply: Reply): void {
    const { recovery } = this.route as CompiledRoute;
    if (recovery === undefined || !this.#recover(recovery).onReply(reply)) this.answer(reply);
  }

  fetch(fields: Fields, stream: FetchStream): RunningFetch {
    const fetched = this.proxy.fetch(this, fields, stream);
    this.fetched = fetched;
    return fetched;
  }

  protected override cancel(): void {
    this.current?.cancel();
    this.source?.stop();
    this.#recovery?.close();
    this.exchange.onAbandoned?.();
    this.exchange.onAbandoned = undefined;
  }

  protected override finish(status: number, reason: string, now = performance.now()): void {
    this.#recovery?.close();
    this.intake?.close();
    this.mirrored?.abandon();
    super.finish(status, reason, now);
  }
}

/** Why none of a backend's endpoints takes a request: there is none, or those that are there are not healthy. */
function nobodyOf(backend: PickedBackend | undefined): Reply {
  return backend?.upstream?.isEmpty === false ? replies.noHealthyEndpoint : replies.noEndpoint;
}
