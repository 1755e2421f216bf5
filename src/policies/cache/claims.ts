/**
 * Which worker asks a backend for what, in shared memory, so that one request is made for those who wait at other workers as
 * well: a word for each of some keys, with the worker, a part of the key's hash, and whether others wait for the outcome.
 */
export const CLAIMS = 4096;

const WORKER_BITS = 9;
const WORKER_MASK = (1 << WORKER_BITS) - 1;
const AWAITED = 1 << 30;

/** What came of a claim. */
export const Claim = {
  /** It is ours; to be given back. */
  Ours: -1,
  /** Its word is taken for another key: whoever asks, asks for itself. */
  None: -2,
} as const;

export class Claims {
  readonly #words: Int32Array;
  readonly #first: number;
  readonly #worker: number;

  /** @param first of the words */
  constructor(words: Int32Array, first: number, worker: number) {
    this.#words = words;
    this.#first = first;
    this.#worker = worker + 1;
  }

  /** @param hash of the key @returns a `Claim`, or the number of the worker that has it and will tell when it is over */
  take(hash: number): number {
    const place = this.#first + (hash & (CLAIMS - 1));
    const tag = tagOf(hash);
    for (;;) {
      const held = Atomics.compareExchange(this.#words, place, 0, tag | this.#worker);
      if (held === 0) return Claim.Ours;
      const worker = held & WORKER_MASK;
      if ((held & ~AWAITED & ~WORKER_MASK) !== tag || worker === this.#worker) return Claim.None;
      // Given back in this moment: then it is free.
      if ((held & AWAITED) !== 0 || Atomics.compareExchange(this.#words, place, held, held | AWAITED) === held) return worker - 1;
    }
  }

  /** @returns whether other workers wait to hear of it */
  give(hash: number): boolean {
    const place = this.#first + (hash & (CLAIMS - 1));
    const held = Atomics.exchange(this.#words, place, 0);
    return (held & AWAITED) !== 0;
  }

  /** Gives back what a worker had that died. */
  static release(words: Int32Array, first: number, worker: number): void {
    for (let place = first; place < first + CLAIMS; place++) {
      // Again, should another worker just now say that it waits.
      for (let held = Atomics.load(words, place); (held & WORKER_MASK) === worker + 1; held = Atomics.load(words, place)) {
        Atomics.compareExchange(words, place, held, 0);
      }
    }
  }
}

/** Of the hash what does not choose the word. */
function tagOf(hash: number): number {
  return ((hash >>> 12) << WORKER_BITS) & ~AWAITED & 0x7fffffff;
}
