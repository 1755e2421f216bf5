/** For tests: the algorithms in plain terms, exact in whole numbers, one key each, on a wall clock that nobody sets. */
import type { Limit } from '../../snapshot/rate-limit.ts';

/** What a limit makes of one more request at a time. Costs are whole numbers, 1 where none is given. */
export interface Judgement {
  readonly isAllowed: boolean;
  /** Milliseconds; only for leaky buckets. */
  readonly waits: number;
  /** Requests that would pass at this time, this one not counted yet. */
  readonly free: number;
}

export interface Model {
  judge(now: number, limit: Limit, cost?: number): Judgement;
  /** Counts a request that was judged to pass. */
  take(now: number, limit: Limit, cost?: number): void;
}

/** The level in parts of a request, `period` parts a request, so that all is whole numbers. */
export class BucketModel implements Model {
  #level = 0;
  #at = 0;

  judge(now: number, { requests, period, burst, algorithm }: Limit, cost = 1): Judgement {
    const level = this.#levelAt(now, requests);
    const capacity = (algorithm === 'LeakyBucket' ? burst + 1 : burst) * period;
    return {
      isAllowed: cost === 0 || level + cost * period <= capacity,
      waits: algorithm === 'LeakyBucket' && cost > 0 ? level / requests : 0,
      free: Math.max(0, Math.floor((capacity - level) / period)),
    };
  }

  take(now: number, { requests, period }: Limit, cost = 1): void {
    this.#level = this.#levelAt(now, requests) + cost * period;
    this.#at = now;
  }

  #levelAt(now: number, requests: number): number {
    return Math.max(0, this.#level - (now - this.#at) * requests);
  }
}

export class FixedWindowModel implements Model {
  readonly #start: number;
  #window = Number.NaN;
  #count = 0;

  /** @param start of the time `now`, on the wall clock */
  constructor(start: number) {
    this.#start = start;
  }

  judge(now: number, limit: Limit, cost = 1): Judgement {
    const count = this.#windowAt(now, limit) === this.#window ? this.#count : 0;
    return { isAllowed: cost === 0 || count + cost <= limit.requests, waits: 0, free: Math.max(0, limit.requests - count) };
  }

  take(now: number, limit: Limit, cost = 1): void {
    const window = this.#windowAt(now, limit);
    this.#count = window === this.#window ? this.#count + cost : cost;
    this.#window = window;
  }

  #windowAt(now: number, { period, calendar }: Limit): number {
    const wall = this.#start + now;
    if (calendar === undefined) return Math.floor(wall / period);
    const text = new Date(wall).toISOString();
    return Number(text.slice(0, calendar === 'Day' ? 10 : 7).replaceAll('-', ''));
  }
}

/** Every time at which a request passed, as often as it cost. */
export class SlidingWindowModel implements Model {
  readonly #passed: number[] = [];

  judge(now: number, { requests, period }: Limit, cost = 1): Judgement {
    const count = this.#passed.filter((time) => now - time < period).length;
    return { isAllowed: cost === 0 || count + cost <= requests, waits: 0, free: Math.max(0, requests - count) };
  }

  take(now: number, _limit: Limit, cost = 1): void {
    for (let taken = 0; taken < cost; taken++) this.#passed.push(now);
  }
}

export function modelOf(limit: Limit, start: number): Model {
  if (limit.algorithm === 'FixedWindow') return new FixedWindowModel(start);
  return limit.algorithm === 'SlidingWindow' ? new SlidingWindowModel() : new BucketModel();
}
