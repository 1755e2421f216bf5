import { FAMILY_KINDS, FieldKind, isToken, kindOfName, kindOfText, maskOf, sameName } from './field-names.ts';

/**
 * A line of a message's text in one small integer: where it starts (18 bits), the length of its name (8 bits), the kind of
 * its name (5 bits). It ends where the next one starts.
 */
const START_SHIFT = 13;
const NAME_SHIFT = 5;
const NAME_MASK = 0xff;
const KIND_MASK = 31;
/** Stands for every name that is as long or longer. */
const LONG_NAME = 255;

/** The longest text that field lines can be made over: offsets have 18 bits. */
export const MAX_FIELDS_TEXT = 1 << 18;

const NO_LINES: number[] = [];

/** @param start offset of the line in its text, below MAX_FIELDS_TEXT */
export function packLine(start: number, nameLength: number, kind: FieldKind): number {
  return (start << START_SHIFT) | (Math.min(nameLength, LONG_NAME) << NAME_SHIFT) | kind;
}

/** Takes the lines of `Fields`, one by one. */
export interface LineVisitor {
  /**
   * The lines to come are part of that text, up to `endText`.
   * @param lines numbers that stand for what is taken of it: with equal ones of an equal text, and the same `without`, the same calls of `line` follow
   * @returns whether the visitor knows them, and does without those calls
   */
  beginText(text: string, lines: readonly number[], without: number): boolean;
  /** After the last line of a text; with what it began with. */
  endText(lines: readonly number[], without: number): void;
  /** Whole lines that were added, for `visitLines`. */
  lines(lines: string, without: number): void;
  /** `text[start..end)` is a line without its CRLF, which begins with a name of that length and a colon; the value may have blanks around it. */
  line(text: string, start: number, nameLength: number, end: number, kind: FieldKind): void;
  /** A field that has no line. @param name in any case @param value perhaps with blanks around it */
  field(name: string, value: string, kind: FieldKind): void;
}

/** Names to be removed together; see `otherNames`. */
export interface OtherNames {
  readonly names: readonly string[];
  /** A bit for each of their lengths. */
  readonly lengths: number;
}

/** @param names lower-case, none of which means anything to the gateway (kind Other) */
export function otherNames(names: readonly string[]): OtherNames {
  return { names, lengths: names.reduce((mask, name) => mask | lengthBit(Math.min(name.length, LONG_NAME)), 0) };
}

/** Lengths that differ by a multiple of 32 share a bit. */
function lengthBit(length: number): number {
  return 1 << (length & 31);
}

/**
 * Header fields of one message. Names are compared without case; order and spelling are kept. Made from the text of a
 * head's field lines without splitting it into objects: runs of unchanged fields are written out as one slice.
 */
export class Fields {
  /** Holds the lines, one after the other; may hold something else before the first and after the last. */
  #text: string;
  /** See packLine. */
  #lines: number[];
  /** A clone has the same lines: to be copied before one is removed, which most messages never do. */
  #linesShared = false;
  /** Where the last line ends in the text, its CRLF included. */
  #end: number;
  /** How many of the lines are removed ones. */
  #gaps: number;
  /** A bit for each kind that may be there; a kind whose bit is not set is not there. */
  #mask: number;
  /** What was added later: name and value in turns. An empty name stands before several whole lines (see appendLines). */
  #added: string[] | undefined = undefined;
  /** At least a bit for each kind in `#added`: nobody else needs to look there, which would take whole lines apart. */
  #addedMask = 0;

  /**
   * Without arguments: no fields. Engines give the head that they have read, characters being bytes.
   * @param lines made by packLine, in order; kept and changed
   * @param end where the last line ends in the text, CRLF included
   * @param mask at least a bit for each kind in the lines
   * @param gaps number of lines of kind Removed
   */
  constructor(text = '', lines: number[] = NO_LINES, end = 0, mask = 0, gaps = 0) {
    this.#text = text;
    this.#lines = lines;
    this.#end = end;
    this.#mask = mask;
    this.#gaps = gaps;
  }

  /** @throws TypeError as append does */
  static of(pairs: Iterable<readonly [name: string, value: string]>): Fields {
    const fields = new Fields();
    for (const [name, value] of pairs) fields.append(name, value);
    return fields;
  }

