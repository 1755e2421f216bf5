import { performance } from 'node:perf_hooks';
import { systemTime } from '../policies/rate-limit/time.ts';

/** ms of the pod's requests that a retry is measured against. */
const WINDOW = 10_000;
/** ms of one bucket: how much later than it should the window forgets. */
const BUCKET = 250;
/** The window, and the bucket that is being filled. */
const BUCKETS = WINDOW / BUCKET + 1;
/** Of each bucket: which stretch of time it counts, requests, retries. */
const CELLS = 3;
const ROW = BUCKETS * CELLS;
/** Retries a second that are there however few requests come (api.md, "Retry, hedge, fallback"). */
const LEAST_PER_SECOND = 3;
const LEAST = (LEAST_PER_SECOND * WINDOW) / 1000;

/**
 * How much of the pod's traffic may be retries and hedges: a share of the requests of the last 10 s, over all workers. It keeps
 * a backend in trouble from being brought down by those who try again.
 *
 * Buckets of a quarter of a second are in shared memory, a row of them for each worker, which only that worker writes. A
 * retry is counted first and then judged by the sum of all rows, and taken back where it is too much: so two workers at once
 * never take what is left of the budget twice. Time is the machine's monotonic clock, alike in all threads.
 */
export class RetryBudget {
  readonly #cells: Int32Array;
  readonly #workers: number;
  readonly #row: number;
  readonly #now: () => number;
  /** What `performance.now()` of this thread is short of the common clock. */
  readonly #offset: number;
  /** Of the bucket being filled: its first cell, and its end on this thread's clock. */
  #cell: number;
  #until = Number.NEGATIVE_INFINITY;

  /**
   * @param buffer made by `allocate`
   * @param worker this thread's row
   * @param now `performance.now()`, for tests
   */
  constructor(buffer: SharedArrayBuffer, workers: number, worker: number, now: () => number = () => performance.now(), offset?: number) {
    this.#cells = new Int32Array(buffer);
    this.#workers = workers;
    this.#row = worker * ROW;
    this.#cell = this.#row;
    this.#now = now;
    this.#offset = offset ?? systemTime.monotonic() - performance.now();
  }

  static allocate(workers: number): SharedArrayBuffer {
    return new SharedArrayBuffer(workers * ROW * Int32Array.BYTES_PER_ELEMENT);
  }

  /** A request of a client came. @param now `performance.now()`, or a little before it */
  countRequest(now: number): void {
    if (now >= this.#until) this.#turn(now);
    const cell = this.#cell + 1;
    // Nobody else writes to the row, so this needs no atomic addition.
    this.#cells[cell] = (this.#cells[cell] as number) + 1;
  }

  /**
   * Asks for one retry. A worker that dies gives nothing back: its requests and retries were there.
   * @param percent of the requests, 0 to 100
   * @returns whether it may be made; then it is counted
   */
  take(percent: number): boolean {
    const now = this.#now();
    if (now >= this.#until) this.#turn(now);
    const own = this.#cell + 2;
    Atomics.add(this.#cells, own, 1);
    const last = this.#stretch(now);
    let requests = 0;
    let retries = 0;
    for (let cell = 0; cell < this.#workers * ROW; cell += CELLS) {
      const age = last - Atomics.load(this.#cells, cell);
      if (age < 0 || age >= BUCKETS) continue;
      requests += Atomics.load(this.#cells, cell + 1);
      retries += Atomics.load(this.#cells, cell + 2);
    }
    if (retries <= Math.max((requests * percent) / 100, LEAST)) return true;
    Atomics.sub(this.#cells, own, 1);
    return false;
  }

  /** Never 0, which is what memory begins with. */
  #stretch(now: number): number {
    return 1 + Math.floor((now + this.#offset) / BUCKET);
  }

  #turn(now: number): void {
    const stretch = this.#stretch(now);
    this.#until = stretch * BUCKET - this.#offset;
    const cell = this.#row + (stretch % BUCKETS) * CELLS;
    this.#cell = cell;
    // A worker that took the place of a dead one goes on where that one was.
    if (Atomics.load(this.#cells, cell) === stretch) return;
    // Whoever reads meanwhile sees the old stretch, which no longer counts.
    Atomics.store(this.#cells, cell + 1, 0);
    Atomics.store(this.#cells, cell + 2, 0);
    Atomics.store(this.#cells, cell, stretch);
  }
}
