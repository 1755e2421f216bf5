import type { Limit } from '../../snapshot/rate-limit.ts';
import { Demand } from './demand.ts';
import type { Place } from './slot-table.ts';

/** What one limit made of the last request that it was asked about. */
export interface ShownMeter {
  readonly limit: Limit;
  readonly isEnforced: boolean;
  /** Whether the limit was for the request at all; otherwise nothing else here says anything. */
  readonly isAsked: boolean;
  /** What X-RateLimit-Limit shows: the most that can pass at once. */
  readonly capacity: number;
  /** Whether the limit lets the request pass. */
  readonly isAllowed: boolean;
  /** Whether the request used up something. */
  readonly isTaken: boolean;
  /** How many more requests would pass now. */
  readonly remaining: number;
  /** Milliseconds until everything is there again, or the window ends. */
  readonly resetsIn: number;
  /** When not allowed: milliseconds until the next request passes. */
  readonly retryIn: number;
  /** When allowed: milliseconds that the request has to wait for its turn. */
  readonly waits: number;
  /** Milliseconds that its period, or the window that a time lies in, has. @param now on the limiter's clock */
  windowLength(now: number): number;
}

/**
 * One limit of one route as a worker runs it: the algorithm, and what the last request came to. It is used for one request
 * at a time, from `look` to the end of the limiter's work, so what it says is to be read before the next request.
 *
 * State is kept as what was used, so that a limit with other `requests` or another `burst` goes on with it.
 */
export abstract class Meter implements ShownMeter {
  readonly limit: Limit;
  readonly place: Place;
  readonly isEnforced: boolean;
  readonly capacity: number;
  /** What the request asks of this limit; read before `look`. */
  readonly demand: Demand;
  isAsked = true;
  isAllowed = false;
  isTaken = false;
  remaining = 0;
  resetsIn = 0;
  retryIn = 0;
  waits = 0;

  constructor(limit: Limit, place: Place, capacity: number) {
    this.limit = limit;
    this.place = place;
    this.isEnforced = limit.mode === 'Enforce';
    this.capacity = capacity;
    this.demand = new Demand(limit);
  }

  /** Judges a request of `demand.cost` by the state at `place.readAt` and sets every field but `isTaken`; changes no state. */
  abstract look(now: number): void;

  /**
   * After a `look` that allowed it: counts the request into the state at `place.writeAt`.
   * @returns when the state will be that of a key never seen before
   */
  abstract take(now: number): number;

  windowLength(_now: number): number {
    return this.limit.period;
  }

  /** For a request that finds no slot at all: refused until one comes free. */
  refuse(retryIn: number): void {
    this.isAllowed = false;
    this.remaining = 0;
    this.resetsIn = retryIn;
    this.retryIn = retryIn;
    this.waits = 0;
  }
}
