/**
 * What is known of tokens, by digest, bounded in number and in bytes. Two generations in place of a list in order of use: an entry that is used
 * again moves to the young one, and when that is full the old one goes as a whole. So a hit costs one look-up, and a flood of
 * tokens can't hold more than the bounds.
 */

/** About what an entry without its value takes. */
const OVERHEAD = 200;

interface Held<Value> {
  readonly value: Value;
  readonly bytes: number;
}

export class TokenCache<Value> {
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  #young = new Map<string, Held<Value>>();
  #old = new Map<string, Held<Value>>();
  #youngBytes = 0;
  #oldBytes = 0;

  /** @param maxBytes of values, as they are told, with something added for each */
  constructor(maxEntries: number, maxBytes: number) {
    this.#maxEntries = maxEntries;
    this.#maxBytes = maxBytes;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get bytes(): number {
    return this.#youngBytes + this.#oldBytes;
  }

  get(key: string): Value | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young.value;
    const old = this.#old.get(key);
    if (old === undefined) return undefined;
    this.#remove(key, old);
    this.#add(key, old);
    return old.value;
  }

  /** @param bytes about what the value takes */
  set(key: string, value: Value, bytes: number): void {
    this.delete(key);
    const held = { value, bytes: bytes + OVERHEAD };
    if (held.bytes <= this.#maxBytes / 2) this.#add(key, held);
  }

  delete(key: string): void {
    const young = this.#young.get(key);
    if (young !== undefined) {
      this.#young.delete(key);
      this.#youngBytes -= young.bytes;
    }
    const old = this.#old.get(key);
    if (old !== undefined) this.#remove(key, old);
  }

  #add(key: string, held: Held<Value>): void {
    if (this.#young.size + 1 > this.#maxEntries / 2 || this.#youngBytes + held.bytes > this.#maxBytes / 2) {
      this.#old = this.#young;
      this.#oldBytes = this.#youngBytes;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#young.set(key, held);
    this.#youngBytes += held.bytes;
  }

  #remove(key: string, held: Held<Value>): void {
    this.#old.delete(key);
    this.#oldBytes -= held.bytes;
  }
}
