/** Time constant of the average, in milliseconds: an observation's influence falls to 1/e in this time. */
const DECAY = 10_000;

/** A failed try counts as one of at least this many milliseconds: failing fast must not attract traffic. */
const FAILURE_LATENCY = 1_000;

/** Milliseconds that an endpoint without any answer yet is taken to need while a request is under way to it. */
const UNKNOWN_LATENCY = 1_000;

/** Below this, in milliseconds, endpoints differ only by their requests under way. */
const FLOOR = 0.01;

/**
 * Peak-sensitive moving average of an endpoint's latency: it jumps up to a slow answer at once and comes down slowly, as
 * Finagle's peak EWMA does. Without answers it decays, so that an endpoint that was slow is tried again.
 */
export class PeakLatency {
  readonly #now: () => number;
  #average = 0;
  /** When it was last updated; NaN while nothing has been observed. */
  #at = Number.NaN;

  /** @param now milliseconds on a monotonic clock */
  constructor(now: () => number) {
    this.#now = now;
  }

  observe(latencyMs: number, failed: boolean): void {
    const now = this.#now();
    const latency = failed ? Math.max(latencyMs, FAILURE_LATENCY) : latencyMs;
    if (latency >= this.#average) {
      this.#average = latency;
    } else {
      const kept = Math.exp((this.#at - now) / DECAY);
      this.#average = this.#average * kept + latency * (1 - kept);
    }
    this.#at = now;
  }

  /** What one more request would cost here. @param inFlight requests under way */
  load(inFlight: number): number {
    if (Number.isNaN(this.#at)) return inFlight === 0 ? 0 : UNKNOWN_LATENCY * inFlight;
    return Math.max(this.#decayed(this.#now()), FLOOR) * (inFlight + 1);
  }

  #decayed(now: number): number {
    return this.#average * Math.exp((this.#at - now) / DECAY);
  }
}
