/** Parts of the time that counts as recent. */
const PARTS = 10;

/**
 * Counts what is under way and began within the last `PARTS` ticks. What takes longer, such as a long poll or an answer of a slow
 * backend, is nothing that the worker has much to do with, and drops out by itself.
 */
export class RecentCount {
  count = 0;
  #tick = 0;
  readonly #begun = new Int32Array(PARTS);

  /** @returns when it began, for `end` */
  begin(): number {
    const part = this.#tick % PARTS;
    this.#begun[part] = (this.#begun[part] as number) + 1;
    this.count++;
    return this.#tick;
  }

  end(begun: number): void {
    if (this.#tick - begun >= PARTS) return;
    const part = begun % PARTS;
    this.#begun[part] = (this.#begun[part] as number) - 1;
    this.count--;
  }

  tick(): void {
    this.#tick++;
    const part = this.#tick % PARTS;
    this.count -= this.#begun[part] as number;
    this.#begun[part] = 0;
  }
}
