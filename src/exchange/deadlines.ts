// The global of that name is looked up anew at each use.
import { performance } from 'node:perf_hooks';
/** Something with a deadline; the fields belong to the `Deadlines` that it was added to. */
export interface Timed {
  /** On the clock of `performance.now()`, in milliseconds; Infinity: none for now. May be changed at any time. */
  deadline: number;
  /** Place in the list; -1 while not in one. */
  deadlineIndex: number;
  /** Called once the deadline has passed; set a new deadline or remove the item here, or it is called again at the next tick. */
  onDeadline(now: number): void;
}

/**
 * Deadlines of many connections without a timer each: one list, swept every few milliseconds. Adding, removing and
 * moving a deadline cost a few assignments, which is what a request pays.
 */
export class Deadlines {
  /** `performance.now()` of the last sweep: at most about a tick old, and free to read. */
  now = performance.now();
  readonly #items: Timed[] = [];
  readonly #timer: NodeJS.Timeout;

  /** @param tick milliseconds between sweeps: how late a deadline may be noticed */
  constructor(tick = 50) {
    this.#timer = setInterval(() => this.sweep(performance.now()), tick);
    this.#timer.unref();
  }

  get size(): number {
    return this.#items.length;
  }

  /** All items of now; they may be added and removed meanwhile. */
  [Symbol.iterator](): Iterator<Timed> {
    return this.#items.slice().values();
  }

  add(item: Timed): void {
    if (item.deadlineIndex >= 0) return;
    item.deadlineIndex = this.#items.length;
    this.#items.push(item);
  }

  remove(item: Timed): void {
    const index = item.deadlineIndex;
    if (index < 0) return;
    item.deadlineIndex = -1;
    const last = this.#items.pop();
    if (last !== undefined && last !== item) {
      this.#items[index] = last;
      last.deadlineIndex = index;
    }
  }

  /** Runs what is due. Items may be added and removed meanwhile. */
  sweep(now: number): void {
    this.now = now;
    // Backwards, because a removal puts the last item into the freed place.
    for (let index = this.#items.length - 1; index >= 0; index--) {
      const item = this.#items[index];
      if (item !== undefined && item.deadline <= now) item.onDeadline(now);
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
