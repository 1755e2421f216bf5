/**
 * The shared memory of circuit breakers: what is exact over all workers is one number there. Each upstream that has a breaker
 * has a slot. Of what it holds a worker keeps its own part beside, in a row that nobody else writes, so that it can be given
 * back when the worker dies.
 *
 * A permit is taken by a compare-and-exchange on the sum, so that never one more is held than the limit, and none is refused
 * that there was room for. What goes well or not is counted in the worker's own row, without contention, and added up only when
 * a failure asks whether the breaker must open.
 */

/** Upstreams with a breaker, of one pod. */
export const BREAKER_SLOTS = 16_384;

/** What there are permits of. */
export const Permit = { Connection: 0, Pending: 1, Request: 2 } as const;
export type Permit = (typeof Permit)[keyof typeof Permit];
const PERMITS = 3;

/** Words of a slot that all share: the sums of permits, the state, and as two words when it opened. */
const STATE = 3;
const OPENED_AT = 4;
const SHARED_WORDS = 8;

/** Parts of the window. */
export const BUCKETS = 10;
/** Words of a bucket: whose it is (0: nobody's), which part of time, tries, failures. */
const BUCKET_WORDS = 4;
/** The worker's own permits, to a whole number of words of 16 bytes, and its buckets. */
const OWN_BUCKETS = 4;
const OWN_WORDS = OWN_BUCKETS + BUCKETS * BUCKET_WORDS;

/** What a breaker is about. In the low bits of the word of its state. */
export const Kind = { Closed: 0, Open: 1, HalfOpen: 2, /** Somebody is about to open it. */ Opening: 3 } as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

/** Most trials that the word of a state can count. */
export const MOST_TRIALS = 0x7ff;

/** The state in one word, so that it changes in one step: kind (2 bits), trials begun (11), trials that went well (11), generation (8). */
export const stateOf = (kind: Kind, generation: number, begun = 0, good = 0): number => kind | (begun << 2) | (good << 13) | (generation << 24);
export const kindOf = (state: number): Kind => (state & 3) as Kind;
export const begunOf = (state: number): number => (state >>> 2) & MOST_TRIALS;
export const goodOf = (state: number): number => (state >>> 13) & MOST_TRIALS;
/** Counts how often it opened or closed, so that what comes late is known for it. */
export const generationOf = (state: number): number => state >>> 24;
export const nextGeneration = (state: number): number => (generationOf(state) + 1) & 0xff;

/** One thread's view. */
export class BreakerMemory {
  readonly #ints: Int32Array;
  readonly #floats: Float64Array;
  readonly #workers: number;
  readonly #slots: number;
  readonly #worker: number;

  /**
   * @param buffer made by `allocate` for as many workers and slots
   * @param worker this thread's row; the main thread may pass any
   */
  constructor(buffer: SharedArrayBuffer, workers: number, worker: number) {
    this.#ints = new Int32Array(buffer);
    this.#floats = new Float64Array(buffer);
    this.#workers = workers;
    this.#slots = this.#ints.length / (SHARED_WORDS + workers * OWN_WORDS);
    this.#worker = worker;
  }

  /** The system backs it with memory as it is used. */
  static allocate(workers: number, slots = BREAKER_SLOTS): SharedArrayBuffer {
    return new SharedArrayBuffer(slots * (SHARED_WORDS + workers * OWN_WORDS) * Int32Array.BYTES_PER_ELEMENT);
  }

  /** @returns whether there was one left of `most` */
  take(slot: number, permit: Permit, most: number): boolean {
    const ints = this.#ints;
    const sum = slot * SHARED_WORDS + permit;
    const own = this.#own(this.#worker, slot) + permit;
    for (;;) {
      const held = Atomics.load(ints, sum);
      if (held >= most) return false;
      if (Atomics.compareExchange(ints, sum, held, held + 1) !== held) continue;
      // Nothing interrupts a thread between these two steps, so that a worker that is ended leaves both or none of them done.
      ints[own] = (ints[own] as number) + 1;
      return true;
    }
  }

