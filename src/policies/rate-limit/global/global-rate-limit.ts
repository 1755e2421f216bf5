/** Limits of a route where some are counted over all replicas, beside such as are counted in the pod. */
import type { Exchange, Reply } from '../../../exchange/exchange.ts';
import type { Fields } from '../../../exchange/fields.ts';
import { ExpressionError } from '../../../expressions/expression-error.ts';
import type { Limit } from '../../../snapshot/rate-limit.ts';
import { expressionReply } from '../../expression-reply.ts';
import { type Filter, FilterSlot, keepState, type LimitDecisions, type PolicyContext, Verdict } from '../../policy.ts';
import { LimitHeaders } from '../limit-headers.ts';
import type { LimitSet, RateLimiter } from '../limiter.ts';
import type { ShownMeter } from '../meter.ts';
import { countDecisions, describeLimit, refusal, SHORTEST_WAIT } from '../outcome.ts';
import { WaitingExchange } from '../waiting-exchange.ts';
import { GlobalLimits, type GlobalQuestion } from './global-limits.ts';
import { Action } from './limit-script.ts';
import type { LimitStore } from './limit-store.ts';

/** Nothing is counted, and nobody let through: what the policy asks for where nobody can tell. */
const STORE_DOWN: Reply = { status: 503, reason: 'rate_limit_store_down', detail: 'The service is not available at the moment; try again later.' };

/** A fault of ours; the log has it. */
const FAULT: Reply = { status: 500, reason: 'internal_error', detail: 'The request could not be served.' };

/**
 * A request that any limit refuses uses up none: those of the pod are looked at first, then the store is asked, and what passes
 * there is counted here. Should those of the pod have run out meanwhile, the store gets back what it counted.
 */
export class GlobalRateLimitFilter implements Filter {
  readonly policy = 'rateLimit';
  readonly #limits: readonly Limit[];
  readonly #limiter: RateLimiter;
  readonly #store: LimitStore | undefined;
  readonly #local: LimitSet;
  readonly #localHeaders: LimitHeaders;
  readonly #global: GlobalLimits;
  readonly #all: Judged;
  /** In force while the store is down. */
  readonly #fallback: LimitSet;
  readonly #withoutStore: Judged;
  readonly #isDenied: boolean;
  readonly #action: 'allow' | 'deny' | 'local';

