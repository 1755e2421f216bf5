/**
 * What is known of tokens, by digest, bounded in number and in bytes. Two generations in place of a list in order of use: an entry that is used
 * again moves to the young one, and when that is full the old one goes as a whole. So a hit costs one look-up, and a flood of
 * tokens can't hold more than the bounds.
 *
 * Entries are found by 30 bits of their digests, as whole numbers: V8 keeps each text that a Map is asked for in a table of its own,
 * which costs more than the digest. Of two with the same bits the later one stays; the other token is judged anew.
 */

/** About what an entry without its value takes. */
const OVERHEAD = 200;

/** A digest of a token, and for whom. */
export interface TokenKey {
  /** 32 characters, each a byte of the token's SHA-256. */
  readonly digest: string;
  /** Of the same form, or empty: entries of one scope are none of another. */
  readonly scope: string;
}

interface Held<Value> extends TokenKey {
  readonly value: Value;
  readonly bytes: number;
}

export class TokenCache<Value> {
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  #young = new Map<number, Held<Value>>();
  #old = new Map<number, Held<Value>>();
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

  /** @param digest and `scope`: see `TokenKey` */
  get(digest: string, scope: string): Value | undefined {
    const place = placeOf(digest, scope);
    const young = this.#young.get(place);
    if (young !== undefined && isOf(young, digest, scope)) return young.value;
    const old = this.#old.get(place);
    if (old === undefined || !isOf(old, digest, scope)) return undefined;
    this.#removeOld(place, old);
    this.#add(place, old);
    return old.value;
  }

  /** @param bytes about what the value takes */
  set({ digest, scope }: TokenKey, value: Value, bytes: number): void {
    const place = placeOf(digest, scope);
    this.#remove(place);
    const held = { digest, scope, value, bytes: bytes + OVERHEAD };
    if (held.bytes <= this.#maxBytes / 2) this.#add(place, held);
  }

  delete(digest: string, scope: string): void {
    const place = placeOf(digest, scope);
    const held = this.#young.get(place) ?? this.#old.get(place);
    if (held !== undefined && isOf(held, digest, scope)) this.#remove(place);
  }

  /** Whatever is there: a place is taken in one generation at most. */
  #remove(place: number): void {
    const young = this.#young.get(place);
    if (young !== undefined) {
      this.#young.delete(place);
      this.#youngBytes -= young.bytes;
    }
    const old = this.#old.get(place);
    if (old !== undefined) this.#removeOld(place, old);
  }

  #add(place: number, held: Held<Value>): void {
    if (this.#young.size + 1 > this.#maxEntries / 2 || this.#youngBytes + held.bytes > this.#maxBytes / 2) {
      this.#old = this.#young;
      this.#oldBytes = this.#youngBytes;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#young.set(place, held);
    this.#youngBytes += held.bytes;
  }

  #removeOld(place: number, held: Held<Value>): void {
    this.#old.delete(place);
    this.#oldBytes -= held.bytes;
  }
}

/** Thirty bits, so that V8 keeps the number without an object. */
function placeOf(digest: string, scope: string): number {
  return bitsOf(digest) ^ bitsOf(scope);
}

/** Of a text that is too short: fewer. */
function bitsOf(text: string): number {
  return text.charCodeAt(0) | (text.charCodeAt(1) << 8) | (text.charCodeAt(2) << 16) | ((text.charCodeAt(3) & 0x3f) << 24);
}

function isOf(held: TokenKey, digest: string, scope: string): boolean {
  return held.digest === digest && held.scope === scope;
}
