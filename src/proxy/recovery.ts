import { performance } from 'node:perf_hooks';
import type { Reply } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import type { BodyLength } from '../exchange/streams.ts';
import type { EndpointState } from '../upstream/endpoint-state.ts';
import type { CompiledRoute } from './compiled-route.ts';
import type { ExchangeLife } from './exchange-life.ts';
import { type NextTry, nextTry } from './next-try.ts';
import type { RecoveryPlan } from './recovery-plan.ts';
import * as replies from './replies.ts';
import { defaultRetry, isIdempotent, type TryFailure, Where } from './retry.ts';
import type { HeldAnswer } from './set-aside.ts';
import type { Try } from './try.ts';
import { addressTo, settleHost } from './upstream-request.ts';

/**
 * What one exchange does about tries that fail, on a route that has `retry`, `hedge` or `fallback`. Made when there is something
 * to do. Of several tries at once the first good answer wins and the others are cancelled; a bad one is held back while
 * another may still be better. What is bad in the end is tried again, then replaced by the fallback, then passed on.
 */
export class Recovery {
  /** Tries under way, once there is a hedge; before that the exchange's own try is the only one. */
  running: Try[] = [];
  readonly #life: ExchangeLife;
  readonly #plan: RecoveryPlan;
  readonly #route: CompiledRoute;
  /** Endpoints whose try is over. */
  readonly #tried: EndpointState[] = [];
  #retries = 0;
  #hedges = 0;
  #hedgeTimer: NodeJS.Timeout | undefined = undefined;
  #backoffTimer: NodeJS.Timeout | undefined = undefined;
  /** A bad answer that is kept, and whose it is. */
  #held: { readonly attempt: Try; readonly answer: HeldAnswer } | undefined = undefined;
  #fellBack = false;
  #fallbackRetried = false;

  constructor(life: ExchangeLife, plan: RecoveryPlan, route: CompiledRoute) {
    this.#life = life;
    this.#plan = plan;
    this.#route = route;
  }

  /** The exchange's answer comes from elsewhere than its own backends. */
  get fellBack(): boolean {
    return this.#fellBack;
  }

  // --- what came of a try ---

  /** That try has the exchange's answer: the others end. */
  settle(winner: Try): void {
    this.#drop(winner);
    this.close();
  }