  constructor(limits: readonly Limit[], context: PolicyContext) {
    this.#limits = limits;
    this.#limiter = context.rateLimiter;
    this.#store = context.limitStore;
    this.#local = this.#limiter.compile(limits.filter(({ onStoreFailure }) => onStoreFailure === undefined));
    this.#localHeaders = new LimitHeaders(this.#local.meters);
    this.#global = new GlobalLimits(limits.filter(({ onStoreFailure }) => onStoreFailure !== undefined));
    const meters = new Map<string, ShownMeter>([...this.#local.meters, ...this.#global.meters].map((meter) => [meter.limit.id, meter]));
    this.#all = new Judged([...new Set(limits.map(({ id }) => meters.get(id) as ShownMeter))], context);
    const kept = limits.filter(({ onStoreFailure }) => onStoreFailure === undefined || onStoreFailure === 'Local');
    // Buckets of their own: what a limit of the pod by the same name has used has nothing to do with them.
    this.#fallback = this.#limiter.compile(kept.map((limit) => (limit.onStoreFailure === undefined ? limit : { ...limit, id: `${limit.id} without store` })));
    this.#withoutStore = new Judged(this.#fallback.meters, context);
    this.#isDenied = limits.some(({ onStoreFailure, mode }) => onStoreFailure === 'Deny' && mode === 'Enforce');
    this.#action = this.#isDenied ? 'deny' : limits.some(({ onStoreFailure }) => onStoreFailure === 'Local') ? 'local' : 'allow';
  }

  describe(): string {
    return this.#limits.map(describeLimit).join('; ');
  }

  onRequest(exchange: Exchange): Verdict {
    const store = this.#store;
    if (store === undefined || !this.#global.isTakenBy(store)) return this.#decideWithoutStore(exchange);
    let passesHere: boolean;
    let question: GlobalQuestion;
    try {
      passesHere = this.#local.meters.length === 0 || this.#limiter.peek(this.#local, exchange);
      question = this.#global.question(exchange, passesHere ? Action.Count : Action.Peek, store);
      if (question.isEmpty) return this.#decide(exchange, question, passesHere);
    } catch (error) {
      exchange.reply = expressionReply(error);
      return Verdict.Answered;
    }
    let isGone = false;
    exchange.onAbandoned = () => {
      isGone = true;
    };
    const isAsked = question.ask((isAnswered) => {
      if (isGone) {
        // Counted, as one that left right after it was let in; but it holds no place in a queue that others wait for.
        question.read(this.#global.meters);
        question.queueReturn()();
        return;
      }
      let verdict: Verdict = Verdict.Answered;
      try {
        verdict = isAnswered ? this.#decide(exchange, question, passesHere) : this.#decideWithoutAnswer(exchange, question);
      } catch (error) {
        exchange.reply = FAULT;
        exchange.reply = expressionReply(error);
      } finally {
        if (verdict !== Verdict.Waiting) exchange.resume();
      }
    });
    if (isAsked) return Verdict.Waiting;
    exchange.onAbandoned = undefined;
    return this.#decideWithoutStore(exchange);
  }

  #decide(exchange: Exchange, question: GlobalQuestion, passesHere: boolean): Verdict {
    let passes = question.read(this.#global.meters) && passesHere;
    if (this.#local.meters.length > 0) {
      if (!passes) this.#limiter.peek(this.#local, exchange);
      else if (!this.#limiter.admit(this.#local, exchange)) passes = false;
    }
    // By a limit of another server of the cluster, or of the pod, where others came first meanwhile.
    if (!passes) question.giveBackAll();
    this.#all.keepHeaders(exchange, this.#limiter.now());
    const waits = this.#all.count(exchange);
    if (!passes) {
      exchange.reply = refusal(this.#all.headers.tightest());
      return Verdict.Answered;
    }
    if (waits < SHORTEST_WAIT) return Verdict.Continue;
    const places = this.#limiter.queuePlaces(this.#local);
    const returnPlaces = question.queueReturn();
    return this.#leaveAfter(waits, exchange, () => {
      this.#limiter.giveBack(places);
      returnPlaces();
    });
  }

  /** In a cluster some of the answers may be there, and what they counted is given back if the request is refused. */
  #decideWithoutAnswer(exchange: Exchange, question: GlobalQuestion): Verdict {
    const verdict = this.#decideWithoutStore(exchange);
    if (verdict === Verdict.Answered) {
      question.read(this.#global.meters);
      question.giveBackAll();
    }
    return verdict;
  }

  #decideWithoutStore(exchange: Exchange): Verdict {
    this.#store?.metrics.countFallback(this.#action);
    let passes: boolean;
    try {
      if (this.#isDenied && this.#global.isDenied(exchange)) {
        // What the pod's own limits have to say is said with the answer.
        exchange.reply = STORE_DOWN;
        return Verdict.Answered;
      }
      if (this.#fallback.meters.length === 0) return Verdict.Continue;
      passes = this.#limiter.admit(this.#fallback, exchange);
    } catch (error) {
      exchange.reply = expressionReply(error);
      return Verdict.Answered;
    }
    this.#withoutStore.keepHeaders(exchange, this.#limiter.decidedAt);
    const waits = this.#withoutStore.count(exchange);
    if (!passes) {
      exchange.reply = refusal(this.#withoutStore.headers.tightest());
      return Verdict.Answered;
    }
    if (waits < SHORTEST_WAIT) return Verdict.Continue;
    const places = this.#limiter.queuePlaces(this.#fallback);
    return this.#leaveAfter(waits, exchange, () => this.#limiter.giveBack(places));
  }

  #leaveAfter(waits: number, exchange: Exchange, giveBack: () => void): Verdict {
    this.#limiter.departures.add(new WaitingExchange(exchange, this.#limiter.now() + waits, giveBack));
    return Verdict.Waiting;
  }

  onResponse(exchange: Exchange, _status: number, fields: Fields): void {
    let lines = exchange.filterState?.[FilterSlot.rateLimit] as string | undefined;
    if (lines === undefined) {
      // Answered before the limits were asked, or let through without the store. What can be told at once is told; a backend's own word is
      // not taken for ours in any case.
      if (this.#all.headers.isEmpty) return;
      lines = this.#tellLocal(exchange);
    }
    LimitHeaders.write(fields, lines);
  }

  /** How the limits of the pod stand, as field lines; none where they can't tell. */
  #tellLocal(exchange: Exchange): string {
    if (this.#localHeaders.isEmpty) return '';
    try {
      this.#limiter.peek(this.#local, exchange);
    } catch (error) {
      if (error instanceof ExpressionError) return '';
      throw error;
    }
    return this.#localHeaders.render(this.#limiter.decidedAt);
  }
}

/** Meters with what is told and counted of them. */
class Judged {
  readonly headers: LimitHeaders;
  readonly #meters: readonly ShownMeter[];
  readonly #decisions: readonly LimitDecisions[];

  constructor(meters: readonly ShownMeter[], context: PolicyContext) {
    this.#meters = meters;
    this.headers = new LimitHeaders(meters);
    this.#decisions = meters.map(({ limit }) => context.limitDecisions(limit.policy, limit.name));
  }

  /** @returns milliseconds that the request must wait */
  count(exchange: Exchange): number {
    return countDecisions(this.#meters, this.#decisions, exchange);
  }

  /** @param now on the limiter's clock */
  keepHeaders(exchange: Exchange, now: number): void {
    if (this.headers.isEmpty) return;
    keepState(exchange, FilterSlot.rateLimit, this.headers.render(now));
  }
}
