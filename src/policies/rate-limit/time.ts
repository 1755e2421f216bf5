// The global of that name is looked up anew at each use.
import { performance } from 'node:perf_hooks';
/**
 * Time as the limiter counts it: monotonic milliseconds since its memory was made, alike in all threads, and the wall clock
 * derived from that. Nothing but the alignment of windows looks at the wall clock, and a window under way keeps its end, so
 * a clock that is set an hour forward or back neither freezes a limit nor fills it again. Day and Month are UTC: daylight
 * saving time has no part in them.
 */
import { SHARED_OFFSET } from '../../exchange/shared-clock.ts';
import { FLOATS, INTS } from './memory.ts';
import type { SetLocks } from './set-locks.ts';

/** Where time comes from; tests have one of their own. Both in milliseconds. */
export interface TimeSource {
  /** Never goes back, and reads alike in all threads of the process. */
  monotonic(): number;
  /** Since the epoch. */
  wall(): number;
}

export const systemTime: TimeSource = {
  monotonic: () => performance.now() + SHARED_OFFSET,
  wall: () => Date.now(),
};

/** How often a thread looks at the wall clock. */
const CHECK_INTERVAL = 1000;
/** Below this the wall clock's reading is only imprecise. NTP corrects by slewing, which moves both clocks alike. */
const JUMP = 250;
/** A new wall clock must hold this long before windows are aligned to it. */
const CONFIRMATION = 5000;

export class LimiterClock {
  readonly #source: TimeSource;
  readonly #floats: Float64Array;
  readonly #locks: SetLocks;
  readonly #base: number;
  #wallOffset: number;
  #nextCheck = 0;

  constructor(source: TimeSource, floats: Float64Array, locks: SetLocks) {
    this.#source = source;
    this.#floats = floats;
    this.#locks = locks;
    this.#base = floats[FLOATS.base] as number;
    this.#wallOffset = floats[FLOATS.wallOffset] as number;
  }

  /** What a new memory starts from. */
  static initialise(floats: Float64Array, source: TimeSource): void {
    floats[FLOATS.base] = source.monotonic();
    floats[FLOATS.wallOffset] = source.wall();
    floats[FLOATS.suspected] = Number.NaN;
  }

  /** Milliseconds since the memory was made. */
  now(): number {
    const now = this.#source.monotonic() - this.#base;
    if (now >= this.#nextCheck) this.#check(now);
    return now;
  }

  /** Milliseconds since the epoch at the time `now` of this clock. */
  wallAt(now: number): number {
    return now + this.#wallOffset;
  }

  /**
   * Compares with the wall clock. A difference is taken over only when it is still the same after a while, so that a clock
   * that is set wrong and right again moves nothing. All threads go by the same offset, kept in the shared memory.
   */
  #check(now: number): void {
    this.#nextCheck = now + CHECK_INTERVAL;
    const floats = this.#floats;
    const seen = this.#source.wall() - now;
    this.#locks.acquire(INTS.clockLock);
    try {
      const current = floats[FLOATS.wallOffset] as number;
      const suspected = floats[FLOATS.suspected] as number;
      if (Math.abs(seen - current) < JUMP) {
        floats[FLOATS.suspected] = Number.NaN;
      } else if (Math.abs(seen - suspected) < JUMP) {
        if (now - (floats[FLOATS.suspectedSince] as number) >= CONFIRMATION) {
          floats[FLOATS.wallOffset] = seen;
          floats[FLOATS.suspected] = Number.NaN;
        }
      } else {
        floats[FLOATS.suspected] = seen;
        floats[FLOATS.suspectedSince] = now;
      }
      this.#wallOffset = floats[FLOATS.wallOffset] as number;
    } finally {
      this.#locks.release(INTS.clockLock);
    }
  }
}
