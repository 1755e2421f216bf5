/**
 * How many exchanges one worker takes on at once while it can't keep up: additive increase, multiplicative decrease (AIMD), on
 * the delay that the worker itself adds.
 *
 * That delay is how late the event loop runs its timers, which is how long whatever arrives waits before anybody looks at it. The
 * time that an exchange takes as a whole says nothing about the gateway: most of it is its backend's. So a slow backend, and
 * whatever waits for it, never lowers the limit, as it would with algorithms that compare the latency of whole requests.
 *
 *     each tick (100 ms):  delay = median of the last 5 ticks
 *     delay > 50 ms, at most every 5 ticks:  limit = max(64, 0.8 * min(limit, active))
 *     else:                                  limit = limit + 16, and none at all beyond 4 * active + 64
 *
 * The median takes no notice of one or two pauses, such as of the garbage collector: only a queue that stands is overload.
 */
export const TICK = 100;
/** Milliseconds. */
export const TARGET_DELAY = 50;
const MEDIAN_OF = 5;
const DECREASE = 0.8;
const INCREASE = 16;
/** With so few at once a worker is not overloaded by its exchanges, whatever holds it up. */
export const FLOOR = 64;

export class AdaptiveLimit {
  /** Infinity: there is none. */
  limit = Number.POSITIVE_INFINITY;
  readonly #delays: number[] = [];
  #sinceDecrease = MEDIAN_OF;

  /**
   * Once each `TICK`.
   * @param delay milliseconds that the event loop was late
   * @param active exchanges that the worker has to do with
   */
  tick(delay: number, active: number): void {
    this.#delays.push(delay);
    if (this.#delays.length > MEDIAN_OF) this.#delays.shift();
    this.#sinceDecrease++;
    if (this.#delays.length === MEDIAN_OF && median(this.#delays) > TARGET_DELAY) {
      // What the last one brought shows only once the median is of times after it.
      if (this.#sinceDecrease < MEDIAN_OF) return;
      this.#sinceDecrease = 0;
      this.limit = Math.max(FLOOR, Math.floor(DECREASE * Math.min(this.limit, active)));
    } else if (this.limit !== Number.POSITIVE_INFINITY) {
      this.limit += INCREASE;
      if (this.limit > 4 * active + FLOOR) this.limit = Number.POSITIVE_INFINITY;
    }
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1] as number;
}