  /** Gives back one that this worker holds. */
  give(slot: number, permit: Permit): void {
    const own = this.#own(this.#worker, slot) + permit;
    this.#ints[own] = (this.#ints[own] as number) - 1;
    Atomics.sub(this.#ints, slot * SHARED_WORDS + permit, 1);
  }

  /** Held by all workers. */
  held(slot: number, permit: Permit): number {
    return Atomics.load(this.#ints, slot * SHARED_WORDS + permit);
  }

  /** Held by this one. */
  ownHeld(slot: number, permit: Permit): number {
    return this.#ints[this.#own(this.#worker, slot) + permit] as number;
  }

  state(slot: number): number {
    return Atomics.load(this.#ints, slot * SHARED_WORDS + STATE);
  }

  /** @returns whether it was as expected, and is `next` now */
  change(slot: number, expected: number, next: number): boolean {
    return Atomics.compareExchange(this.#ints, slot * SHARED_WORDS + STATE, expected, next) === expected;
  }

  /** When it opened, on the clock of whoever opened it; of a breaker that is open. */
  openedAt(slot: number): number {
    return this.#floats[(slot * SHARED_WORDS + OPENED_AT) >> 1] as number;
  }

  /** From the state `before`, unless it is another one by now. @returns whether it was */
  open(slot: number, before: number, now: number): boolean {
    const generation = nextGeneration(before);
    if (!this.change(slot, before, stateOf(Kind.Opening, generation))) return false;
    // Nobody reads it in between: in this state nothing is let through, whatever the time.
    this.#floats[(slot * SHARED_WORDS + OPENED_AT) >> 1] = now;
    Atomics.store(this.#ints, slot * SHARED_WORDS + STATE, stateOf(Kind.Open, generation));
    return true;
  }

  /** Counts in this worker's row. @param epoch which part of time it is, any whole number of 32 bits */
  count(slot: number, generation: number, epoch: number, tries: number, failures: number): void {
    const ints = this.#ints;
    const bucket = this.#bucket(this.#worker, slot, epoch);
    const owner = generation + 1;
    if (ints[bucket] !== owner || ints[bucket + 1] !== epoch) {
      ints[bucket] = owner;
      ints[bucket + 1] = epoch;
      ints[bucket + 2] = 0;
      ints[bucket + 3] = 0;
    }
    ints[bucket + 2] = (ints[bucket + 2] as number) + tries;
    ints[bucket + 3] = (ints[bucket + 3] as number) + failures;
  }

  /** Over all workers, in the last `BUCKETS` parts of time. */
  counted(slot: number, generation: number, epoch: number): { readonly tries: number; readonly failures: number } {
    const ints = this.#ints;
    let tries = 0;
    let failures = 0;
    for (let worker = 0; worker < this.#workers; worker++) {
      for (let index = 0; index < BUCKETS; index++) {
        const bucket = this.#own(worker, slot) + OWN_BUCKETS + index * BUCKET_WORDS;
        const age = (epoch - Atomics.load(ints, bucket + 1)) | 0;
        if (Atomics.load(ints, bucket) !== generation + 1 || age < 0 || age >= BUCKETS) continue;
        tries += Atomics.load(ints, bucket + 2);
        failures += Atomics.load(ints, bucket + 3);
      }
    }
    return { tries, failures };
  }

  /** For the main thread, when a slot goes to another upstream: what is still held of the old one is given back in its time. */
  reset(slot: number): void {
    for (;;) {
      const state = this.state(slot);
      if (this.change(slot, state, stateOf(Kind.Closed, nextGeneration(state)))) return;
    }
  }

  /**
   * For the main thread, after that worker died: what it held is free again. A breaker that was half open and had trials of
   * its own opens again, for nobody will hear what became of them.
   * @param slots those that may have been used
   */
  releaseWorker(worker: number, slots: number, now: number): void {
    const ints = this.#ints;
    for (let slot = 0; slot < Math.min(slots, this.#slots); slot++) {
      const own = this.#own(worker, slot);
      const hadRequests = (ints[own + Permit.Request] as number) > 0;
      for (let permit = 0; permit < PERMITS; permit++) {
        const held = ints[own + permit] as number;
        if (held === 0) continue;
        ints[own + permit] = 0;
        Atomics.sub(ints, slot * SHARED_WORDS + permit, held);
      }
      for (let state = this.state(slot); hadRequests && kindOf(state) === Kind.HalfOpen; state = this.state(slot)) if (this.open(slot, state, now)) break;
    }
  }

  #own(worker: number, slot: number): number {
    return this.#slots * SHARED_WORDS + (worker * this.#slots + slot) * OWN_WORDS;
  }

  #bucket(worker: number, slot: number, epoch: number): number {
    return this.#own(worker, slot) + OWN_BUCKETS + ((epoch >>> 0) % BUCKETS) * BUCKET_WORDS;
  }
}
