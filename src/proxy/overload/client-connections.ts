/**
 * Open connections by client, over all workers: sets of a few slots in shared memory, with a lock each that is held for well
 * under a microsecond. A slot knows its client by a keyed hash of 64 bits, and each worker has a count of its own in it, so that
 * a worker which died is forgotten.
 */
import { randomFillSync } from 'node:crypto';
import { CidrSet, parseCidr } from '../../exchange/cidr.ts';
import { KeyedHash } from '../../policies/rate-limit/keyed-hash.ts';
import { SetLocks } from '../../policies/rate-limit/set-locks.ts';

/** A power of two. Both listeners together have 20,000 connections, so that a set which is full is rare. */
const SETS = 8192;
const SLOTS = 8;
/** Words at the beginning: the key of the hash. */
const HEADER = 2;
/** Words of a slot before the workers' counts: who it is. */
const TAG = 2;

/** Where a connection is counted; negative: nowhere. */
export type ClientPlace = number;
const UNCOUNTED: ClientPlace = -1;
/** The client has as many as it may have. */
export const NO_MORE: ClientPlace = -2;

export class ClientConnections {
  readonly #words: Int32Array;
  readonly #locks: SetLocks;
  readonly #hash = new KeyedHash(0, 0);
  readonly #fresh: KeyedHash;
  readonly #workers: number;
  readonly #worker: number;
  readonly #most: number;
  readonly #exempt: CidrSet;

  /**
   * @param most connections of one client
   * @param exempt CIDRs of peers that stand for many clients
   */
  constructor(buffer: SharedArrayBuffer, workers: number, worker: number, most: number, exempt: readonly string[]) {
    this.#words = new Int32Array(buffer);
    this.#locks = new SetLocks(this.#words, worker);
    this.#fresh = new KeyedHash(this.#words[0] as number, this.#words[1] as number);
    this.#workers = workers;
    this.#worker = worker;
    this.#most = most;
    this.#exempt = new CidrSet(exempt);
  }

  static allocate(workers: number): SharedArrayBuffer {
    const buffer = new SharedArrayBuffer((HEADER + SETS * (1 + SLOTS * (TAG + workers))) * Int32Array.BYTES_PER_ELEMENT);
    randomFillSync(new Int32Array(buffer), 0, HEADER);
    return buffer;
  }

  /**
   * Counts one more connection of that client: an IPv4 address, or the first 64 bits of an IPv6 one, which is what one client is
   * given. Where there is no room to count it is let in.
   * @returns `NO_MORE`, or what `leave` gets
   */
  enter(address: string): ClientPlace {
    const client = this.#exempt.has(address) ? undefined : parseCidr(address.includes(':') ? `${address}/64` : address);
    if (client === undefined) return UNCOUNTED;
    const hash = this.#hash;
    hash.resetTo(this.#fresh);
    hash.addWord(client.first[0] as number);
    hash.addWord(client.first[1] ?? 0);
    hash.finish(client.family);
    const set = HEADER + (hash.first & (SETS - 1)) * this.#setWords;
    this.#locks.acquire(set);
    try {
      return this.#count(set, hash.first, hash.second);
    } finally {
      this.#locks.release(set);
    }
  }

  leave(place: ClientPlace): void {
    if (place >= 0) Atomics.sub(this.#words, place + TAG + this.#worker, 1);
  }

  /** For the main thread, after that worker died. */
  static releaseWorker(buffer: SharedArrayBuffer, workers: number, worker: number): void {
    const words = new Int32Array(buffer);
    for (let set = 0; set < SETS; set++) {
      const start = HEADER + set * (1 + SLOTS * (TAG + workers));
      for (let slot = 0; slot < SLOTS; slot++) Atomics.store(words, start + 1 + slot * (TAG + workers) + TAG + worker, 0);
      SetLocks.releaseOf(worker, words, start);
    }
  }

  get #setWords(): number {
    return 1 + SLOTS * (TAG + this.#workers);
  }

  /** Under the lock of the set. */
  #count(set: number, first: number, second: number): ClientPlace {
    const words = this.#words;
    let free = UNCOUNTED;
    for (let slot = 0; slot < SLOTS; slot++) {
      const place = set + 1 + slot * (TAG + this.#workers);
      const open = this.#open(place);
      if (open === 0) {
        if (free === UNCOUNTED) free = place;
      } else if (words[place] === first && words[place + 1] === second) {
        if (open >= this.#most) return NO_MORE;
        Atomics.add(words, place + TAG + this.#worker, 1);
        return place;
      }
    }
    if (free === UNCOUNTED) return UNCOUNTED;
    words[free] = first;
    words[free + 1] = second;
    Atomics.add(words, free + TAG + this.#worker, 1);
    return free;
  }

  #open(place: number): number {
    let open = 0;
    for (let worker = 0; worker < this.#workers; worker++) open += Atomics.load(this.#words, place + TAG + worker);
    return open;
  }
}
