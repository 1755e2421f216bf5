/** What the main thread and all workers share of overload: whether memory is short, and how many exchanges are under way. */
const MEMORY_SHORT = 0;
const IN_FLIGHT = 1;
/** From here on each worker's own part, which nobody else writes. */
const OWN = 2;

export class OverloadMemory {
  readonly #cells: Int32Array;
  readonly #own: number;

  /** @param worker the main thread may pass any */
  constructor(buffer: SharedArrayBuffer, worker: number) {
    this.#cells = new Int32Array(buffer);
    this.#own = OWN + worker;
  }

  static allocate(workers: number): SharedArrayBuffer {
    return new SharedArrayBuffer((OWN + workers) * Int32Array.BYTES_PER_ELEMENT);
  }

  get memoryIsShort(): boolean {
    return Atomics.load(this.#cells, MEMORY_SHORT) === 1;
  }

  set memoryIsShort(isShort: boolean) {
    Atomics.store(this.#cells, MEMORY_SHORT, isShort ? 1 : 0);
  }

  /** @returns whether there were fewer than `most` under way in the pod, and this is one more */
  enter(most: number): boolean {
    for (;;) {
      const inFlight = Atomics.load(this.#cells, IN_FLIGHT);
      if (inFlight >= most) return false;
      if (Atomics.compareExchange(this.#cells, IN_FLIGHT, inFlight, inFlight + 1) !== inFlight) continue;
      this.#cells[this.#own] = (this.#cells[this.#own] as number) + 1;
      return true;
    }
  }

  leave(): void {
    this.#cells[this.#own] = (this.#cells[this.#own] as number) - 1;
    Atomics.sub(this.#cells, IN_FLIGHT, 1);
  }

  /** For the main thread, after that worker died. */
  releaseWorker(worker: number): void {
    const held = this.#cells[OWN + worker] as number;
    this.#cells[OWN + worker] = 0;
    Atomics.sub(this.#cells, IN_FLIGHT, held);
  }
}
