/**
 * Locks in shared memory, a word each: 0 when free, else the holder's worker number plus one, with a bit for "somebody
 * sleeps on it". They are held for well under a microsecond, so a thread tries for a moment before it sleeps. The holder's
 * number is there for the main thread, which frees the locks of a worker that died.
 */
/** The bit in a lock's word. */
export const SLEEPERS = 1 << 30;
const TRIES = 64;
/** Sleepers look again after this many milliseconds, should a worker have died between its release and its wake-up call. */
const NAP = 5;

export class SetLocks {
  readonly #words: Int32Array;
  readonly #mark: number;

  /** @param words the shared memory; a lock is known by the index of its word */
  constructor(words: Int32Array, worker: number) {
    this.#words = words;
    this.#mark = worker + 1;
  }

  acquire(lock: number): void {
    if (Atomics.compareExchange(this.#words, lock, 0, this.#mark) !== 0) this.#acquireSlowly(lock);
  }

  /** For the main thread, which frees the locks of the dead and so must not wait for one for ever. @returns whether it has it now */
  acquireWithin(lock: number, milliseconds: number): boolean {
    if (Atomics.compareExchange(this.#words, lock, 0, this.#mark) === 0) return true;
    return this.#acquireSlowly(lock, performance.now() + milliseconds);
  }

  release(lock: number): void {
    if (Atomics.exchange(this.#words, lock, 0) >= SLEEPERS) Atomics.notify(this.#words, lock, 1);
  }

  #acquireSlowly(lock: number, deadline = Number.POSITIVE_INFINITY): boolean {
    const words = this.#words;
    for (let tries = 0; tries < TRIES; tries++) {
      if (Atomics.load(words, lock) === 0 && Atomics.compareExchange(words, lock, 0, this.#mark) === 0) return true;
    }
    for (;;) {
      const held = Atomics.load(words, lock);
      if (held === 0) {
        // Others may be asleep as well: the bit makes this holder wake the next one.
        if (Atomics.compareExchange(words, lock, 0, this.#mark | SLEEPERS) === 0) return true;
      } else if (performance.now() > deadline) {
        return false;
      } else if (held >= SLEEPERS || Atomics.compareExchange(words, lock, held, held | SLEEPERS) === held) {
        Atomics.wait(words, lock, held | SLEEPERS, NAP);
      }
    }
  }

  /** Whether that worker, which is dead, holds the lock. */
  static holds(worker: number, words: Int32Array, lock: number): boolean {
    return (Atomics.load(words, lock) & ~SLEEPERS) === worker + 1;
  }

  /** Frees the lock if that worker, which is dead, holds it. @returns whether it did */
  static releaseOf(worker: number, words: Int32Array, lock: number): boolean {
    const held = Atomics.load(words, lock);
    if ((held & ~SLEEPERS) !== worker + 1) return false;
    Atomics.store(words, lock, 0);
    Atomics.notify(words, lock);
    return true;
  }
}
