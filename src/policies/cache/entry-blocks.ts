const BLOCK = 1024;
/** What an entry begins with: numbers of 8 bytes, and behind them words. */
const FLOATS = { storedAt: 0, receivedAt: 1, initialAge: 2, lifetime: 3, staleWhileRevalidate: 4, staleIfError: 5 } as const;
const INTS = { status: 12, flags: 13, url: 14, key: 15, head: 16, body: 17, kinds: 18 } as const;
export const META = { bytes: 80 } as const;

const EMPTY = Buffer.alloc(0);
const ALWAYS_VALIDATE = 1;
const NEVER_STALE = 2;
const INDEX = 4;

export interface StoredMeta {
  readonly status: number;
  /** Milliseconds on the clock that all threads read alike (see shared-clock.ts). */
  readonly storedAt: number;
  /** Wall clock. */
  readonly receivedAt: number;
  readonly initialAge: number;
  readonly lifetime: number;
  readonly staleWhileRevalidate: number;
  readonly staleIfError: number;
  readonly alwaysValidate: boolean;
  readonly neverStale: boolean;
  /** Kinds of the fields in its head (see field-names.ts). */
  readonly kinds: number;
  /** It is no answer: its head names the fields that answers of this key depend on. */
  readonly isIndex: boolean;
}

export interface StoredEntry extends StoredMeta {
  /** Its field lines, `Name: value\r\n` each; of an index the names with commas between. */
  readonly head: string;
  readonly bodyLength: number;
  readonly block: number;
  readonly generation: number;
}

/**
 * The bytes of entries: numbers, key, head and body one after the other, over as many blocks as it takes. Whoever reads without
 * the lock may find any rubbish here: it is bounded, and the caller finds out afterwards.
 */
export class EntryBlocks {
  readonly #floats: Float64Array;
  readonly #ints: Int32Array;
  readonly #bytes: Buffer;
  readonly #next: Int32Array;
  readonly #count: number;
  // Where the next byte is read or written.
  #block = 0;
  #offset = 0;

  /** @param next of each block the next one of its entry, plus one; 0: none */
  constructor(buffer: SharedArrayBuffer, start: number, next: Int32Array) {
    this.#next = next;
    this.#count = next.length;
    this.#floats = new Float64Array(buffer, start, (this.#count * BLOCK) / 8);
    this.#ints = new Int32Array(buffer, start, (this.#count * BLOCK) / 4);
    this.#bytes = Buffer.from(buffer, start, this.#count * BLOCK);
  }

  write(block: number, meta: StoredMeta, urlLength: number, key: string, head: string, body: readonly Buffer[], bodyLength: number): void {
    const floats = (block * BLOCK) / 8;
    this.#floats[floats + FLOATS.storedAt] = meta.storedAt;
    this.#floats[floats + FLOATS.receivedAt] = meta.receivedAt;
    this.#floats[floats + FLOATS.initialAge] = meta.initialAge;
    this.#floats[floats + FLOATS.lifetime] = meta.lifetime;
    this.#floats[floats + FLOATS.staleWhileRevalidate] = meta.staleWhileRevalidate;
    this.#floats[floats + FLOATS.staleIfError] = meta.staleIfError;
    const ints = (block * BLOCK) / 4;
    this.#ints[ints + INTS.status] = meta.status;
    this.#ints[ints + INTS.flags] = (meta.alwaysValidate ? ALWAYS_VALIDATE : 0) | (meta.neverStale ? NEVER_STALE : 0) | (meta.isIndex ? INDEX : 0);
    this.#ints[ints + INTS.url] = urlLength;
    this.#ints[ints + INTS.key] = key.length;
    this.#ints[ints + INTS.head] = head.length;
    this.#ints[ints + INTS.body] = bodyLength;
    this.#ints[ints + INTS.kinds] = meta.kinds;
    this.#seek(block, META.bytes);
    this.#writeText(key);
    this.#writeText(head);
    for (const chunk of body) this.#writeBytes(chunk);
  }

