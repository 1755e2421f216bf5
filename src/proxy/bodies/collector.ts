/** Bytes that are kept until there are no more of them, up to a bound. */
export class Collector {
  readonly #max: number;
  readonly #chunks: Buffer[] = [];
  #length = 0;

  /** @param max bytes */
  constructor(max: number) {
    this.#max = max;
  }

  /** @param stable the bytes stay as they are @returns false: that is too much, and nothing is kept any more */
  add(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    this.#length += end - start;
    if (this.#length > this.#max) {
      this.#chunks.length = 0;
      return false;
    }
    const part = bytes.subarray(start, end);
    // A part of a larger buffer would keep the whole of it.
    this.#chunks.push(stable && part.length * 2 >= bytes.buffer.byteLength ? part : Buffer.from(part));
    return true;
  }

  /** All of it, once. */
  take(): Buffer {
    const [only] = this.#chunks;
    const whole = this.#chunks.length === 1 && only !== undefined ? only : Buffer.concat(this.#chunks, this.#length);
    this.#chunks.length = 0;
    return whole;
  }
}
