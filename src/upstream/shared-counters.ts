/**
 * Requests in flight per endpoint, counted in shared memory so that LeastRequest sees the whole pod. Every worker writes
 * only its own row, so no cell is contended, and a worker that died is forgotten by clearing its row.
 */
export class InFlight {
  /** Rows of `slots` counters, one row a worker. */
  readonly buffer: SharedArrayBuffer;
  readonly #cells: Int32Array;
  readonly #workers: number;
  readonly #slots: number;
  readonly #row: number;

  /**
   * @param worker this thread's row; the main thread may pass any
   * @param buffer made by `InFlight.allocate`
   */
  constructor(buffer: SharedArrayBuffer, workers: number, worker: number) {
    this.buffer = buffer;
    this.#cells = new Int32Array(buffer);
    this.#workers = workers;
    this.#slots = this.#cells.length / workers;
    this.#row = worker * this.#slots;
  }

  static allocate(workers: number, slots: number): SharedArrayBuffer {
    return new SharedArrayBuffer(workers * slots * Int32Array.BYTES_PER_ELEMENT);
  }

  add(slot: number, by: 1 | -1): void {
    const cell = this.#row + slot;
    // Nobody else writes to the row, so this needs no atomic addition, which is a call of its own.
    this.#cells[cell] = (this.#cells[cell] as number) + by;
  }

  /** Over all workers. */
  total(slot: number): number {
    let sum = 0;
    for (let worker = 0; worker < this.#workers; worker++) sum += Atomics.load(this.#cells, worker * this.#slots + slot);
    return sum;
  }

  /** For the main thread, after that worker died. */
  clearWorker(worker: number): void {
    this.#cells.fill(0, worker * this.#slots, (worker + 1) * this.#slots);
  }
}