  /** @returns undefined where it has another key, or is changing */
  read(block: number, generation: number, key: string): StoredEntry | undefined {
    const ints = (block * BLOCK) / 4;
    if (this.#ints[ints + INTS.key] !== key.length) return undefined;
    this.#seek(block, META.bytes);
    if (this.#readText(key.length) !== key) return undefined;
    const head = this.#readText(this.#ints[ints + INTS.head] as number);
    if (head === undefined) return undefined;
    const floats = (block * BLOCK) / 8;
    const flags = this.#ints[ints + INTS.flags] as number;
    return {
      status: this.#ints[ints + INTS.status] as number,
      storedAt: this.#floats[floats + FLOATS.storedAt] as number,
      receivedAt: this.#floats[floats + FLOATS.receivedAt] as number,
      initialAge: this.#floats[floats + FLOATS.initialAge] as number,
      lifetime: this.#floats[floats + FLOATS.lifetime] as number,
      staleWhileRevalidate: this.#floats[floats + FLOATS.staleWhileRevalidate] as number,
      staleIfError: this.#floats[floats + FLOATS.staleIfError] as number,
      alwaysValidate: (flags & ALWAYS_VALIDATE) !== 0,
      neverStale: (flags & NEVER_STALE) !== 0,
      isIndex: (flags & INDEX) !== 0,
      kinds: this.#ints[ints + INTS.kinds] as number,
      head,
      bodyLength: this.#ints[ints + INTS.body] as number,
      block,
      generation,
    };
  }

  key(block: number): string | undefined {
    this.#seek(block, META.bytes);
    return this.#readText(this.#ints[(block * BLOCK) / 4 + INTS.key] as number);
  }

  url(block: number): string | undefined {
    this.#seek(block, META.bytes);
    return this.#readText(this.#ints[(block * BLOCK) / 4 + INTS.url] as number);
  }

  /** A copy. */
  body(block: number, length: number): Buffer | undefined {
    if (length === 0) return EMPTY;
    const ints = (block * BLOCK) / 4;
    const skipped = META.bytes + (this.#ints[ints + INTS.key] as number) + (this.#ints[ints + INTS.head] as number);
    if (!this.#isPlausible(skipped) || !this.#isPlausible(length) || !this.#seek(block, skipped)) return undefined;
    const body = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const taken = Math.min(length - done, BLOCK - this.#offset);
      const start = this.#block * BLOCK + this.#offset;
      this.#bytes.copy(body, done, start, start + taken);
      done += taken;
      if (done < length && !this.#forward(taken)) return undefined;
    }
    return body;
  }

  #isPlausible(length: number): boolean {
    return length >= 0 && length <= this.#count * BLOCK;
  }

  /** @returns false where the chain is shorter */
  #seek(block: number, offset: number): boolean {
    this.#block = block;
    this.#offset = 0;
    for (let left = offset; left > 0; ) {
      const step = Math.min(left, BLOCK);
      if (!this.#forward(step)) return false;
      left -= step;
    }
    return true;
  }

  /** @param bytes no more than are left in this block @returns false where there is no next block */
  #forward(bytes: number): boolean {
    this.#offset += bytes;
    if (this.#offset < BLOCK) return true;
    const next = this.#next[this.#block] as number;
    if (next <= 0 || next > this.#count) return false;
    this.#block = next - 1;
    this.#offset = 0;
    return true;
  }

  #readText(length: number): string | undefined {
    if (!this.#isPlausible(length)) return undefined;
    if (length <= BLOCK - this.#offset) {
      const start = this.#block * BLOCK + this.#offset;
      const text = this.#bytes.toString('latin1', start, start + length);
      // The end of the last block has no next one.
      this.#forward(length);
      return text;
    }
    let text = '';
    for (let left = length; left > 0; ) {
      const taken = Math.min(left, BLOCK - this.#offset);
      const start = this.#block * BLOCK + this.#offset;
      text += this.#bytes.toString('latin1', start, start + taken);
      left -= taken;
      if (!this.#forward(taken) && left > 0) return undefined;
    }
    return text;
  }

  #writeText(text: string): void {
    for (let done = 0; done < text.length; ) {
      const taken = Math.min(text.length - done, BLOCK - this.#offset);
      this.#bytes.write(text.slice(done, done + taken), this.#block * BLOCK + this.#offset, taken, 'latin1');
      done += taken;
      this.#forward(taken);
    }
  }

  #writeBytes(bytes: Buffer): void {
    for (let done = 0; done < bytes.length; ) {
      const taken = Math.min(bytes.length - done, BLOCK - this.#offset);
      bytes.copy(this.#bytes, this.#block * BLOCK + this.#offset, done, done + taken);
      done += taken;
      this.#forward(taken);
    }
  }
}
