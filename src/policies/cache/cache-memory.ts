/**
 * Where stored answers are: one block of shared memory, made once by the main thread, so that what one worker stores is there
 * for all of them at once, is counted once, and is never more than `--cache-memory` says. It holds a header, a table of buckets,
 * a few words for each block, and the blocks, of 1 KiB. An entry is a chain of blocks, known by its first one.
 *
 * Reading takes no lock: each entry has a number that is odd while it changes and another one afterwards, so a reader looks at it
 * before and after it has copied what it wants. Writing takes the one lock; it is held for the copy of one entry. A worker that
 * dies with it leaves a mess behind: then everything is forgotten, which a cache may always do.
 *
 * What makes room is the SIEVE of sieve-queue.ts.
 */
import { randomFillSync } from 'node:crypto';
import { KeyedHash } from '../rate-limit/keyed-hash.ts';
import { SetLocks } from '../rate-limit/set-locks.ts';
import { CLAIMS, Claims } from './claims.ts';
import { EntryBlocks, META, type StoredEntry, type StoredMeta } from './entry-blocks.ts';
import { NO_ENTRY, SieveQueue } from './sieve-queue.ts';

/** Words of the header. Links are numbers of blocks plus one; 0: none. */
const HEADER = {
  lock: 0,
  blocks: 1,
  buckets: 2,
  untouched: 3,
  free: 4,
  /** And the next two: see sieve-queue.ts. */
  newest: 5,
  used: 8,
  entries: 9,
  evicted: 10,
  hashKey0: 11,
  hashKey1: 12,
} as const;
/** Behind it, how often something was invalidated, by URL: many share one. */
const EPOCHS = 1024;
const FIRST_EPOCH = 64;
const FIRST_CLAIM = FIRST_EPOCH + EPOCHS;
const HEADER_WORDS = FIRST_CLAIM + CLAIMS;

export const BLOCK = 1024;
/** Words for each block: see the constructor. */
const WORDS = 7;

/** Entries in one bucket, all variants of a URL among them: one client can't make the others' way longer. */
const MAX_CHAIN = 128;
/** Milliseconds that a removal waits for the lock, which is held for the copy of one entry. */
const MAX_WAIT = 1000;
/** One entry takes no more than this part of the memory. */
const MAX_SHARE = 8;

export class CacheMemory {
  readonly #words: Int32Array;
  readonly #locks: SetLocks;
  readonly #blocks: number;
  /** Of each bucket the first entry; of each block, where it is an entry's: the next entry of its bucket. */
  readonly #buckets: Int32Array;
  readonly #chained: Int32Array;
  /** The next block of an entry, or of the free ones. */
  readonly #next: Int32Array;
  readonly #generations: Int32Array;
  readonly #hashes: Int32Array;
  readonly #states: Int32Array;
  readonly #queue: SieveQueue;
  readonly #data: EntryBlocks;
  readonly #claims: Claims;
  readonly #seed: KeyedHash;
  readonly #hash: KeyedHash;
  /** Stands between reads that must not change places; see `#unchanged`. */
  readonly #fence = new Int32Array(new SharedArrayBuffer(4));

  /** @param bytes all in all; 0: nothing is ever stored */
  static allocate(bytes: number): SharedArrayBuffer {
    // Blocks begin at a multiple of 64.
    const room = bytes - HEADER_WORDS * 4 - 64;
    // A bucket for every two blocks at most, so about two entries in each when all of them are small.
    const blocks = Math.max(0, Math.floor(room / (BLOCK + WORDS * 4 + 4)));
    const buckets = blocks < 2 ? 1 : 2 ** Math.floor(Math.log2(blocks));
    const words = HEADER_WORDS + buckets + blocks * WORDS;
    const buffer = new SharedArrayBuffer(aligned(words * 4) + blocks * BLOCK);
    const header = new Int32Array(buffer, 0, HEADER_WORDS);
    header[HEADER.blocks] = blocks;
    header[HEADER.buckets] = buckets;
    randomFillSync(header, HEADER.hashKey0, 2);
    return buffer;
  }

