/**
 * A map whose keys are looked up as parts of a longer text (an element of a path, a label of a host) without cutting
 * them out of it, so that a look-up allocates nothing.
 */

interface Entry<V> {
  readonly segment: string;
  value: V;
}

// Whoever may write routes must not be able to choose segments that all fall into one place.
const SEED = Math.floor(Math.random() * 0x3fffffff);

export class SegmentMap<V> {
  /** Open addressing, at most half full; the length is a power of two. */
  #slots: (Entry<V> | undefined)[] = [undefined, undefined];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The value whose key is `text[start..end)`. */
  get(text: string, start: number, end: number): V | undefined {
    return this.#slots[this.#place(text, start, end)]?.value;
  }

  set(segment: string, value: V): void {
    const entry = this.#slots[this.#place(segment, 0, segment.length)];
    if (entry !== undefined) {
      entry.value = value;
      return;
    }
    this.#size++;
    if (this.#size * 2 > this.#slots.length) this.#grow();
    this.#slots[this.#place(segment, 0, segment.length)] = { segment, value };
  }

  *values(): Generator<V> {
    for (const entry of this.#slots) if (entry !== undefined) yield entry.value;
  }

  #grow(): void {
    const entries = this.#slots;
    this.#slots = new Array<Entry<V> | undefined>(entries.length * 2).fill(undefined);
    for (const entry of entries) if (entry !== undefined) this.#slots[this.#place(entry.segment, 0, entry.segment.length)] = entry;
  }

  /** Index of the slot that holds the key, or of the free one where it belongs. */
  #place(text: string, start: number, end: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let index = hash(text, start, end) & mask;
    for (;;) {
      const entry = slots[index];
      if (entry === undefined || equals(entry.segment, text, start, end)) return index;
      index = (index + 1) & mask;
    }
  }
}

/** FNV-1a from a seed, with its high bits mixed into the low ones that pick the slot. */
function hash(text: string, start: number, end: number): number {
  let value = SEED;
  for (let index = start; index < end; index++) value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  return value ^ (value >>> 15);
}

function equals(segment: string, text: string, start: number, end: number): boolean {
  return segment.length === end - start && text.startsWith(segment, start);
}
