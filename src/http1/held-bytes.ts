const NOTHING = Buffer.alloc(0);

/** Bytes that were read and can't be gone on with yet. They stay unchanged while they are held. */
export class HeldBytes {
  bytes: Buffer = NOTHING;
  start = 0;
  end = 0;
  /** They are ours, and there may be room behind them. */
  #owned = false;

  get empty(): boolean {
    return this.start === this.end;
  }

  get length(): number {
    return this.end - this.start;
  }

  /** Only when empty. @param stable the bytes stay as they are as long as they are held; else they are copied */
  hold(bytes: Buffer, start: number, end: number, stable: boolean): void {
    this.#owned = !stable;
    if (stable) {
      this.bytes = bytes;
      this.start = start;
      this.end = end;
    } else {
      this.bytes = Buffer.allocUnsafeSlow(end - start);
      bytes.copy(this.bytes, 0, start, end);
      this.start = 0;
      this.end = end - start;
    }
  }

  /** Copies more bytes behind those that are held. */
  append(bytes: Buffer, start: number, end: number): void {
    const needed = this.length + end - start;
    if (!this.#owned || this.start + needed > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.length * 2));
      this.bytes.copy(larger, 0, this.start, this.end);
      this.end = this.length;
      this.start = 0;
      this.bytes = larger;
      this.#owned = true;
    }
    bytes.copy(this.bytes, this.end, start, end);
    this.end += end - start;
  }

  clear(): void {
    this.bytes = NOTHING;
    this.start = 0;
    this.end = 0;
  }
}
