/** A map from SHA-256 digests to small numbers, in flat memory: a look-up costs the same with ten entries and with a million. */
import { timingSafeEqual } from 'node:crypto';

const DIGEST = 32;
const FREE = -1;
/** A slot whose entry is gone; others may stand behind it. */
const GONE = -2;

export class DigestTable {
  /** Of each entry; entries are never moved. */
  #digests = Buffer.alloc(16 * DIGEST);
  #values = new Int32Array(16);
  /** Entries that are free again. */
  readonly #spare: number[] = [];
  #entries = 0;
  /** By the first four bytes of the digest, and then one after the other: the index of an entry. A power of two, at most half full. */
  #slots = new Int32Array(32).fill(FREE);
  /** Slots that are not FREE. */
  #used = 0;

  get size(): number {
    return this.#entries - this.#spare.length;
  }

  /** The bytes that it holds. */
  get bytes(): number {
    return this.#digests.length + this.#values.byteLength + this.#slots.byteLength;
  }

  /** @param digest 32 bytes @returns its number, or -1. The comparison takes equally long wherever two digests differ */
  get(digest: Buffer): number {
    const slot = this.#find(digest);
    return slot < 0 ? -1 : (this.#values[this.#slots[slot] as number] as number);
  }

  /** @param value 0 or more; in place of what was there */
  set(digest: Buffer, value: number): void {
    const found = this.#find(digest);
    if (found >= 0) {
      this.#values[this.#slots[found] as number] = value;
      return;
    }
    if (this.#used * 2 >= this.#slots.length) this.#rehash();
    const entry = this.#spare.pop() ?? this.#append();
    digest.copy(this.#digests, entry * DIGEST, 0, DIGEST);
    this.#values[entry] = value;
    this.#place(entry);
  }

  delete(digest: Buffer): void {
    const slot = this.#find(digest);
    if (slot < 0) return;
    const entry = this.#slots[slot] as number;
    this.#digests.fill(0, entry * DIGEST, (entry + 1) * DIGEST);
    this.#spare.push(entry);
    this.#slots[slot] = GONE;
  }

  #find(digest: Buffer): number {
    const mask = this.#slots.length - 1;
    for (let slot = digest.readUInt32LE(0) & mask; ; slot = (slot + 1) & mask) {
      const entry = this.#slots[slot] as number;
      if (entry === FREE) return -1;
      if (entry !== GONE && timingSafeEqual(this.#digests.subarray(entry * DIGEST, (entry + 1) * DIGEST), digest)) return slot;
    }
  }

  #append(): number {
    if (this.#entries === this.#values.length) {
      const digests = Buffer.alloc(this.#digests.length * 2);
      this.#digests.copy(digests);
      this.#digests = digests;
      const values = new Int32Array(this.#values.length * 2);
      values.set(this.#values);
      this.#values = values;
    }
    return this.#entries++;
  }

  #place(entry: number): void {
    const mask = this.#slots.length - 1;
    let slot = this.#digests.readUInt32LE(entry * DIGEST) & mask;
    while (this.#slots[slot] !== FREE) slot = (slot + 1) & mask;
    this.#slots[slot] = entry;
    this.#used++;
  }

  /** Twice the slots where they are needed, and none that is GONE. */
  #rehash(): void {
    const entries = this.#slots.filter((entry) => entry >= 0);
    const length = entries.length * 4 >= this.#slots.length ? this.#slots.length * 2 : this.#slots.length;
    this.#slots = new Int32Array(length).fill(FREE);
    this.#used = 0;
    for (const entry of entries) this.#place(entry);
  }
}
