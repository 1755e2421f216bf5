/** RateLimitPolicy: what routes allow at most, over all workers of the pod. */
import type { Exchange, Reply } from '../../exchange/exchange.ts';
import type { Fields } from '../../exchange/fields.ts';
import type { Limit } from '../../snapshot/snapshot.ts';
import { type Filter, FilterSlot, type LimitDecisions, type Policy, type PolicyContext, Verdict } from '../policy.ts';
import type { Departure } from './departures.ts';
import { LimitHeaders, wholeSeconds } from './limit-headers.ts';
import type { LimitSet, QueuePlace, RateLimiter } from './limiter.ts';
import type { Meter } from './meter.ts';

export const rateLimit: Policy<'rateLimit'> = {
  name: 'rateLimit',
  compile: (limits, context) => new RateLimitFilter(limits, context),
};

/** Waits shorter than this many milliseconds are none: timers are no finer. */
const SHORTEST_WAIT = 0.05;

class RateLimitFilter implements Filter {
  readonly policy = 'rateLimit';
  readonly #limiter: RateLimiter;
  readonly #set: LimitSet;
  readonly #headers: LimitHeaders;
  readonly #decisions: readonly LimitDecisions[];

  constructor(limits: readonly Limit[], context: PolicyContext) {
    this.#limiter = context.rateLimiter;
    this.#set = context.rateLimiter.compile(limits);
    this.#headers = new LimitHeaders(this.#set);
    this.#decisions = this.#set.meters.map(({ limit }) => context.limitDecisions(limit.policy, limit.name));
  }

  describe(): string {
    return this.#set.meters.map(({ limit }) => describeLimit(limit)).join('; ');
  }

  onRequest(exchange: Exchange): Verdict {
    const passes = this.#limiter.admit(this.#set, exchange);
    if (!this.#headers.isEmpty) this.#keepHeaders(exchange);
    const waits = this.#count(exchange);
    if (!passes) {
      exchange.reply = refusal(this.#headers.tightest());
      return Verdict.Answered;
    }
    if (waits < SHORTEST_WAIT) return Verdict.Continue;
    this.#limiter.departures.add(new WaitingExchange(exchange, this.#limiter, this.#limiter.decidedAt + waits, this.#limiter.queuePlaces(this.#set)));
    return Verdict.Waiting;
  }

  #keepHeaders(exchange: Exchange): void {
    exchange.filterState ??= [];
    exchange.filterState[FilterSlot.rateLimit] = this.#headers.render(this.#limiter.decidedAt);
  }

  /**
   * Counts what each limit decided: `allowed` where it counted the request, `refused` where it is why the request is
   * refused, `shadowRefused` where it would be. A limit that allows a request that another one refuses decided nothing.
   * @returns milliseconds that the request must wait: the longest of its waits, each queue keeping its own pace
   */
  #count(exchange: Exchange): number {
    const { meters } = this.#set;
    let waits = 0;
    for (let index = 0; index < meters.length; index++) {
      const meter = meters[index] as Meter;
      const decisions = this.#decisions[index] as LimitDecisions;
      if (meter.isTaken) {
        decisions.allowed++;
        if (meter.isEnforced && meter.waits > waits) waits = meter.waits;
      } else if (!meter.isAllowed) {
        if (meter.isEnforced) {
          decisions.refused++;
        } else {
          decisions.shadowRefused++;
          exchange.shadowRefusals = exchange.shadowRefusals === '' ? meter.limit.name : `${exchange.shadowRefusals},${meter.limit.name}`;
        }
      }
    }
    return waits;
  }

  onResponse(exchange: Exchange, _status: number, fields: Fields): void {
    if (this.#headers.isEmpty) return;
    if (exchange.filterState?.[FilterSlot.rateLimit] === undefined) {
      // Answered before the limits were asked: the answer says how they stand all the same.
      this.#limiter.peek(this.#set, exchange);
      this.#keepHeaders(exchange);
    }
    LimitHeaders.write(fields, exchange.filterState?.[FilterSlot.rateLimit] as string);
  }
}

/** RFC 6585 section 4. */
function refusal(tightest: Meter): Reply {
  return {
    status: 429,
    reason: 'rate_limited',
    detail: 'Too many requests; try again later.',
    // A client that comes back in the very second it is told must not be early.
    fields: [['Retry-After', String(Math.max(1, wholeSeconds(tightest.retryIn)))]],
  };
}

class WaitingExchange implements Departure {
  readonly at: number;
  isGone = false;
  readonly #exchange: Exchange;

  constructor(exchange: Exchange, limiter: RateLimiter, at: number, places: readonly QueuePlace[]) {
    this.at = at;
    this.#exchange = exchange;
    exchange.onAbandoned = () => {
      if (this.isGone) return;
      this.isGone = true;
      limiter.giveBack(places);
    };
  }

  leave(): void {
    this.#exchange.resume();
  }
}

function describeLimit({ name, algorithm, requests, period, calendar, burst, key, mode }: Limit): string {
  const bucket = algorithm === 'TokenBucket' || algorithm === 'LeakyBucket' ? `, burst ${burst}` : '';
  const by = key.length === 0 ? '' : `, by ${key.map((part) => (part.name === undefined ? part.type : `${part.type} ${part.name}`)).join(' and ')}`;
  return `${name}: ${algorithm} ${requests} per ${calendar ?? durationText(period)}${bucket}${by}${mode === 'Shadow' ? ' (Shadow)' : ''}`;
}

/** As manifests have it: `1m30s`. */
function durationText(milliseconds: number): string {
  let rest = milliseconds;
  let text = '';
  for (const [unit, length] of [
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
    ['ms', 1],
  ] as const) {
    const amount = Math.floor(rest / length);
    rest -= amount * length;
    if (amount > 0) text += `${amount}${unit}`;
  }
  return text;
}
