/** Bytes of a head or trailer section that has not fully arrived: what came with several reads, put together. */
export class PartialBytes {
  bytes: Buffer = NOTHING;
  length = 0;

  append(from: Buffer, start: number, end: number): void {
    const needed = this.length + end - start;
    if (needed > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2, SMALLEST));
      this.bytes.copy(larger, 0, 0, this.length);
      this.bytes = larger;
    }
    from.copy(this.bytes, this.length, start, end);
    this.length = needed;
  }

  clear(): void {
    this.bytes = NOTHING;
    this.length = 0;
  }
}

const NOTHING = Buffer.alloc(0);
const SMALLEST = 1024;