  /**
   * An answer that is not simply passed on. The parameters are those of `UpstreamHandler.onResponse`.
   * @returns false where it is to be passed on after all
   */
  onBadAnswer(attempt: Try, status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, last: boolean): boolean {
    if (this.#fellBack) return false;
    this.#drop(attempt);
    if (this.#waitsForOther()) {
      this.#dropHeld();
      this.#held = { attempt, answer: attempt.hold(status, fields, length, first, start, end, last) };
      return true;
    }
    if (!this.#retryAnswer(attempt, status, fields) && !this.#fallBackFrom(status, '', status)) return false;
    // A connection that still owes its backend some of a request is of no use any more.
    if (this.#life.requestEnded) attempt.discard(length, this.#life.proxy.deadlines);
    else attempt.cancel();
    this.#dropHeld();
    return true;
  }

  /**
   * A try failed, or took too long.
   * @param requestBytesSent whether any byte of the request left
   * @returns false where that is the end of it, and to be answered by the gateway
   */
  onFailure(attempt: Try, failure: TryFailure, requestBytesSent: boolean, reusedConnection: boolean, reply: Reply): boolean {
    if (this.#fellBack) return this.#retryFallback(attempt, defaultRetry(failure, requestBytesSent, reusedConnection, this.#life.exchange));
    this.#drop(attempt);
    if (this.#waitsForOther()) return true;
    if (this.#retryFailure(attempt, failure, requestBytesSent, reusedConnection)) {
      this.#dropHeld();
      return true;
    }
    const held = this.#held;
    if (held === undefined) return this.onReply(reply);
    this.#held = undefined;
    const { status } = held.answer;
    let passesOn = false;
    try {
      passesOn = !this.#fallBackFrom(status, '', status);
    } finally {
      // Also where the fallback's answer can not be made: nobody else knows of it any more.
      if (!passesOn) held.attempt.cancel();
    }
    if (passesOn) this.#life.passOn(held.attempt, held.answer);
    return true;
  }

  /**
   * The gateway is about to answer 502, 503 or 504 itself.
   * @param timeIsUp for the whole request, so that no other backend can be asked
   * @returns whether the fallback takes its place
   */
  onReply({ status, reason }: Reply, timeIsUp = false): boolean {
    return (status === 502 || status === 503 || status === 504) && this.#fallBackFrom(status, reason, 0, timeIsUp);
  }

  /** Nothing goes on from here: timers, tries beside the one that has the answer, and what was kept. */
  close(): void {
    clearTimeout(this.#hedgeTimer);
    clearTimeout(this.#backoffTimer);
    const { running } = this;
    this.running = [];
    for (const attempt of running) attempt.cancel();
    this.#dropHeld();
  }

  #drop(attempt: Try): void {
    this.#tried.push(attempt.endpoint);
    const index = this.running.indexOf(attempt);
    if (index >= 0) this.running.splice(index, 1);
  }

  #dropHeld(): void {
    this.#held?.attempt.cancel();
    this.#held = undefined;
  }

  #waitsForOther(): boolean {
    const [other] = this.running;
    if (other === undefined) return false;
    this.#life.current = other;
    return true;
  }

  // --- retries ---

  #retryAnswer(attempt: Try, status: number, fields: Fields): boolean {
    const rules = this.#plan.retry;
    if (rules === undefined || this.#retries >= rules.attempts || this.#life.isBodyLost) return false;
    // Who names a gRPC status says so for gRPC's requests, which are all POST.
    const grpcStatus = rules.grpcStatusOf(fields);
    if (grpcStatus === undefined && !(rules.namesStatus(status) && (rules.nonIdempotent || isIdempotent(this.#life.exchange.method)))) return false;
    return this.#retryLater(attempt, grpcStatus ?? String(status), Where.AnyEndpoint);
  }

  #retryFailure(attempt: Try, failure: TryFailure, requestBytesSent: boolean, reusedConnection: boolean): boolean {
    const life = this.#life;
    if (life.isBodyLost) return false;
    const { exchange } = life;
    const rules = this.#plan.retry;
    const where = defaultRetry(failure, requestBytesSent, reusedConnection, exchange);
    const isHarmless = where !== Where.Nowhere;
    // The one that every route has.
    const own = isHarmless && life.attempts === 1 ? nextTry(exchange, this.#route, attempt, where) : undefined;
    if (rules === undefined) return own !== undefined && this.#retryNow(own, failure);
    if (this.#retries >= rules.attempts) return false;
    if (!isHarmless && !(rules.names(failure) && (rules.nonIdempotent || isIdempotent(exchange.method)))) return false;
    // It needs no budget, unless it would go from one dead endpoint to the next: retries must not make a route worse off.
    if (own !== undefined && (where === Where.AnyEndpoint || !own.endpoint.unreachable)) return this.#retryNow(own, failure);
    return this.#retryLater(attempt, failure, isHarmless ? where : Where.AnyEndpoint);
  }

  #retryNow(next: NextTry, reason: string): boolean {
    if (this.#life.begin(next, true).refusal !== undefined) return false;
    this.#retries++;
    this.#life.countRetry(reason);
    return true;
  }

  #retryLater(attempt: Try, reason: string, where: Where): boolean {
    const rules = this.#plan.retry;
    if (rules === undefined) return false;
    const life = this.#life;
    const { exchange } = life;
    const delay = rules.backoff(this.#retries);
    const due = performance.now() + delay;
    if (due >= life.requestDeadline || due - exchange.startedAt > rules.within) return false;
    if (!this.#takeBudget()) return false;
    this.#retries++;
    this.#life.countRetry(reason);
    life.suspend();
    this.#backoffTimer = setTimeout(() => {
      try {
        // The same endpoint once more where there is no other.
        const next = nextTry(exchange, this.#route, attempt, where, this.#tried) ?? attempt;
        const refusal = life.isBodyLost ? replies.tryFailure('reset', undefined) : life.begin(next, true).refusal;
        if (refusal !== undefined) life.giveUp(refusal);
      } catch (error) {
        life.fail(error);
      }
    }, delay);
    return true;
  }

  #takeBudget(): boolean {
    const { proxy } = this.#life;
    if (proxy.retryBudget.take(this.#plan.budgetPercent)) return true;
    proxy.metrics.add('tidegate_retries_refused_total', 1);
    return false;
  }

  // --- hedges ---

  /** The whole request is under way: another try goes out beside it if no answer comes in time. */
  awaitHedge(): void {
    const { hedge } = this.#plan;
    if (hedge === undefined || this.#hedges >= hedge.max || this.#fellBack || this.#hedgeTimer !== undefined) return;
    this.#hedgeTimer = setTimeout(() => {
      this.#hedgeTimer = undefined;
      try {
        this.#hedge();
      } catch (error) {
        this.#life.fail(error);
      }
    }, hedge.after);
  }

  #hedge(): void {
    const life = this.#life;
    const { current } = life;
    // Between two tries there is nothing to go beside.
    if (current?.stream === undefined || life.isBodyLost) return;
    const asked = [...this.#tried, ...this.running.map(({ endpoint }) => endpoint)];
    const next = nextTry(life.exchange, this.#route, current, Where.AnyEndpoint, asked);
    if (next === undefined || !this.#takeBudget()) return;
    const { deadline } = life;
    // Counted before it begins, for then it asks whether there is to be another one.
    this.#hedges++;
    const attempt = life.begin(next, false);
    if (attempt.refusal !== undefined) {
      this.#hedges--;
      return;
    }
    this.#life.countRetry('hedge');
    if (this.running.length === 0) this.running.push(current);
    this.running.push(attempt);
    // Those of the tries before it stay.
    life.deadline = Math.min(life.deadline, deadline);
  }

  // --- the fallback ---

  #fallBackFrom(status: number, reason: string, upstreamStatus: number, timeIsUp = false): boolean {
    const { fallback } = this.#plan;
    if (fallback === undefined || this.#fellBack || !fallback.on.includes(status)) return false;
    const life = this.#life;
    const { backend, reply } = fallback;
    if (reply !== undefined) {
      this.#fellBack = true;
      life.upstreamStatus = upstreamStatus;
      life.answer(reason === '' ? reply : { ...reply, reason });
      return true;
    }
    if (backend?.upstream === undefined || timeIsUp || life.isBodyLost) return false;
    const endpoint = backend.upstream.pick(life.exchange, undefined);
    if (endpoint === undefined) return false;
    this.#fellBack = true;
    this.close();
    life.upstreamStatus = upstreamStatus;
    life.fallbackReason = reason === '' ? 'fallback' : reason;
    settleHost(life.exchange, backend.upstream.upstream);
    return life.begin({ addressed: addressTo(life.exchange, this.#route, backend), endpoint }, false).refusal === undefined;
  }

  /** The retry that every route has, within the fallback's own endpoints. */
  #retryFallback({ addressed, endpoint: failed }: Try, where: Where): boolean {
    const life = this.#life;
    if (where === Where.Nowhere || this.#fallbackRetried || life.isBodyLost) return false;
    const endpoint = addressed.backend.upstream?.pick(life.exchange, failed);
    if (endpoint === undefined || (endpoint === failed && where === Where.OtherEndpoint)) return false;
    this.#fallbackRetried = true;
    return life.begin({ addressed, endpoint }, true).refusal === undefined;
  }
}
