import type { HeaderBlock, KeptSection } from './header-block.ts';
import type { HeaderEntry } from './header-entry.ts';

/** Blocks above are not worth the memory and the look. */
const MAX_BLOCK = 512;
/** After so many others in a row not every block is kept any more, but one in as many, in case that changes. */
const MAX_MISSES = 16;

/** For a block that means the same whatever is in the table. */
export const ANY_TABLE = -1;

/**
 * The last header block of a connection that can be known again, and what it holds: a client asks for the same again and
 * again, a backend answers with the same fields. The same bytes are the same section where the table is still the same, or
 * where they do not refer to it; of the latter, what they add to it is added again (nginx adds to it with each answer).
 */
export class LastBlock {
  #bytes: Buffer | undefined = undefined;
  #length = -1;
  /** Changes of the table before it was decoded; ANY_TABLE. */
  #changes = 0;
  /** What the block adds to the table. */
  added: readonly HeaderEntry[] = [];
  #section: KeptSection | undefined = undefined;
  #misses = 0;

  /** @param changes that the table has ever had @returns whether `bytes[start..end)` is that block, and `block` now holds what it does: `added` is still to be added */
  restore(bytes: Buffer, start: number, end: number, changes: number, block: HeaderBlock): boolean {
    const length = end - start;
    const section = this.#section;
    if (length !== this.#length || section === undefined || (this.#changes !== ANY_TABLE && this.#changes !== changes)) return false;
    const known = this.#bytes as Buffer;
    for (let index = 0; index < length; index++) if (bytes[start + index] !== known[index]) return false;
    if (!block.restore(section)) return false;
    this.#misses = 0;
    return true;
  }

  /** Takes it for the last one. @param changes as for `restore`, or ANY_TABLE @param added in order; none without ANY_TABLE @param block what it holds, and nothing else */
  keep(bytes: Buffer, start: number, end: number, changes: number, added: readonly HeaderEntry[], block: HeaderBlock): void {
    const length = end - start;
    if (length > MAX_BLOCK || (++this.#misses > MAX_MISSES && this.#misses % MAX_MISSES !== 0)) return;
    const section = block.keep();
    if (section === undefined) return;
    let own = this.#bytes;
    if (own === undefined || own.length < length) {
      own = Buffer.allocUnsafeSlow(Math.min(MAX_BLOCK, Math.max(64, length * 2)));
      this.#bytes = own;
    }
    bytes.copy(own, 0, start, end);
    this.#length = length;
    this.#changes = changes;
    this.#section = section;
    this.added = added;
  }
}