  clone(): Fields {
    const copy = new Fields(this.#text, this.#lines, this.#end, this.#mask, this.#gaps);
    this.#linesShared = true;
    copy.#linesShared = true;
    if (this.#added !== undefined) copy.#added = this.#added.slice();
    copy.#addedMask = this.#addedMask;
    return copy;
  }

  /** The value of the first field of that name. @param name lower-case */
  get(name: string): string | undefined {
    const kind = kindOfName(name);
    if (kind !== FieldKind.Other && (this.#mask & (1 << kind)) === 0) return undefined;
    const line = this.#find(name, kind, 0);
    if (line >= 0) return this.#value(line);
    const added = this.#addedOf(1 << kind);
    if (added !== undefined) for (let index = 0; index < added.length; index += 2) if (sameName(added[index] as string, name)) return added[index + 1];
    return undefined;
  }

  /** Every value of that name, in order. @param name lower-case */
  getAll(name: string): string[] {
    const kind = kindOfName(name);
    if (kind !== FieldKind.Other && (this.#mask & (1 << kind)) === 0) return [];
    let line = this.#find(name, kind, 0);
    // Nearly always there is one; an array that grows from nothing gets room for many.
    const values = line < 0 ? [] : [this.#value(line)];
    while (line >= 0) {
      line = this.#find(name, kind, line + 1);
      if (line >= 0) values.push(this.#value(line));
    }
    const added = this.#addedOf(1 << kind);
    if (added !== undefined)
      for (let index = 0; index < added.length; index += 2) if (sameName(added[index] as string, name)) values.push(added[index + 1] as string);
    return values;
  }

  has(name: string): boolean {
    const kind = kindOfName(name);
    if (kind !== FieldKind.Other && (this.#mask & (1 << kind)) === 0) return false;
    if (this.#find(name, kind, 0) >= 0) return true;
    const added = this.#addedOf(1 << kind);
    if (added !== undefined) for (let index = 0; index < added.length; index += 2) if (sameName(added[index] as string, name)) return true;
    return false;
  }

  /** The value of the only field of that kind; undefined when there is none, or more than one. Not for families of names. */
  single(kind: FieldKind): string | undefined {
    if ((this.#mask & (1 << kind)) === 0) return undefined;
    if ((this.#addedMask & (1 << kind)) !== 0) {
      const values = this.valuesOf(kind);
      return values.length === 1 ? values[0] : undefined;
    }
    const lines = this.#lines;
    let found = -1;
    for (let index = 0; index < lines.length; index++) {
      if (((lines[index] as number) & KIND_MASK) !== kind) continue;
      if (found >= 0) return undefined;
      found = index;
    }
    return found < 0 ? undefined : this.#value(found);
  }

  /** Whether there is exactly one field of that kind, with that very value. */
  singleIs(kind: FieldKind, value: string): boolean {
    if ((this.#addedMask & (1 << kind)) !== 0) return this.single(kind) === value;
    const lines = this.#lines;
    let found = -1;
    for (let index = 0; index < lines.length; index++) {
      if (((lines[index] as number) & KIND_MASK) !== kind) continue;
      if (found >= 0) return false;
      found = index;
    }
    if (found < 0) return false;
    const text = this.#text;
    let start = this.#valueStart(found);
    let end = this.#valueEnd(found);
    while (start < end && isBlank(text.charCodeAt(start))) start++;
    while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
    // A slice and a comparison of the whole cost less than the characters one by one.
    return end - start === value.length && text.slice(start, end) === value;
  }

  /** Every value of that kind, in order. */
  valuesOf(kind: FieldKind): string[] {
    const values: string[] = [];
    if ((this.#mask & (1 << kind)) === 0) return values;
    for (let index = 0; index < this.#lines.length; index++) if (((this.#lines[index] as number) & KIND_MASK) === kind) values.push(this.#value(index));
    const added = this.#addedOf(1 << kind);
    if (added !== undefined)
      for (let index = 0; index < added.length; index += 2) if (kindOfName(added[index] as string) === kind) values.push(added[index + 1] as string);
    return values;
  }

  /** Whether a line of that kind, as it came, has a tab behind its value. */
  hasTabBehind(kind: FieldKind): boolean {
    return this.#lines.some((line, index) => {
      if ((line & KIND_MASK) !== kind) return false;
      let end = this.#valueEnd(index);
      while (this.#text.charCodeAt(end - 1) === 0x20) end--;
      return this.#text.charCodeAt(end - 1) === 0x09;
    });
  }

  /** Whether a field of one of these kinds may be there; false is certain. @param mask see maskOf */
  mayHave(mask: number): boolean {
    return (this.#mask & mask) !== 0;
  }

  /**
   * Removes every field of that name and adds one at the end.
   * @param name as to be written on the wire
   * @throws TypeError as append does
   */
  set(name: string, value: string): void {
    const kind = checked(name, value);
    if (kind === FieldKind.Other || (this.#mask & (1 << kind)) !== 0) this.#remove(name, kind);
    this.#push(name, value, kind);
  }

  /**
   * Adds one more at the end.
   * @throws TypeError when the name is no token, or the value holds what can't be written as one line of bytes (CR, LF,
   *   NUL and other controls, characters above 255): the last barrier against split messages, not the place to judge input
   */
  append(name: string, value: string): void {
    this.#push(name, value, checked(name, value));
  }

  /**
   * Adds whole lines at the end, written out as they are: for constants, and what a connection adds to each of its messages.
   * @param lines `Name: value\r\n` for each, known to be well-formed; not empty
   * @param mask at least a bit for each kind among them
   */
  appendLines(lines: string, mask: number): void {
    this.#mask |= mask;
    this.#addedMask |= mask;
    const added = this.#added;
    if (added === undefined) this.#added = ['', lines];
    // An array that grows gets room for 16 more.
    else if (added.length === 2) this.#added = [added[0] as string, added[1] as string, '', lines];
    else added.push('', lines);
  }

  /**
   * As `append`, for a field of the gateway's own.
   * @param name of that kind @param value known to be well-formed
   */
  appendOwn(name: string, value: string, kind: FieldKind): void {
    this.#push(name, value, kind);
  }

  remove(name: string): void {
    const kind = kindOfName(name);
    if (kind === FieldKind.Other || (this.#mask & (1 << kind)) !== 0) this.#remove(name, kind);
  }

  /** As `remove` for each, cheaper: most messages have no name of such a length, which one look at the lines tells. */
  removeOthers({ names, lengths }: OtherNames): void {
    const lines = this.#lines;
    let found = (this.#addedMask & (1 << FieldKind.Other)) !== 0;
    for (let index = 0; !found && index < lines.length; index++) {
      const line = lines[index] as number;
      found = (line & KIND_MASK) === FieldKind.Other && (lengths & lengthBit(line >>> NAME_SHIFT)) !== 0;
    }
    if (found) for (let index = 0; index < names.length; index++) this.#remove(names[index] as string, FieldKind.Other);
  }

  /** Whether one of these names may be there; false is certain, and costs one look at the lines. */
  hasOthers({ names, lengths }: OtherNames): boolean {
    const lines = this.#lines;
    for (let index = 0; index < lines.length; index++) {
      const line = lines[index] as number;
      if ((line & KIND_MASK) !== FieldKind.Other || (lengths & lengthBit(line >>> NAME_SHIFT)) === 0) continue;
      for (const name of names) if (this.#isNamed(line, name)) return true;
    }
    return (this.#addedMask & (1 << FieldKind.Other)) !== 0 && names.some((name) => this.has(name));
  }

  /** Removes every field of these kinds. @param mask see maskOf */
  removeKinds(mask: number): void {
    if ((this.#mask & mask) === 0) return;
    this.#mask &= ~mask;
    const lines = this.#lines;
    for (let index = 0; index < lines.length; index++) {
      const kind = (lines[index] as number) & KIND_MASK;
      if (kind !== FieldKind.Removed && (mask & (1 << kind)) !== 0) this.#removeLine(index);
    }
    const added = this.#addedOf(mask);
    if (added === undefined) return;
    this.#addedMask &= ~mask;
    let kept = 0;
    for (let index = 0; index < added.length; index += 2) {
      if ((mask & (1 << kindOfName(added[index] as string))) !== 0) continue;
      added[kept] = added[index] as string;
      added[kept + 1] = added[index + 1] as string;
      kept += 2;
    }
    added.length = kept;
  }

  forEach(visit: (name: string, value: string) => void): void {
    const lines = this.#lines;
    for (let index = 0; index < lines.length; index++) {
      const line = lines[index] as number;
      if ((line & KIND_MASK) === FieldKind.Removed) continue;
      const start = line >>> START_SHIFT;
      visit(this.#text.slice(start, start + this.#nameLength(line)), this.#value(index));
    }
    const added = this.#expanded();
    if (added !== undefined) for (let index = 0; index < added.length; index += 2) visit(added[index] as string, added[index + 1] as string);
  }

  /** Gives the visitor every line but those of some kinds, in order. @param without see maskOf */
  visit(visitor: LineVisitor, without: number): void {
    const lines = this.#lines;
    if (lines.length > 0 && !visitor.beginText(this.#text, lines, without)) {
      // The bit of removed lines.
      const skipped = without | (1 << FieldKind.Removed);
      for (let index = 0; index < lines.length; index++) {
        const line = lines[index] as number;
        const kind = (line & KIND_MASK) as FieldKind;
        if ((skipped & (1 << kind)) !== 0) continue;
        visitor.line(this.#text, line >>> START_SHIFT, this.#nameLength(line), this.#valueEnd(index), kind);
      }
      visitor.endText(lines, without);
    }
    const added = this.#added;
    if (added === undefined) return;
    for (let index = 0; index < added.length; index += 2) {
      const name = added[index] as string;
      const value = added[index + 1] as string;
      if (name === '') visitor.lines(value, without);
      else {
        const kind = kindOfName(name);
        if ((without & (1 << kind)) === 0) visitor.field(name, value, kind);
      }
    }
  }

  /** `Name: value\r\n` for each. */
  serialize(): string {
    const lines = this.#lines;
    let text = '';
    if (lines.length > 0) {
      if (this.#gaps === 0) text = this.#text.slice((lines[0] as number) >>> START_SHIFT, this.#end);
      else if (this.#gaps < lines.length) text = this.#serializeRuns();
    }
    const added = this.#added;
    if (added === undefined) return text;
    for (let index = 0; index < added.length; index += 2) {
      const name = added[index] as string;
      text += name === '' ? (added[index + 1] as string) : `${name}: ${added[index + 1]}\r\n`;
    }
    return text;
  }

  #serializeRuns(): string {
    const lines = this.#lines;
    let text = '';
    let run = -1;
    for (let index = 0; index < lines.length; index++) {
      const line = lines[index] as number;
      if ((line & KIND_MASK) !== FieldKind.Removed) {
        if (run < 0) run = line >>> START_SHIFT;
      } else if (run >= 0) {
        text += this.#text.slice(run, line >>> START_SHIFT);
        run = -1;
      }
    }
    return run < 0 ? text : text + this.#text.slice(run, this.#end);
  }

  #push(name: string, value: string, kind: FieldKind): void {
    this.#mask |= 1 << kind;
    this.#addedMask |= 1 << kind;
    if (this.#added === undefined) this.#added = [name, value];
    else this.#added.push(name, value);
  }

  #remove(name: string, kind: FieldKind): void {
    for (let line = this.#find(name, kind, 0); line >= 0; line = this.#find(name, kind, line + 1)) this.#removeLine(line);
    const added = this.#addedOf(1 << kind);
    if (added !== undefined) {
      for (let index = added.length - 2; index >= 0; index -= 2) if (sameName(added[index] as string, name)) added.splice(index, 2);
    }
    if ((FAMILY_KINDS & (1 << kind)) === 0) this.#mask &= ~(1 << kind);
  }

  #removeLine(index: number): void {
    if (this.#linesShared) {
      this.#lines = this.#lines.slice();
      this.#linesShared = false;
    }
    this.#lines[index] = (this.#lines[index] as number) | KIND_MASK;
    this.#gaps++;
  }

  /** Index of the first line from `from` on with that name, or -1. */
  #find(name: string, kind: FieldKind, from: number): number {
    const lines = this.#lines;
    if (kind !== FieldKind.Other && (FAMILY_KINDS & (1 << kind)) === 0) {
      for (let index = from; index < lines.length; index++) if (((lines[index] as number) & KIND_MASK) === kind) return index;
      return -1;
    }
    const wanted = packLine(0, name.length, kind);
    for (let index = from; index < lines.length; index++) {
      const line = lines[index] as number;
      // Name length and kind in one comparison.
      if ((line & ((1 << START_SHIFT) - 1)) === wanted && this.#isNamed(line, name)) return index;
    }
    return -1;
  }

  #isNamed(line: number, name: string): boolean {
    const start = line >>> START_SHIFT;
    if (this.#nameLength(line) !== name.length) return false;
    // Most names of the right length differ in the first letter.
    if (((this.#text.charCodeAt(start) ^ name.charCodeAt(0)) & ~0x20) !== 0) return false;
    return sameName(this.#text.slice(start, start + name.length), name);
  }

  #nameLength(line: number): number {
    const length = (line >>> NAME_SHIFT) & NAME_MASK;
    if (length < LONG_NAME) return length;
    const start = line >>> START_SHIFT;
    return this.#text.indexOf(':', start) - start;
  }

  /** The value of a line, without the white space around it (RFC 9112 section 5.1). */
  #value(index: number): string {
    return withoutBlanks(this.#text, this.#valueStart(index), this.#valueEnd(index));
  }

  #valueStart(index: number): number {
    const line = this.#lines[index] as number;
    return (line >>> START_SHIFT) + this.#nameLength(line) + 1;
  }

  /** Without the line's CRLF. */
  #valueEnd(index: number): number {
    return (index + 1 < this.#lines.length ? (this.#lines[index + 1] as number) >>> START_SHIFT : this.#end) - 2;
  }

  /** What was added, with whole lines taken apart; undefined where there is nothing of these kinds in it. */
  #addedOf(mask: number): string[] | undefined {
    return (this.#addedMask & mask) === 0 ? undefined : this.#expanded();
  }

  /** What was added, with whole lines taken apart. */
  #expanded(): string[] | undefined {
    const added = this.#added;
    if (added === undefined || !added.includes('')) return added;
    const expanded: string[] = [];
    for (let index = 0; index < added.length; index += 2) {
      const name = added[index] as string;
      const value = added[index + 1] as string;
      if (name !== '') {
        expanded.push(name, value);
        continue;
      }
      for (let start = 0; start < value.length; ) {
        const colon = value.indexOf(':', start);
        const end = value.indexOf('\r\n', colon);
        expanded.push(value.slice(start, colon), withoutBlanks(value, colon + 1, end));
        start = end + 2;
      }
    }
    this.#added = expanded;
    return expanded;
  }
}

/** Gives the visitor each of those lines but those of some kinds. @param lines as for `Fields.appendLines` @param without see maskOf */
export function visitLines(visitor: LineVisitor, lines: string, without: number): void {
  for (let start = 0; start < lines.length; ) {
    const colon = lines.indexOf(':', start);
    // Whole lines have no CR but that of their end, and a single character is found without a call into the runtime.
    const end = lines.indexOf('\r', colon);
    const kind = kindOfText(lines, start, colon - start);
    if ((without & (1 << kind)) === 0) visitor.line(lines, start, colon - start, end, kind);
    start = end + 2;
  }
}

/** `text[from..to)` without the blanks around it; String.trim would take more than is meant. */
export function withoutBlanks(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

const CHECKED_NAMES = maskOf(FieldKind.Other, FieldKind.XForwardedOther, FieldKind.ClientCert, FieldKind.SslClient);

/** The kind of the name, after a look at whether the field can be written. */
function checked(name: string, value: string): FieldKind {
  const kind = kindOfName(name);
  if ((CHECKED_NAMES & (1 << kind)) !== 0 && !isToken(name))
    throw new TypeError(`field name ${JSON.stringify(name)}: must be a token (RFC 9110 section 5.6.2)`);
  for (let index = 0; index < value.length; index++) {
    const code = value.charCodeAt(index);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f || code > 0xff) {
      throw new TypeError(`field ${name}: its value holds character ${code} at ${index}; only bytes that are no control characters can be written`);
    }
  }
  return kind;
}
