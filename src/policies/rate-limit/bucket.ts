import type { Limit } from '../../snapshot/rate-limit.ts';
import { Meter } from './meter.ts';
import type { Place } from './slot-table.ts';

/** State: how much was used at a time, and that time. Zeros are an unused bucket. */
const USED = 0;
const AT = 1;

/**
 * TokenBucket and LeakyBucket. Both are a level that each request raises by its cost, that falls evenly by `requests` a period,
 * and that must not exceed the capacity. With a token bucket what is below the brim passes at once. With a leaky bucket the
 * level is the queue, the request that left last included: a request leaves when all that was there before has drained.
 */
export class Bucket extends Meter {
  readonly #floats: Float64Array;
  readonly #isLeaky: boolean;
  /** Milliseconds in which the level falls by one. */
  readonly #interval: number;
  /** Falling levels are sums of fractions; their rounding errors are far below this, and this far below one request. */
  readonly #tolerance: number;
  #used = 0;

  constructor(limit: Limit, place: Place, floats: Float64Array) {
    const isLeaky = limit.algorithm === 'LeakyBucket';
    super(limit, place, isLeaky ? limit.burst + 1 : limit.burst);
    this.#floats = floats;
    this.#isLeaky = isLeaky;
    this.#interval = limit.period / limit.requests;
    this.#tolerance = 1e-9 * this.capacity;
  }

  look(now: number): void {
    this.#used = this.#usedAt(this.place.readAt, now);
    const { cost } = this.demand;
    this.isAllowed = cost === 0 || this.#used + cost <= this.capacity + this.#tolerance;
    this.waits = this.#isLeaky && this.isAllowed && cost > 0 ? this.#used * this.#interval : 0;
    this.retryIn = this.isAllowed ? 0 : (this.#used + cost - this.capacity) * this.#interval;
    this.#show();
  }

  take(now: number): number {
    const floats = this.#floats;
    const at = this.place.writeAt;
    this.#used += this.demand.cost;
    // In this order a worker that dies in between leaves the higher level.
    floats[at + AT] = Math.max(now, floats[this.place.readAt + AT] as number);
    floats[at + USED] = this.#used;
    this.#show();
    return (floats[at + AT] as number) + this.resetsIn;
  }

  #usedAt(state: number, now: number): number {
    // Readings of other threads' clocks may be ahead of this one's by a microsecond.
    const elapsed = Math.max(0, now - (this.#floats[state + AT] as number));
    return Math.max(0, (this.#floats[state + USED] as number) - elapsed / this.#interval);
  }

  #show(): void {
    this.remaining = Math.max(0, Math.floor(this.capacity - this.#used + this.#tolerance));
    this.resetsIn = this.#used * this.#interval;
  }

  /**
   * Takes a request that waits out of the queue, if it is the last in it. Any other keeps its turn, since those behind it
   * have been told theirs: to let a newcomer in there would make two leave at once.
   * @param leavesAt when it was to leave
   * @param cost of it
   * @param at index of the state, in Float64s
   * @returns when the state will be that of a key never seen before; undefined when nothing was given back
   */
  giveBack(now: number, leavesAt: number, cost: number, at: number): number | undefined {
    const floats = this.#floats;
    const used = this.#usedAt(at, now);
    const lastLeavesAt = now + (used - cost) * this.#interval;
    if (Math.abs(lastLeavesAt - leavesAt) > this.#interval / 2) return undefined;
    floats[at + AT] = now;
    floats[at + USED] = Math.max(0, used - cost);
    return now + (floats[at + USED] as number) * this.#interval;
  }
}
