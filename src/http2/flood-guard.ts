/** Seconds over which both are counted, and how many there may be. */
const SECONDS = 10;
const MAX_RESETS = 200;
const MAX_CONTROL_FRAMES = 1_000;

/** Counts events of the last ten seconds, by the second. */
class RecentCount {
  readonly #cells = new Uint16Array(SECONDS);
  #second = 0;
  #sum = 0;

  /** @returns how many there were, this one included */
  add(now: number): number {
    const second = Math.floor(now / 1000);
    for (let gone = Math.min(second - this.#second, SECONDS); gone > 0; gone--) {
      const cell = (second - gone + 1) % SECONDS;
      this.#sum -= this.#cells[cell] as number;
      this.#cells[cell] = 0;
    }
    this.#second = second;
    const cell = second % SECONDS;
    this.#cells[cell] = (this.#cells[cell] as number) + 1;
    return ++this.#sum;
  }
}

/**
 * Counts what a client may do now and then but not all the time: resets that it causes (CVE-2023-44487; CVE-2025-8671 where
 * its errors make us reset), and frames that cost us work and bring nothing on. Takes memory with the first one only.
 */
export class FloodGuard {
  #resets: RecentCount | undefined = undefined;
  #controls: RecentCount | undefined = undefined;

  /** @param now a reading of `Deadlines.now` @returns false: too many */
  countReset(now: number): boolean {
    this.#resets ??= new RecentCount();
    return this.#resets.add(now) <= MAX_RESETS;
  }

  /** @param now a reading of `Deadlines.now` @returns false: too many */
  countControl(now: number): boolean {
    this.#controls ??= new RecentCount();
    return this.#controls.add(now) <= MAX_CONTROL_FRAMES;
  }
}
