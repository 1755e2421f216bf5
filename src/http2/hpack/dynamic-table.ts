/** What an entry takes of its table beside the bytes of name and value (RFC 7541 section 4.1). */
export const ENTRY_OVERHEAD = 32;
/** SETTINGS_HEADER_TABLE_SIZE unless it is said otherwise (RFC 9113 section 6.5.2); no table of ours is larger. */
export const DEFAULT_TABLE_SIZE = 4096;

const FIRST_ROOM = 8;

/** Entries, newest first, no larger together than they may be (RFC 7541 section 2.3.2). Takes no memory while it is empty. */
export class DynamicTable<Entry extends { readonly size: number }> {
  /** A ring, its length a power of two. */
  #ring: (Entry | undefined)[] = [];
  #oldest = 0;
  length = 0;
  /** Of the entries, as RFC 7541 section 4.1 counts. */
  size = 0;
  maxSize: number;

  constructor(maxSize: number) {
    this.maxSize = maxSize;
  }

  /** @param age 0 for the newest one @returns undefined where there is none */
  get(age: number): Entry | undefined {
    return age < this.length ? this.#ring[(this.#oldest + this.length - 1 - age) & (this.#ring.length - 1)] : undefined;
  }

  /** Adds an entry for which there is room: see `evict`. */
  add(entry: Entry): void {
    if (this.length === this.#ring.length) this.#grow();
    this.#ring[(this.#oldest + this.length) & (this.#ring.length - 1)] = entry;
    this.length++;
    this.size += entry.size;
  }

  /** Takes the oldest entry out. @returns undefined when there is none */
  evict(): Entry | undefined {
    if (this.length === 0) return undefined;
    const entry = this.#ring[this.#oldest] as Entry;
    this.#ring[this.#oldest] = undefined;
    this.#oldest = (this.#oldest + 1) & (this.#ring.length - 1);
    this.length--;
    this.size -= entry.size;
    return entry;
  }

  #grow(): void {
    const ring: (Entry | undefined)[] = new Array(Math.max(FIRST_ROOM, this.#ring.length * 2));
    for (let index = 0; index < this.length; index++) ring[index] = this.get(this.length - 1 - index);
    this.#ring = ring;
    this.#oldest = 0;
  }
}
