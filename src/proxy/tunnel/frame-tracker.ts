const OPCODE = 0x0f;
const CLOSE = 0x8;
const MASKED = 0x80;
const LENGTH = 0x7f;
/** Bytes of a frame's head up to its length, its long length, and its mask. */
const SHORT_HEAD = 2;
const LENGTH_16 = 126;
const LENGTH_64 = 127;

/**
 * Follows the frames of one direction of a WebSocket connection (RFC 6455 section 5.2) by their lengths alone, so that it is
 * known where a frame of ours may stand between two of theirs. It judges nothing: that is for the two ends.
 */
export class FrameTracker {
  /** A Close frame has begun: nothing may follow it. */
  closeSeen = false;
  /** Bytes of the frame under way that are still to come, its head not counted. */
  #left = 0;
  /** Bytes of its head that were read, and how many it has as far as is known. */
  #read = 0;
  #head = SHORT_HEAD;
  /** Its payload's length as far as it was read. */
  #length = 0;
  #masked = false;
  #long = false;

  /** The bytes so far end with a frame. */
  get atBoundary(): boolean {
    return this.#read === 0 && this.#left === 0;
  }

  /** Goes over `bytes[start..end)`, which follow those before. */
  pass(bytes: Buffer, start: number, end: number): void {
    let position = start;
    while (position < end) {
      const next = this.toBoundary(bytes, position, end);
      if (next < 0) return;
      position = next;
    }
  }

  /**
   * Goes over the frame under way, or the next one at a boundary, and no further.
   * @returns where it ends; -1 if not within these bytes, all of which it has gone over then
   */
  toBoundary(bytes: Buffer, start: number, end: number): number {
    let position = start;
    if (this.#left === 0) {
      position = this.#readHead(bytes, start, end);
      if (position < 0) return -1;
    }
    if (this.#left > end - position) {
      this.#left -= end - position;
      return -1;
    }
    position += this.#left;
    this.#left = 0;
    return position;
  }

  /** @returns where the head ends, its length then in `#left`; -1 where it goes on behind these bytes */
  #readHead(bytes: Buffer, start: number, end: number): number {
    for (let position = start; position < end; ) {
      const byte = bytes[position++] as number;
      const index = this.#read++;
      if (index === 0) {
        if ((byte & OPCODE) === CLOSE) this.closeSeen = true;
      } else if (index === 1) {
        this.#begin(byte);
      } else if (this.#long && index < this.#head - (this.#masked ? 4 : 0)) {
        // Beyond 2^53 it is no longer exact, and never comes to its end.
        this.#length = this.#length * 256 + byte;
      }
      if (index > 0 && this.#read === this.#head) {
        this.#left = this.#length;
        this.#read = 0;
        this.#head = SHORT_HEAD;
        return position;
      }
    }
    return -1;
  }

  #begin(byte: number): void {
    const length = byte & LENGTH;
    this.#masked = (byte & MASKED) !== 0;
    this.#long = length >= LENGTH_16;
    this.#length = this.#long ? 0 : length;
    this.#head = SHORT_HEAD + (length === LENGTH_16 ? 2 : length === LENGTH_64 ? 8 : 0) + (this.#masked ? 4 : 0);
  }
}
