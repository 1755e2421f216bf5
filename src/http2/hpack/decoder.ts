import { FieldKind, kindOfBytes } from '../../exchange/field-names.ts';
import { latin1 } from '../../wire/latin1.ts';
import { DEFAULT_TABLE_SIZE, DynamicTable } from './dynamic-table.ts';
import type { HeaderBlock } from './header-block.ts';
import { BAD_NAME, BAD_TE, FIRST_PSEUDO, HeaderEntry, hostLine, kindFlaw, nameClasses, Pseudo, pseudoKind, UNDERSCORE, valueFlaw } from './header-entry.ts';
import { decodedBound, huffmanDecode } from './huffman.ts';
import { ANY_TABLE, LastBlock } from './last-block.ts';
import { STATIC_TABLE } from './static-table.ts';

const STATIC_ENTRIES: readonly HeaderEntry[] = STATIC_TABLE.map(([name, value]) => HeaderEntry.of(name, value));

const NONE: readonly HeaderEntry[] = [];

/** Nothing in a header block can rightly be as large (RFC 7541 section 5.1 leaves the limit to us). */
const MAX_INTEGER = 0xfff_ffff;

const COLON = 0x3a;
const SPACE = 0x20;
const CR = 0x0d;
const LF = 0x0a;

/** Where a line is put together; used up before a decoder returns, so one will do for all. */
let scratch = Buffer.allocUnsafeSlow(8 * 1024);

/** Reads the header blocks of one connection (RFC 7541), and keeps the table that they build. */
export class HpackDecoder {
  readonly #maxSize: number;
  readonly #table: DynamicTable<HeaderEntry>;
  /** Additions to the table, removals, and new sizes. */
  #changes = 0;
  readonly #last = new LastBlock();
  /** What the block means depends on what is in the table, or on its size. */
  #refersToTable = false;
  /** Where the next byte to be read is. */
  #position = 0;
  /** After `#string`: its length, which ends at `#target` in `scratch`. */
  #target = 0;

  /** @param maxSize of the dynamic table, as our SETTINGS_HEADER_TABLE_SIZE has it */
  constructor(maxSize: number = DEFAULT_TABLE_SIZE) {
    this.#maxSize = maxSize;
    this.#table = new DynamicTable(maxSize);
  }

  /** What the dynamic table takes, as RFC 7541 section 4.1 counts. */
  get tableSize(): number {
    return this.#table.size;
  }

