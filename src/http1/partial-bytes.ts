/** Pieces of memory that are kept at most, and bytes of the largest. */
const SPARES = 16;
const LARGEST_SPARE = 64 * 1024;

/**
 * Memory that was put together in before, for what comes next. Memory of buffers counts as garbage of V8: who makes it begin anew all
 * the time, as by CONTINUATION frames on one connection after the other, would have it collect the whole heap every few dozen connections.
 * To be shared only where nobody looks at the bytes after `clear`.
 */
export class SpareMemory {
  readonly #spares: Buffer[] = [];

  take(): Buffer {
    return this.#spares.pop() ?? NOTHING;
  }

  give(memory: Buffer): void {
    if (this.#spares.length < SPARES && memory.length > 0 && memory.length <= LARGEST_SPARE) this.#spares.push(memory);
  }
}

/** Bytes of a head or trailer section that has not fully arrived: what came with several reads, put together. */
export class PartialBytes {
  bytes: Buffer = NOTHING;
  length = 0;
  readonly #spares: SpareMemory | undefined;

  constructor(spares?: SpareMemory) {
    this.#spares = spares;
  }

  append(from: Buffer, start: number, end: number): void {
    if (this.bytes === NOTHING && this.#spares !== undefined) this.bytes = this.#spares.take();
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
    this.#spares?.give(this.bytes);
    this.bytes = NOTHING;
    this.length = 0;
  }
}

const NOTHING = Buffer.alloc(0);
const SMALLEST = 1024;
