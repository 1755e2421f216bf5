import type { Limit } from '../../snapshot/rate-limit.ts';
import { Meter } from './meter.ts';
import type { Place } from './slot-table.ts';
import type { LimiterClock } from './time.ts';

/** State: requests in the window, and when it ends on the limiter's clock. Zeros are no window yet. */
const COUNT = 0;
const END = 1;

const DAY = 86_400_000;
/** The wall clock derived from a monotonic one is right to a fraction of this; a window that ends that soon has ended. */
const IMPRECISION = 0.01;

/**
 * FixedWindow: windows aligned to the epoch, or days and months of UTC. The end of a window is fixed when it begins, on the
 * monotonic clock. When the wall clock has been set meanwhile, the next window is made longer or shorter so that the ones
 * after it are aligned again; it is never shorter than half, so that such a correction does not hand out a quota twice.
 */
export class FixedWindow extends Meter {
  readonly #floats: Float64Array;
  readonly #clock: LimiterClock;
  /** The month that the last request was in; both ends on the wall clock. */
  #monthStart = 0;
  #monthEnd = 0;
  #count = 0;
  #end = 0;

  constructor(limit: Limit, place: Place, floats: Float64Array, clock: LimiterClock) {
    super(limit, place, limit.requests);
    this.#floats = floats;
    this.#clock = clock;
  }

  /** Length in milliseconds of the window that the time `now` lies in. */
  override windowLength(now: number): number {
    if (this.limit.calendar === undefined) return this.limit.period;
    if (this.limit.calendar === 'Day') return DAY;
    this.#findMonth(this.#clock.wallAt(now));
    return this.#monthEnd - this.#monthStart;
  }

  look(now: number): void {
    const end = this.#floats[this.place.readAt + END] as number;
    if (now < end) {
      this.#count = this.#floats[this.place.readAt + COUNT] as number;
      this.#end = end;
    } else {
      this.#count = 0;
      this.#end = this.#nextEnd(now, end);
    }
    const { cost } = this.demand;
    this.isAllowed = cost === 0 || this.#count + cost <= this.limit.requests;
    this.remaining = Math.max(0, this.limit.requests - this.#count);
    this.resetsIn = this.#end - now;
    this.retryIn = this.isAllowed ? 0 : this.resetsIn;
  }

  take(): number {
    const floats = this.#floats;
    const at = this.place.writeAt;
    this.#count += this.demand.cost;
    this.remaining = Math.max(0, this.limit.requests - this.#count);
    floats[at + COUNT] = this.#count;
    floats[at + END] = this.#end;
    return this.#end;
  }

  /** @param previous when the window before ended; 0: there was none */
  #nextEnd(now: number, previous: number): number {
    const wall = this.#clock.wallAt(now) + IMPRECISION;
    const wallEnd = this.#windowEnd(wall);
    const end = now + (wallEnd - wall);
    if (previous === 0 || end - previous >= this.windowLength(now) / 2) return end;
    return now + (this.#windowEnd(wallEnd + 1) - wall);
  }

  /** The end of the window that a time lies in, both on the wall clock. */
  #windowEnd(wall: number): number {
    const { calendar, period } = this.limit;
    if (calendar === 'Month') {
      this.#findMonth(wall);
      return this.#monthEnd;
    }
    const length = calendar === 'Day' ? DAY : period;
    return (Math.floor(wall / length) + 1) * length;
  }

  #findMonth(wall: number): void {
    if (wall >= this.#monthStart && wall < this.#monthEnd) return;
    const date = new Date(wall);
    this.#monthStart = Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
    this.#monthEnd = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
  }
}