  /**
   * Decodes one whole header block. What it holds goes to `block`, in place of what was there; what is wrong with its fields,
   * or too large, is found there: the table stays in step.
   * @param bytes of which `[start..end)` is the block, CONTINUATION included
   * @returns false where it is no HPACK: the connection can't go on (COMPRESSION_ERROR)
   */
  decode(bytes: Buffer, start: number, end: number, block: HeaderBlock): boolean {
    const changes = this.#changes;
    const last = this.#last;
    if (last.restore(bytes, start, end, changes, block)) {
      const { added } = last;
      for (let index = 0; index < added.length; index++) this.#insert(added[index] as HeaderEntry);
      return true;
    }
    block.begin();
    this.#position = start;
    this.#refersToTable = false;
    let added: HeaderEntry[] | undefined;
    let atStart = true;
    while (this.#position < end) {
      const first = bytes[this.#position] as number;
      if (first >= 0x80) {
        const index = this.#integer(bytes, end, 0x7f);
        const entry = index > 0 ? this.#entry(index) : undefined;
        if (entry === undefined) return false;
        block.add(entry);
      } else if (first >= 0x40 || first < 0x20) {
        const entry = this.#literal(bytes, end, first >= 0x40 ? 0x3f : 0x0f);
        if (entry === undefined) return false;
        block.add(entry);
        if (first >= 0x40) {
          this.#insert(entry);
          added ??= [];
          added.push(entry);
        }
      } else {
        // RFC 7541 section 4.2: before the first field only.
        const size = this.#integer(bytes, end, 0x1f);
        if (!atStart || size < 0 || size > this.#maxSize) return false;
        if (size !== this.#table.maxSize) this.#changes++;
        this.#refersToTable = true;
        this.#table.maxSize = size;
        this.#shrink(size);
        continue;
      }
      atStart = false;
    }
    if (!this.#refersToTable) last.keep(bytes, start, end, ANY_TABLE, added ?? NONE, block);
    else if (changes === this.#changes && added === undefined) last.keep(bytes, start, end, changes, NONE, block);
    return true;
  }

  #entry(index: number): HeaderEntry | undefined {
    if (index <= STATIC_ENTRIES.length) return STATIC_ENTRIES[index - 1];
    this.#refersToTable = true;
    return this.#table.get(index - STATIC_ENTRIES.length - 1);
  }

  #insert(entry: HeaderEntry): void {
    // One that is larger than the table empties it (RFC 7541 section 4.4).
    this.#shrink(this.#table.maxSize - entry.size);
    if (entry.size > this.#table.maxSize) return;
    this.#table.add(entry);
    this.#changes++;
  }

  #shrink(size: number): void {
    while (this.#table.size > size && this.#table.evict() !== undefined) this.#changes++;
  }

  /** RFC 7541 section 5.1. @param mask of the prefix's bits @returns -1 where it is cut short or too large */
  #integer(bytes: Buffer, end: number, mask: number): number {
    let position = this.#position;
    let value = (bytes[position++] as number) & mask;
    if (value === mask) {
      let byte = 0x80;
      for (let shift = 0; byte >= 0x80; shift += 7) {
        if (position === end || shift > 28) return -1;
        byte = bytes[position++] as number;
        value += (byte & 0x7f) * 2 ** shift;
      }
      if (value > MAX_INTEGER) return -1;
    }
    this.#position = position;
    return value;
  }

  /** A string (RFC 7541 section 5.2), to `scratch` from `at` on. @returns false where it is cut short or badly coded */
  #string(bytes: Buffer, end: number, at: number): boolean {
    if (this.#position === end) return false;
    const coded = (bytes[this.#position] as number) >= 0x80;
    const length = this.#integer(bytes, end, 0x7f);
    const start = this.#position;
    if (length < 0 || length > end - start) return false;
    this.#position = start + length;
    reserve(at + (coded ? decodedBound(length) : length) + 4);
    if (coded) {
      this.#target = huffmanDecode(bytes, start, start + length, scratch, at);
      return this.#target >= 0;
    }
    this.#target = at + length;
    bytes.copy(scratch, at, start, start + length);
    return true;
  }

  #literal(bytes: Buffer, end: number, mask: number): HeaderEntry | undefined {
    const index = this.#integer(bytes, end, mask);
    if (index < 0) return undefined;
    let kind: number;
    let nameLength: number;
    let underscore: boolean;
    let nameFlaw: string;
    if (index > 0) {
      const named = this.#entry(index);
      if (named === undefined) return undefined;
      kind = named.kind;
      nameLength = named.nameLength;
      underscore = named.hasUnderscore;
      nameFlaw = named.nameFlaw;
      if (kind < FIRST_PSEUDO) {
        reserve(nameLength);
        const { line } = named;
        for (let at = 0; at < nameLength; at++) scratch[at] = line.charCodeAt(at);
      }
    } else {
      if (!this.#string(bytes, end, 0)) return undefined;
      nameLength = this.#target;
      const classes = nameClasses(scratch, 0, nameLength);
      if (classes !== 0) kind = kindOfBytes(scratch, 0, nameLength);
      else if (nameLength > 0 && scratch[0] === COLON) kind = pseudoKind(latin1(scratch, 0, nameLength));
      else kind = FieldKind.Other;
      underscore = (classes & UNDERSCORE) !== 0;
      nameFlaw = classes === 0 && kind < FIRST_PSEUDO ? BAD_NAME : kindFlaw(kind);
    }
    return kind < FIRST_PSEUDO ? this.#field(bytes, end, kind, nameLength, underscore, nameFlaw) : this.#pseudo(bytes, end, kind, nameLength, nameFlaw);
  }

  /** @param nameLength of the name, which stands at the beginning of `scratch` */
  #field(bytes: Buffer, end: number, kind: number, nameLength: number, underscore: boolean, nameFlaw: string): HeaderEntry | undefined {
    const start = nameLength + 2;
    if (!this.#string(bytes, end, start)) return undefined;
    const stop = this.#target;
    scratch[nameLength] = COLON;
    scratch[nameLength + 1] = SPACE;
    scratch[stop] = CR;
    scratch[stop + 1] = LF;
    let flaw = valueFlaw(scratch, start, stop);
    if (kind === FieldKind.Te && latin1(scratch, start, stop).toLowerCase() !== 'trailers') flaw = BAD_TE;
    // One that makes its message malformed is never written anywhere.
    const line = flaw === '' && nameFlaw === '' ? latin1(scratch, 0, stop + 2) : latin1(scratch, 0, nameLength);
    return new HeaderEntry(kind, nameLength, underscore, line, '', stop - start, nameFlaw, flaw);
  }

  #pseudo(bytes: Buffer, end: number, kind: number, nameLength: number, nameFlaw: string): HeaderEntry | undefined {
    if (!this.#string(bytes, end, 0)) return undefined;
    const stop = this.#target;
    const value = latin1(scratch, 0, stop);
    const line = kind === Pseudo.Authority ? hostLine(value) : '';
    return new HeaderEntry(kind, nameLength, false, line, value, stop, nameFlaw, valueFlaw(scratch, 0, stop));
  }
}

function reserve(length: number): void {
  if (length <= scratch.length) return;
  const larger = Buffer.allocUnsafeSlow(Math.max(length, scratch.length * 2));
  scratch.copy(larger);
  scratch = larger;
}
