/** Checks under way at once: each may hold a file descriptor for as long as its time-out. */
const MOST_AT_ONCE = 256;

/** Bounds how many checks are under way; the others wait in their order. */
export class CheckQueue {
  readonly #most: number;
  /** In the order in which they came; a set, so that one that is taken back costs nothing. */
  readonly #waiting = new Set<() => Promise<void>>();
  #running = 0;

  constructor(most = MOST_AT_ONCE) {
    this.#most = most;
  }

  /** @param check must not reject */
  add(check: () => Promise<void>): void {
    this.#waiting.add(check);
    this.#next();
  }

  /** Takes back a check that has not begun. */
  remove(check: () => Promise<void>): void {
    this.#waiting.delete(check);
  }

  #next(): void {
    for (const check of this.#waiting) {
      if (this.#running >= this.#most) return;
      this.#waiting.delete(check);
      this.#running++;
      void check().finally(() => {
        this.#running--;
        this.#next();
      });
    }
  }
}
