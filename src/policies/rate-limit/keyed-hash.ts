/**
 * HalfSipHash-2-4 with 64 bits of output (Aumasson and Bernstein; SipHash for 32-bit words), fed with words. It is keyed, so
 * that nobody outside can look for keys that collide, or that crowd into one set of slots.
 */
export class KeyedHash {
  #v0: number;
  #v1: number;
  #v2: number;
  #v3: number;
  /** The two words of the last `finish`. */
  first = 0;
  second = 0;

  /** @param key0 and `key1`: random bits, 32 each */
  constructor(key0: number, key1: number) {
    this.#v0 = key0 | 0;
    this.#v1 = key1 ^ 0xee;
    this.#v2 = key0 ^ 0x6c796765;
    this.#v3 = key1 ^ 0x74656462;
  }

  /** Goes on from where `other` stands, which stays as it is: for texts that begin alike. */
  resetTo(other: KeyedHash): void {
    this.#v0 = other.#v0;
    this.#v1 = other.#v1;
    this.#v2 = other.#v2;
    this.#v3 = other.#v3;
  }

  addWord(word: number): void {
    this.#v3 ^= word;
    this.#rounds(2);
    this.#v0 ^= word;
  }

  /**
   * Adds a text: the low bytes of its UTF-16 units, their high bytes where any is not zero, and then its length and which
   * of the two it was. Read from the end, that is the text again, so no two sequences of texts give the same words.
   */
  addText(text: string): void {
    const seen = this.#addBytes(text, 0);
    const isWide = seen > 0xff;
    if (isWide) this.#addBytes(text, 8);
    this.addWord((text.length << 1) | (isWide ? 1 : 0));
  }

  /** @returns the OR of all units */
  #addBytes(text: string, shift: 0 | 8): number {
    const length = text.length;
    const whole = length & ~3;
    let seen = 0;
    let index = 0;
    for (; index < whole; index += 4) {
      const a = text.charCodeAt(index);
      const b = text.charCodeAt(index + 1);
      const c = text.charCodeAt(index + 2);
      const d = text.charCodeAt(index + 3);
      seen |= a | b | c | d;
      this.addWord(((a >>> shift) & 0xff) | (((b >>> shift) & 0xff) << 8) | (((c >>> shift) & 0xff) << 16) | ((d >>> shift) << 24));
    }
    if (index === length) return seen;
    let word = 0;
    for (let place = 0; index < length; index++, place += 8) {
      const unit = text.charCodeAt(index);
      seen |= unit;
      word |= ((unit >>> shift) & 0xff) << place;
    }
    this.addWord(word);
    return seen;
  }

  /** Ends the input with one more word and leaves the result in `first` and `second`. */
  finish(last: number): void {
    this.addWord(last);
    this.#v2 ^= 0xee;
    this.#rounds(4);
    this.first = this.#v1 ^ this.#v3;
    this.#v1 ^= 0xdd;
    this.#rounds(4);
    this.second = this.#v1 ^ this.#v3;
  }

  #rounds(count: number): void {
    let v0 = this.#v0;
    let v1 = this.#v1;
    let v2 = this.#v2;
    let v3 = this.#v3;
    for (let round = 0; round < count; round++) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    this.#v0 = v0;
    this.#v1 = v1;
    this.#v2 = v2;
    this.#v3 = v3;
  }
}
