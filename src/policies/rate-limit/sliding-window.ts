import type { Limit } from '../../snapshot/rate-limit.ts';
import { LOG_STATE, ZERO_STATE } from './memory.ts';
import { Meter } from './meter.ts';
import type { Place } from './slot-table.ts';

/** State, in Int32s. Zeros are an empty log. */
const GROUP_SIZE = 0;
/** Index of the oldest group in the ring, and, above eight bits, the number of groups. */
const RING = 1;
/** Requests in the newest group; all others are full. */
const NEWEST = 2;
const STAMPS = 4;
const GROUPS = LOG_STATE * 2 - STAMPS;

/** Stamps are 32 bits of ticks and are compared by difference; this many a period leaves room for both. */
const TICKS_A_PERIOD = 2 ** 29;

/** To work in while a log is rewritten. */
const rewritten = new Int32Array(GROUPS);

/**
 * SlidingWindow: a log of when requests passed. A slot has room for 28 stamps: up to 28 requests a period each has its own,
 * and the limit is exact. Beyond that, requests share a stamp in groups of a 28th of `requests`, the stamp being that of the
 * last one in the group. So a request may be counted longer than it should be, never shorter: no period ever sees more than
 * `requests`, and what is counted too long is less than one group, under 4 % of `requests`.
 */
export class SlidingWindow extends Meter {
  readonly #ints: Int32Array;
  readonly #groupSize: number;
  /** Milliseconds: a power of two, so that whole milliseconds are whole ticks up to periods of six days. */
  readonly #tick: number;
  readonly #periodTicks: number;
  #count = 0;
  /** Groups at the old end of the ring whose period is over. */
  #expired = 0;

  constructor(limit: Limit, place: Place, ints: Int32Array) {
    super(limit, place, limit.requests);
    this.#ints = ints;
    this.#groupSize = Math.ceil(limit.requests / GROUPS);
    this.#tick = 2 ** Math.ceil(Math.log2(limit.period / TICKS_A_PERIOD));
    this.#periodTicks = Math.ceil(limit.period / this.#tick);
  }

  look(now: number): void {
    const ints = this.#ints;
    // After a long time the stamps say nothing any more: their differences have wrapped around.
    if (this.place.hasRecovered) this.place.readAt = ZERO_STATE;
    const state = this.place.readAt * 2;
    const tick = Math.floor(now / this.#tick) | 0;
    const groupSize = ints[state + GROUP_SIZE] as number;
    const ring = ints[state + RING] as number;
    const groups = ring >>> 8;
    const oldest = ring & 0xff;
    let expired = 0;
    while (expired < groups && this.#leftOf(state, oldest + expired, tick) <= 0) expired++;
    this.#expired = expired;
    this.#count = groups === expired ? 0 : (groups - expired - 1) * groupSize + (ints[state + NEWEST] as number);
    const { cost } = this.demand;
    this.isAllowed = cost === 0 || this.#count + cost <= this.limit.requests;
    this.remaining = Math.max(0, this.limit.requests - this.#count);
    this.resetsIn = groups === expired ? 0 : this.#milliseconds(this.#leftOf(state, oldest + groups - 1, tick));
    this.retryIn = 0;
    if (!this.isAllowed) {
      let left = this.#count;
      for (let group = expired; group < groups && left + cost > this.limit.requests; group++) {
        left -= group === groups - 1 ? (ints[state + NEWEST] as number) : groupSize;
        this.retryIn = this.#milliseconds(this.#leftOf(state, oldest + group, tick));
      }
    }
  }

  /** Ticks until a group's period is over. */
  #leftOf(state: number, group: number, tick: number): number {
    const age = (tick - (this.#ints[state + STAMPS + (group % GROUPS)] as number)) | 0;
    return this.#periodTicks - age;
  }

  /** Stamps are rounded up to a tick; what clients are told is never more than a period for that. */
  #milliseconds(ticks: number): number {
    return Math.min(this.limit.period, ticks * this.#tick);
  }

  take(now: number): number {
    const ints = this.#ints;
    const from = this.place.readAt * 2;
    const state = this.place.writeAt * 2;
    if (from !== state) ints.copyWithin(state, from, from + LOG_STATE * 2);
    const ring = ints[state + RING] as number;
    const isEmpty = ring >>> 8 === this.#expired;
    if (!isEmpty && ints[state + GROUP_SIZE] !== this.#groupSize) this.#regroup(state);
    else ints[state + RING] = isEmpty ? 0 : (((ring & 0xff) + this.#expired) % GROUPS) | (((ring >>> 8) - this.#expired) << 8);
    const { cost } = this.demand;
    const tick = Math.ceil(now / this.#tick);
    let left = cost - this.#append(state, isEmpty, tick, cost);
    while (left > 0) left -= this.#append(state, false, tick, left);
    this.#count += cost;
    this.remaining = Math.max(0, this.limit.requests - this.#count);
    const stamp = Math.ceil(now / this.#tick) * this.#tick;
    this.resetsIn = this.limit.period;
    return stamp + this.#periodTicks * this.#tick;
  }

  /**
   * Adds to the newest group, or begins another one where it is full. The order of the writes leaves a log that counts no less,
   * should the worker die in between.
   * @returns how much of the cost found room
   */
  #append(state: number, isEmpty: boolean, tick: number, cost: number): number {
    const ints = this.#ints;
    const ring = ints[state + RING] as number;
    const oldest = ring & 0xff;
    const groups = ring >>> 8;
    const newest = ints[state + NEWEST] as number;
    if (!isEmpty && newest < this.#groupSize) {
      const stamp = state + STAMPS + ((oldest + groups - 1) % GROUPS);
      // Another thread's clock may be ahead by a microsecond, and a stamp only ever moves forward.
      if (((tick - (ints[stamp] as number)) | 0) > 0) ints[stamp] = tick | 0;
      const added = Math.min(cost, this.#groupSize - newest);
      ints[state + NEWEST] = newest + added;
      return added;
    }
    const added = Math.min(cost, this.#groupSize);
    ints[state + STAMPS + ((oldest + groups) % GROUPS)] = tick | 0;
    if (isEmpty) ints[state + GROUP_SIZE] = this.#groupSize;
    ints[state + RING] = oldest | ((groups + 1) << 8);
    ints[state + NEWEST] = added;
    return added;
  }

  /** Writes the log anew in groups of the present size, each with the stamp of its last request. */
  #regroup(state: number): void {
    const ints = this.#ints;
    const ring = ints[state + RING] as number;
    const oldest = ring & 0xff;
    const groups = ring >>> 8;
    const oldSize = ints[state + GROUP_SIZE] as number;
    const size = this.#groupSize;
    let written = 0;
    let filled = size;
    for (let group = this.#expired; group < groups; group++) {
      const stamp = ints[state + STAMPS + ((oldest + group) % GROUPS)] as number;
      let requests = group === groups - 1 ? (ints[state + NEWEST] as number) : oldSize;
      while (requests > 0) {
        if (filled === size) {
          filled = 0;
          written++;
        }
        const moved = Math.min(requests, size - filled);
        rewritten[written - 1] = stamp;
        filled += moved;
        requests -= moved;
      }
    }
    for (let group = 0; group < written; group++) ints[state + STAMPS + group] = rewritten[group] as number;
    ints[state + GROUP_SIZE] = size;
    ints[state + RING] = written << 8;
    ints[state + NEWEST] = filled;
  }
}
