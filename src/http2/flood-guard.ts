/** Milliseconds over which both are counted. */
const INTERVAL = 10_000;
const MAX_RESETS = 200;
const MAX_CONTROL_FRAMES = 1_000;

/**
 * Counts what a client may do now and then but not all the time: resets that it causes (CVE-2023-44487; CVE-2025-8671 where
 * its errors make us reset), and frames that cost us work and bring nothing on. Two intervals are kept, so that the count of
 * any ten seconds is known well enough without a time for each event.
 */
export class FloodGuard {
  #start = Number.NEGATIVE_INFINITY;
  #resets = 0;
  #formerResets = 0;
  #controls = 0;
  #formerControls = 0;

  /** @param now a reading of `Deadlines.now` @returns false: too many */
  countReset(now: number): boolean {
    const share = this.#formerShare(now);
    return ++this.#resets + this.#formerResets * share <= MAX_RESETS;
  }

  /** @param now a reading of `Deadlines.now` @returns false: too many */
  countControl(now: number): boolean {
    const share = this.#formerShare(now);
    return ++this.#controls + this.#formerControls * share <= MAX_CONTROL_FRAMES;
  }

  /** How much of the former interval lies within the last ten seconds. */
  #formerShare(now: number): number {
    const age = now - this.#start;
    if (age < INTERVAL) return 1 - age / INTERVAL;
    const isNext = age < 2 * INTERVAL;
    this.#formerResets = isNext ? this.#resets : 0;
    this.#formerControls = isNext ? this.#controls : 0;
    this.#resets = 0;
    this.#controls = 0;
    this.#start = isNext ? this.#start + INTERVAL : now;
    return isNext ? 2 - age / INTERVAL : 0;
  }
}
