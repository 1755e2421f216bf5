/**
 * Which entry makes room for another one, in shared memory: SIEVE (Zhang et al., NSDI 2024). A queue by age, and a hand that goes
 * from old to new and takes what was not read since it came by last. Reading sets a flag and moves nothing, and what is asked
 * for once only goes first. All but `wasRead` is called with the memory's lock.
 */

/** What the states say of a block. */
export const NO_ENTRY = 0;
const UNREAD = 1;
const READ = 2;

/** Words from the first one on. Links are numbers of blocks plus one; 0: none. */
const NEWEST = 0;
const OLDEST = 1;
const HAND = 2;

export class SieveQueue {
  readonly #words: Int32Array;
  readonly #first: number;
  readonly #states: Int32Array;
  /** Neighbours of each block. */
  readonly #newer: Int32Array;
  readonly #older: Int32Array;

  /** @param first of three words for the queue's own @param states, newer, older a word for each block */
  constructor(words: Int32Array, first: number, states: Int32Array, newer: Int32Array, older: Int32Array) {
    this.#words = words;
    this.#first = first;
    this.#states = states;
    this.#newer = newer;
    this.#older = older;
  }

  wasRead(block: number): void {
    // Not where it is so already: a hot entry's word would go to and fro between the cores.
    if (Atomics.load(this.#states, block) === UNREAD) Atomics.compareExchange(this.#states, block, UNREAD, READ);
  }

  add(block: number): void {
    Atomics.store(this.#states, block, UNREAD);
    const newest = this.#get(NEWEST);
    this.#newer[block] = 0;
    this.#older[block] = newest;
    if (newest > 0) this.#newer[newest - 1] = block + 1;
    else this.#set(OLDEST, block + 1);
    this.#set(NEWEST, block + 1);
  }

  take(block: number): void {
    const newer = this.#newer[block] as number;
    const older = this.#older[block] as number;
    if (newer > 0) this.#older[newer - 1] = older;
    else this.#set(NEWEST, older);
    if (older > 0) this.#newer[older - 1] = newer;
    else this.#set(OLDEST, newer);
    if (this.#get(HAND) === block + 1) this.#set(HAND, newer);
    Atomics.store(this.#states, block, NO_ENTRY);
  }

  /** @returns what is to go; negative: there is nothing */
  victim(): number {
    let block = (this.#get(HAND) || this.#get(OLDEST)) - 1;
    if (block < 0) return block;
    while (this.#states[block] === READ) {
      Atomics.store(this.#states, block, UNREAD);
      block = ((this.#newer[block] as number) || this.#get(OLDEST)) - 1;
    }
    this.#set(HAND, block + 1);
    return block;
  }

  /** The states are the caller's to set. */
  clear(): void {
    for (const word of [NEWEST, OLDEST, HAND]) this.#set(word, 0);
  }

  #get(word: number): number {
    return this.#words[this.#first + word] as number;
  }

  #set(word: number, value: number): void {
    this.#words[this.#first + word] = value;
  }
}
