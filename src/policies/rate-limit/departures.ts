/** Something that waits for its turn. */
export interface Departure {
  /** When its turn is, on the clock of the queue. */
  readonly at: number;
  /** It has gone already, by another way. */
  isGone: boolean;
  leave(): void;
}

/** Timers take no longer delay. */
const MAX_DELAY = 2 ** 31 - 1;

/** Requests of one worker that wait for their turn, by time: a heap, and one timer for whichever is next. */
export class Departures {
  readonly #heap: Departure[] = [];
  readonly #now: () => number;
  #timer: NodeJS.Timeout | undefined = undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  /** @param now the clock, in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** How many wait; those that are gone count until their time. */
  get size(): number {
    return this.#heap.length;
  }

  add(departure: Departure): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(departure);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if ((heap[parent] as Departure).at <= departure.at) break;
      heap[index] = heap[parent] as Departure;
      index = parent;
    }
    heap[index] = departure;
    if (departure.at < this.#timerAt) this.#arm();
  }

  /** Lets go all whose time has come. */
  run(): void {
    const now = this.#now();
    for (let next = this.#heap[0]; next !== undefined && next.at <= now; next = this.#heap[0]) {
      this.#removeFirst();
      if (next.isGone) continue;
      next.isGone = true;
      next.leave();
    }
    this.#arm();
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop() as Departure;
    const length = heap.length;
    if (length === 0) return;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= length) break;
      if (child + 1 < length && (heap[child + 1] as Departure).at < (heap[child] as Departure).at) child++;
      if ((heap[child] as Departure).at >= last.at) break;
      heap[index] = heap[child] as Departure;
      index = child;
    }
    heap[index] = last;
  }

  #arm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
    const next = this.#heap[0];
    if (next === undefined) return;
    this.#timerAt = next.at;
    // Rounded up: nobody leaves before their turn.
    this.#timer = setTimeout(() => this.run(), Math.min(MAX_DELAY, Math.max(1, Math.ceil(next.at - this.#now()))));
    // Who waits has a connection, and that keeps the process.
    this.#timer.unref();
  }
}
