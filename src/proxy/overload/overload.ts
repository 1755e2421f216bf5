/** Whether a worker takes on another exchange. */
import { performance } from 'node:perf_hooks';
import type { Reply } from '../../exchange/exchange.ts';
import type { Fields } from '../../exchange/fields.ts';
import { type BodyLength, UNKNOWN_LENGTH } from '../../exchange/streams.ts';
import type { Route } from '../../snapshot/route.ts';
import { AdaptiveLimit, TICK } from './adaptive-limit.ts';
import type { OverloadMemory } from './overload-memory.ts';
import { RecentCount } from './recent-count.ts';

/** `--max-concurrency`: by what each worker can keep up with, a number for the pod, or none. */
export type MaxConcurrency = 'auto' | 'off' | number;

/**
 * Part of the limit up to which exchanges of that priority are taken on. What is over the limit is shed, lowest first: Low leaves
 * room to the others before the limit is reached, and High has some beyond it.
 */
const SHARE: Readonly<Record<NonNullable<Route['priority']> | 'Normal', number>> = { Low: 0.75, Normal: 1, High: 1.25 };

const RETRY_SOON = [['Retry-After', '1']] as const;
const DETAIL = 'The gateway has more requests than it can serve.';
const OVERLOADED: Reply = { status: 503, reason: 'overloaded', detail: DETAIL, fields: RETRY_SOON };
const MEMORY: Reply = { status: 503, reason: 'memory', detail: DETAIL, fields: RETRY_SOON };

/** What an exchange that was taken on gives back when it is over. */
export type Place = number;
/** It has none. */
export const NO_PLACE: Place = -1;

export class Overload {
  readonly #max: MaxConcurrency;
  readonly #memory: OverloadMemory;
  readonly #limit = new AdaptiveLimit();
  readonly #recent = new RecentCount();
  readonly #onMemoryShort: () => void;
  readonly #timer: NodeJS.Timeout;
  #lastTick = performance.now();
  /** Why the last `admit` gave no place. */
  refusal: Reply = OVERLOADED;

  /** @param onMemoryShort called each tick while memory is short, to give back what can be */
  constructor(max: MaxConcurrency, memory: OverloadMemory, onMemoryShort: () => void) {
    this.#max = max;
    this.#memory = memory;
    this.#onMemoryShort = onMemoryShort;
    this.#timer = setInterval(() => this.#tick(performance.now()), TICK);
    this.#timer.unref();
  }

  /** @returns undefined when it is not taken on: `refusal` says why */
  admit(priority: Route['priority']): Place | undefined {
    if (this.#memory.memoryIsShort) {
      this.refusal = MEMORY;
      return undefined;
    }
    if (this.#max === 'off') return NO_PLACE;
    const share = priority === undefined ? 1 : SHARE[priority];
    if (this.#max === 'auto') {
      if (this.#recent.count < this.#limit.limit * share) return this.#recent.begin();
    } else if (this.#memory.enter(Math.max(1, Math.floor(this.#max * share)))) {
      return 0;
    }
    this.refusal = OVERLOADED;
    return undefined;
  }

  /** Once for each place: the exchange is over, or is from now on one of those that last and do little. */
  leave(place: Place): void {
    if (place === NO_PLACE) return;
    if (this.#max === 'auto') this.#recent.end(place);
    else this.#memory.leave();
  }

  /** Whether an exchange with that answer lasts and does little meanwhile, so that it is to give back its place: tunnels and event streams. */
  lasts(place: Place, status: number, length: BodyLength, fields: Fields): boolean {
    // In mode auto whatever lasts drops out by itself.
    if (place === NO_PLACE || this.#max === 'auto') return false;
    return status === 101 || (length === UNKNOWN_LENGTH && fields.get('content-type')?.startsWith('text/event-stream') === true);
  }

  /** Exchanges that this worker takes on at once; Infinity: any number. For metrics. */
  get limit(): number {
    return this.#max === 'auto' ? this.#limit.limit : this.#max === 'off' ? Number.POSITIVE_INFINITY : this.#max;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #tick(now: number): void {
    const late = now - this.#lastTick - TICK;
    this.#lastTick = now;
    this.#limit.tick(Math.max(0, late), this.#recent.count);
    this.#recent.tick();
    if (this.#memory.memoryIsShort) this.#onMemoryShort();
  }
}
