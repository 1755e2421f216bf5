/** For tests: the algorithms in plain terms, exact in whole numbers, one key each, on a wall clock that nobody sets. */
import type { Limit } from '../../snapshot/snapshot.ts';

/** What a limit makes of one more request at a time. */
export interface Judgement {
  readonly isAllowed: boolean;
  /** Milliseconds; only for leaky buckets. */
  readonly waits: number;
  /** Requests that would pass at this time, this one not counted yet. */
  readonly free: number;
}

export interface Model {
  judge(now: number, limit: Limit): Judgement;
  /** Counts a request that was judged to pass. */
  take(now: number, limit: Limit): void;
}

/** The level in parts of a request, `period` parts a request, so that all is whole numbers. */
export class BucketModel implements Model {
  #level = 0;
  #at = 0;

  judge(now: number, { requests, period, burst, algorithm }: Limit): Judgement {
    const level = this.#levelAt(now, requests);
    const capacity = (algorithm === 'LeakyBucket' ? burst + 1 : burst) * period;
    return {
      isAllowed: level + period <= capacity,
      waits: algorithm === 'LeakyBucket' ? level / requests : 0,
      free: Math.max(0, Math.floor((capacity - level) / period)),
    };
  }

  take(now: number, { requests, period }: Limit): void {
    this.#level = this.#levelAt(now, requests) + period;
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

  judge(now: number, limit: Limit): Judgement {
    const count = this.#windowAt(now, limit) === this.#window ? this.#count : 0;
    return { isAllowed: count < limit.requests, waits: 0, free: Math.max(0, limit.requests - count) };
  }

  take(now: number, limit: Limit): void {
    const window = this.#windowAt(now, limit);
    this.#count = window === this.#window ? this.#count + 1 : 1;
    this.#window = window;
  }

  #windowAt(now: number, { period, calendar }: Limit): number {
    const wall = this.#start + now;
    if (calendar === undefined) return Math.floor(wall / period);
    const text = new Date(wall).toISOString();
    return Number(text.slice(0, calendar === 'Day' ? 10 : 7).replaceAll('-', ''));
  }
}

/** Every time at which a request passed. */
export class SlidingWindowModel implements Model {
  readonly #passed: number[] = [];

  judge(now: number, { requests, period }: Limit): Judgement {
    const count = this.#passed.filter((time) => now - time < period).length;
    return { isAllowed: count < requests, waits: 0, free: Math.max(0, requests - count) };
  }

  take(now: number): void {
    this.#passed.push(now);
  }
}

export function modelOf(limit: Limit, start: number): Model {
  if (limit.algorithm === 'FixedWindow') return new FixedWindowModel(start);
  return limit.algorithm === 'SlidingWindow' ? new SlidingWindowModel() : new BucketModel();
}
