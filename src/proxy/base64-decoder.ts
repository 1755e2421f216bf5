/** Base64 that comes in pieces, and may have padding in its middle, where texts were put one behind the other (gRPC-Web). */

/** The six bits of each character, 64 for padding, 255 for what is no base64 (RFC 4648 section 4). */
const VALUES = new Uint8Array(256).fill(255);
for (let value = 0; value < 64; value++) VALUES['ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'.charCodeAt(value)] = value;
const PADDING = 64;
VALUES['='.charCodeAt(0)] = PADDING;

export class Base64Decoder {
  /** There was something that is no base64; nothing is decoded from then on. */
  failed = false;
  /** Bits of the four characters that are being read, and how many of them there were, padding included. */
  #bits = 0;
  #characters = 0;
  #paddings = 0;

  /** What was read ends with a whole group of four characters. */
  get complete(): boolean {
    return this.#characters === 0 && !this.failed;
  }

  /** @returns the bytes of all groups that are complete; a buffer of its own */
  decode(text: Buffer, start: number, end: number): Buffer {
    const decoded = Buffer.allocUnsafe((((end - start + this.#characters) >> 2) + 1) * 3);
    let length = 0;
    for (let index = start; index < end; index++) {
      const value = VALUES[text[index] as number] as number;
      if (value === 255 || (value === PADDING ? this.#characters < 2 : this.#paddings > 0)) {
        this.failed = true;
        break;
      }
      if (value === PADDING) this.#paddings++;
      this.#bits = (this.#bits << 6) | (value & 63);
      if (++this.#characters < 4) continue;
      const bytes = 3 - this.#paddings;
      for (let byte = 0; byte < bytes; byte++) decoded[length++] = this.#bits >> (16 - 8 * byte);
      this.#bits = 0;
      this.#characters = 0;
      this.#paddings = 0;
    }
    return decoded.subarray(0, length);
  }
}