  /** @param worker who uses it; the main thread has a number that no worker has */
  constructor(buffer: SharedArrayBuffer, worker: number) {
    const words = new Int32Array(buffer, 0, HEADER_WORDS);
    this.#words = words;
    this.#locks = new SetLocks(words, worker);
    const blocks = words[HEADER.blocks] as number;
    const buckets = words[HEADER.buckets] as number;
    this.#blocks = blocks;
    let offset = HEADER_WORDS * 4;
    const take = (count: number): Int32Array => {
      const taken = new Int32Array(buffer, offset, count);
      offset += count * 4;
      return taken;
    };
    this.#buckets = take(buckets);
    this.#chained = take(blocks);
    this.#next = take(blocks);
    this.#generations = take(blocks);
    this.#hashes = take(blocks);
    this.#states = take(blocks);
    this.#queue = new SieveQueue(words, HEADER.newest, this.#states, take(blocks), take(blocks));
    this.#data = new EntryBlocks(buffer, aligned(offset), this.#next);
    this.#claims = new Claims(words, FIRST_CLAIM, worker);
    this.#seed = new KeyedHash(words[HEADER.hashKey0] as number, words[HEADER.hashKey1] as number);
    this.#hash = new KeyedHash(0, 0);
  }

  /** Of the memory, what entries take up, with the rest of their last blocks. */
  get bytes(): number {
    return Atomics.load(this.#words, HEADER.used) * BLOCK;
  }

  get entries(): number {
    return Atomics.load(this.#words, HEADER.entries);
  }

  /** Entries that made room for others, since the start. */
  get evicted(): number {
    return Atomics.load(this.#words, HEADER.evicted);
  }

  /** Bytes that one entry can have, key and head included. */
  get largestEntry(): number {
    return Math.floor(this.#blocks / MAX_SHARE) * BLOCK - META.bytes;
  }

  /** Changes with each invalidation of the URL, and of some others. */
  epoch(url: string): number {
    return Atomics.load(this.#words, epochOf(this.#hashOf(url, url)));
  }

  /** @param url what `key` begins with */
  find(url: string, key: string): StoredEntry | undefined {
    const bucket = this.#hashOf(url, key);
    let link = Atomics.load(this.#buckets, bucket);
    for (let steps = 0; link > 0 && steps < MAX_CHAIN; steps++) {
      const block = link - 1;
      if (this.#hashes[block] === this.#hash.second) {
        const entry = this.#read(block, key);
        if (entry !== undefined) return entry;
      }
      link = Atomics.load(this.#chained, block);
    }
    return undefined;
  }

  /** Says that this worker asks a backend for what the key stands for. @returns see `Claims.take` */
  claim(url: string, key: string): number {
    return this.#claims.take(this.#hashOf(url, key) ^ this.#hash.second);
  }

  /** @returns whether other workers wait to hear of it */
  unclaim(url: string, key: string): boolean {
    return this.#claims.give(this.#hashOf(url, key) ^ this.#hash.second);
  }

  /** @returns undefined where the entry is not there any more */
  body(entry: StoredEntry): Buffer | undefined {
    const body = this.#data.body(entry.block, entry.bodyLength);
    return body !== undefined && this.#unchanged(entry.block, entry.generation) ? body : undefined;
  }

  /**
   * Stores an answer in the place of what the key had.
   * @param head as `StoredEntry.head`, characters being bytes
   * @param epoch of the URL before its origin was asked; absent: that does not matter
   * @returns false where it is too large, or where something was written to the URL meanwhile
   */
  put(url: string, key: string, meta: StoredMeta, head: string, body: readonly Buffer[], epoch?: number): boolean {
    let bodyLength = 0;
    for (const chunk of body) bodyLength += chunk.length;
    const bytes = META.bytes + key.length + head.length + bodyLength;
    const needed = Math.ceil(bytes / BLOCK);
    if (bytes - META.bytes > this.largestEntry) return false;
    this.#locks.acquire(HEADER.lock);
    try {
      const bucket = this.#hashOf(url, key);
      const hash = this.#hash.second;
      if (epoch !== undefined && this.#words[epochOf(bucket)] !== epoch) return false;
      this.#clearWay(bucket, hash, key);
      while (this.#freeBlocks() < needed) this.#evict();
      const first = this.#takeBlocks(needed);
      // Odd: whoever has come here by an old link does not believe what it reads.
      Atomics.add(this.#generations, first, 1);
      this.#data.write(first, meta, url.length, key, head, body, bodyLength);
      this.#hashes[first] = hash;
      Atomics.add(this.#generations, first, 1);
      this.#queue.add(first);
      this.#chained[first] = this.#buckets[bucket] as number;
      Atomics.store(this.#buckets, bucket, first + 1);
      Atomics.add(this.#words, HEADER.used, needed);
      Atomics.add(this.#words, HEADER.entries, 1);
      // Whoever invalidates what is not there yet takes no lock, but counts first and looks then: what it has not seen sees its count.
      if (epoch === undefined || Atomics.load(this.#words, epochOf(bucket)) === epoch) return true;
      this.#removeWhere(bucket, (block) => block === first);
      return false;
    } finally {
      this.#locks.release(HEADER.lock);
    }
  }

  remove(url: string, key: string): void {
    this.#locks.acquire(HEADER.lock);
    try {
      const bucket = this.#hashOf(url, key);
      const hash = this.#hash.second;
      this.#removeWhere(bucket, (block) => this.#hashes[block] === hash && this.#data.key(block) === key);
    } finally {
      this.#locks.release(HEADER.lock);
    }
  }

  /** Removes every answer to that URL, of all routes and with all variants. @returns how many */
  invalidate(url: string): number {
    return this.#invalidate(url) ?? 0;
  }

  /** @returns undefined where whoever holds the lock is dead: then all is forgotten as soon as the main thread has seen that */
  #invalidate(url: string): number | undefined {
    const bucket = this.#hashOf(url, url);
    Atomics.add(this.#words, epochOf(bucket), 1);
    // Most URLs that something is written to have nothing stored.
    if (Atomics.load(this.#buckets, bucket) === 0) return 0;
    if (!this.#locks.acquireWithin(HEADER.lock, MAX_WAIT)) return undefined;
    try {
      return this.#removeWhere(bucket, (block) => this.#data.url(block) === url);
    } finally {
      this.#locks.release(HEADER.lock);
    }
  }

  /** Removes what fits, a look at a time, so that writers wait for none of it. @param fits gets URLs, as they are in keys @returns how many */
  purge(fits: (url: string) => boolean): number {
    let removed = 0;
    // What is on its way was asked for before.
    for (let epoch = 0; epoch < EPOCHS; epoch++) Atomics.add(this.#words, FIRST_EPOCH + epoch, 1);
    for (let block = 0; block < this.#blocks; block++) {
      const generation = Atomics.load(this.#generations, block);
      if (Atomics.load(this.#states, block) === NO_ENTRY) continue;
      const url = this.#data.url(block);
      if (url === undefined || !this.#unchanged(block, generation) || !fits(url)) continue;
      const count = this.#invalidate(url);
      if (count === undefined) break;
      removed += count;
    }
    return removed;
  }

  /** Gives back what a worker that died has held. */
  static releaseWorker(buffer: SharedArrayBuffer, worker: number): void {
    const words = new Int32Array(buffer, 0, HEADER_WORDS);
    Claims.release(words, FIRST_CLAIM, worker);
    if (SetLocks.holds(worker, words, HEADER.lock)) {
      new CacheMemory(buffer, worker).#forgetAll();
      SetLocks.releaseOf(worker, words, HEADER.lock);
    }
  }

  /** With the lock. Every entry changes, so that nobody who reads one now believes it. */
  #forgetAll(): void {
    this.#buckets.fill(0);
    for (let block = 0; block < this.#blocks; block++) {
      if (this.#generations[block] === 0) continue;
      Atomics.store(this.#states, block, NO_ENTRY);
      Atomics.add(this.#generations, block, (this.#generations[block] as number) % 2 === 0 ? 2 : 1);
    }
    for (const word of [HEADER.untouched, HEADER.free, HEADER.used, HEADER.entries]) Atomics.store(this.#words, word, 0);
    this.#queue.clear();
  }

  /** @returns the bucket; `#hash.second` is then the hash of the key */
  #hashOf(url: string, key: string): number {
    const hash = this.#hash;
    hash.resetTo(this.#seed);
    hash.addText(url);
    hash.finish(0);
    const bucket = hash.first & (this.#buckets.length - 1);
    // Equal hashes are told apart by the keys.
    if (key.length > url.length) {
      let rest = hash.second;
      for (let index = url.length; index < key.length; index++) rest = Math.imul(rest ^ key.charCodeAt(index), 0x01000193);
      hash.second = rest | 0;
    }
    return bucket;
  }

  #read(block: number, key: string): StoredEntry | undefined {
    const generation = Atomics.load(this.#generations, block);
    if (generation % 2 !== 0 || Atomics.load(this.#states, block) === NO_ENTRY) return undefined;
    const entry = this.#data.read(block, generation, key);
    if (entry === undefined || !this.#unchanged(block, generation)) return undefined;
    this.#queue.wasRead(block);
    return entry;
  }

  /** Whether what was read since belongs to that generation. */
  #unchanged(block: number, generation: number): boolean {
    // Plain reads may be carried out after an atomic one that follows them, but not after an atomic write.
    Atomics.store(this.#fence, 0, 0);
    return Atomics.load(this.#generations, block) === generation;
  }

  // --- with the lock ---

  #freeBlocks(): number {
    return this.#blocks - (this.#words[HEADER.used] as number);
  }

  #takeBlocks(count: number): number {
    let link = 0;
    for (let taken = 0; taken < count; taken++) {
      let block = (this.#words[HEADER.free] as number) - 1;
      if (block >= 0) {
        this.#words[HEADER.free] = this.#next[block] as number;
      } else {
        block = this.#words[HEADER.untouched] as number;
        this.#words[HEADER.untouched] = block + 1;
      }
      this.#next[block] = link;
      link = block + 1;
    }
    return link - 1;
  }

  /** Removes what the key has, and the oldest of a bucket that is too long. */
  #clearWay(bucket: number, hash: number, key: string): void {
    let length = 0;
    this.#removeWhere(bucket, (block) => {
      length++;
      return length >= MAX_CHAIN || (this.#hashes[block] === hash && this.#data.key(block) === key);
    });
  }

  #removeWhere(bucket: number, fits: (block: number) => boolean): number {
    let removed = 0;
    let before = -1;
    for (let link = this.#buckets[bucket] as number; link > 0; ) {
      const block = link - 1;
      link = this.#chained[block] as number;
      if (!fits(block)) {
        before = block;
        continue;
      }
      if (before < 0) Atomics.store(this.#buckets, bucket, link);
      else Atomics.store(this.#chained, before, link);
      this.#release(block);
      removed++;
    }
    return removed;
  }

  #evict(): void {
    const block = this.#queue.victim();
    if (block < 0) {
      this.#forgetAll();
      return;
    }
    const url = this.#data.url(block) ?? '';
    this.#removeWhere(this.#hashOf(url, url), (other) => other === block);
    Atomics.add(this.#words, HEADER.evicted, 1);
  }

  /** Out of the queue, and its blocks to the free ones. */
  #release(block: number): void {
    this.#queue.take(block);
    Atomics.add(this.#generations, block, 2);
    let count = 1;
    let last = block;
    for (; (this.#next[last] as number) > 0; count++) last = (this.#next[last] as number) - 1;
    this.#next[last] = this.#words[HEADER.free] as number;
    this.#words[HEADER.free] = block + 1;
    Atomics.sub(this.#words, HEADER.used, count);
    Atomics.sub(this.#words, HEADER.entries, 1);
  }
}

function epochOf(bucket: number): number {
  return FIRST_EPOCH + (bucket & (EPOCHS - 1));
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / 64) * 64;
}
