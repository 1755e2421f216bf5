/** RateLimitPolicy: what routes allow at most, over all workers of the pod. */
import type { Exchange } from '../../exchange/exchange.ts';
import type { Fields } from '../../exchange/fields.ts';
import { ExpressionError } from '../../expressions/expression-error.ts';
import type { Limit } from '../../snapshot/rate-limit.ts';
import { expressionReply } from '../expression-reply.ts';
import { type Filter, FilterSlot, keepState, type LimitDecisions, type Policy, type PolicyContext, Verdict } from '../policy.ts';
import { GlobalRateLimitFilter } from './global/global-rate-limit.ts';
import { LimitHeaders } from './limit-headers.ts';
import type { LimitSet, RateLimiter } from './limiter.ts';
import { countDecisions, describeLimit, refusal, SHORTEST_WAIT } from './outcome.ts';
import { WaitingExchange } from './waiting-exchange.ts';

export const rateLimit: Policy<'rateLimit'> = {
  name: 'rateLimit',
  compile: (limits, context) =>
    limits.some(({ onStoreFailure }) => onStoreFailure !== undefined) ? new GlobalRateLimitFilter(limits, context) : new RateLimitFilter(limits, context),
};

class RateLimitFilter implements Filter {
  readonly policy = 'rateLimit';
  readonly #limiter: RateLimiter;
  readonly #set: LimitSet;
  readonly #headers: LimitHeaders;
  readonly #decisions: readonly LimitDecisions[];

  constructor(limits: readonly Limit[], context: PolicyContext) {
    this.#limiter = context.rateLimiter;
    this.#set = context.rateLimiter.compile(limits);
    this.#headers = new LimitHeaders(this.#set.meters);
    this.#decisions = this.#set.meters.map(({ limit }) => context.limitDecisions(limit.policy, limit.name));
  }

  describe(): string {
    return this.#set.meters.map(({ limit }) => describeLimit(limit)).join('; ');
  }

  onRequest(exchange: Exchange): Verdict {
    let passes: boolean;
    try {
      passes = this.#limiter.admit(this.#set, exchange);
    } catch (error) {
      exchange.reply = expressionReply(error);
      return Verdict.Answered;
    }
    if (!this.#headers.isEmpty) this.#keepHeaders(exchange);
    const waits = countDecisions(this.#set.meters, this.#decisions, exchange);
    if (!passes) {
      exchange.reply = refusal(this.#headers.tightest());
      return Verdict.Answered;
    }
    if (waits < SHORTEST_WAIT) return Verdict.Continue;
    const places = this.#limiter.queuePlaces(this.#set);
    this.#limiter.departures.add(new WaitingExchange(exchange, this.#limiter.decidedAt + waits, () => this.#limiter.giveBack(places)));
    return Verdict.Waiting;
  }

  #keepHeaders(exchange: Exchange): void {
    keepState(exchange, FilterSlot.rateLimit, this.#headers.render(this.#limiter.decidedAt));
  }

  onResponse(exchange: Exchange, _status: number, fields: Fields): void {
    if (this.#headers.isEmpty) return;
    if (exchange.filterState?.[FilterSlot.rateLimit] === undefined) {
      // Answered before the limits were asked: the answer says how they stand all the same, where they can tell.
      try {
        this.#limiter.peek(this.#set, exchange);
      } catch (error) {
        if (error instanceof ExpressionError) return;
        throw error;
      }
      this.#keepHeaders(exchange);
    }
    LimitHeaders.write(fields, exchange.filterState?.[FilterSlot.rateLimit] as string);
  }
}
