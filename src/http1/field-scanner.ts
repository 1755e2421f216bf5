import { FieldKind, kindOfBytes, TOKEN } from '../exchange/field-names.ts';
import { Fields, packLine } from '../exchange/fields.ts';
import { viewOf } from './byte-view.ts';
import { BAD_FIELD, type Fault, HEAD_TOO_LARGE, TOO_MANY_FIELDS } from './fault.ts';

const CR = 0x0d;
const LF = 0x0a;
const COLON = 0x3a;
const TAB = 0x09;
const SPACE = 0x20;
const DELETE = 0x7f;

/** Classes of the bytes of a name: 0 ends it, underscore is told apart. */
const NAME = 1;
const UNDERSCORE = 2;
const NAME_BYTES = Uint8Array.from(TOKEN, (token, code) => (code === 0x5f ? UNDERSCORE : token * NAME));

const AT_LINE = 0;
const IN_NAME = 1;
const IN_VALUE = 2;
const AT_LINE_FEED = 3;
const AT_LAST_LINE_FEED = 4;

/** What scanning came to. */
export const Scan = { More: 0, Done: 1, Bad: 2 } as const;
export type Scan = (typeof Scan)[keyof typeof Scan];

/**
 * Reads field lines up to and with the empty line (RFC 9112 section 5), each byte once, however the bytes arrive. Nothing
 * is taken but `name ":" value CRLF`: no bare CR or LF, no folded line, no blank before the colon, no control character.
 */
export class FieldScanner {
  /** The lines found, as Fields takes them. */
  lines: number[] = [];
  /** Kinds found, a bit each. */
  mask = 0;
  /** Lines dropped because of an underscore in the name, to many backends the same as a hyphen. */
  dropped = 0;
  /** Offset of the end of the last line. */
  linesEnd = 0;
  /** Offset of the end of the section, its empty line included. */
  end = 0;
  fault: Fault = BAD_FIELD;

  readonly #maxFields: number;
  readonly #dropUnderscores: boolean;
  #phase: number = AT_LINE;
  #position = 0;
  #lineStart = 0;
  #nameClasses = 0;

  constructor(maxFields: number, dropUnderscores: boolean) {
    this.#maxFields = maxFields;
    this.#dropUnderscores = dropUnderscores;
  }

  /** The fields that were found. @param text of which the lines are a part, from where offsets count */
  fields(text: string): Fields {
    return new Fields(text, this.lines, this.linesEnd, this.mask, this.dropped);
  }

  /**
   * The whole lines of a section of which the rest is missing or bad.
   * @param text up to `wholeEnd` at least
   */
  wholeFields(text: string): Fields {
    const isOpen = this.#phase === IN_VALUE || this.#phase === AT_LINE_FEED;
    return new Fields(text, isOpen ? this.lines.slice(0, -1) : this.lines.slice(), this.wholeEnd, this.mask, this.dropped);
  }

  /** Offset of the end of the last whole line. */
  get wholeEnd(): number {
    if (this.#phase === AT_LAST_LINE_FEED) return this.linesEnd;
    return this.#phase === AT_LINE ? this.#position : this.#lineStart;
  }

  /** @param start offset of the first line from the beginning of the text that `lines` shall refer to */
  begin(start: number): void {
    // The former array belongs to the Fields that were made of it.
    this.lines = [];
    this.mask = 0;
    this.dropped = 0;
    this.#phase = AT_LINE;
    this.#position = start;
    this.#lineStart = start;
  }

  /**
   * @param bytes with `bytes[base..end)` all of the text that there is so far, what was scanned before included
   * @param limit how long the text up to the section's end may be
   */
  scan(bytes: Buffer, base: number, end: number, limit: number): Scan {
    const stop = Math.min(end, base + limit);
    let position = base + this.#position;
    let lineStart = base + this.#lineStart;
    let phase = this.#phase;
    while (position < stop) {
      if (phase === AT_LINE) {
        if (bytes[position] === CR) {
          this.linesEnd = position - base;
          phase = AT_LAST_LINE_FEED;
          position++;
          continue;
        }
        lineStart = position;
        this.#nameClasses = 0;
        phase = IN_NAME;
      }
      if (phase === IN_NAME) {
        let classes = this.#nameClasses;
        for (; position < stop; position++) {
          const found = NAME_BYTES[bytes[position] as number] as number;
          if (found === 0) break;
          classes |= found;
        }
        this.#nameClasses = classes;
        if (position === stop) break;
        if (bytes[position] !== COLON || position === lineStart) return this.#bad(BAD_FIELD, IN_NAME, lineStart - base);
        if (this.lines.length === this.#maxFields) return this.#bad(TOO_MANY_FIELDS, IN_NAME, lineStart - base);
        this.#found(bytes, base, lineStart, position - lineStart);
        position++;
        phase = IN_VALUE;
      }
      if (phase === IN_VALUE) {
        let code = 0;
        position = skipPlain(bytes, position, stop);
        for (; position < stop; position++) {
          code = bytes[position] as number;
          if (code < SPACE ? code !== TAB : code === DELETE) break;
        }
        if (position === stop) break;
        if (code !== CR) return this.#bad(BAD_FIELD, IN_VALUE, lineStart - base);
        position++;
        phase = AT_LINE_FEED;
        if (position === stop) break;
      }
      // After a CR, that of a line or of the empty line.
      if (bytes[position] !== LF) return this.#bad(BAD_FIELD, phase, lineStart - base);
      position++;
      if (phase === AT_LAST_LINE_FEED) {
        this.end = position - base;
        return Scan.Done;
      }
      phase = AT_LINE;
    }
    this.#position = position - base;
    this.#lineStart = lineStart - base;
    this.#phase = phase;
    return position - base >= limit ? this.#bad(HEAD_TOO_LARGE, phase, lineStart - base) : Scan.More;
  }

  #found(bytes: Buffer, base: number, lineStart: number, length: number): void {
    let kind: FieldKind;
    if ((this.#nameClasses & UNDERSCORE) !== 0 && this.#dropUnderscores) {
      kind = FieldKind.Removed;
      this.dropped++;
    } else {
      kind = kindOfBytes(bytes, lineStart, length);
      this.mask |= 1 << kind;
    }
    this.lines.push(packLine(lineStart - base, length, kind));
  }

  #bad(fault: Fault, phase: number, lineStart: number): Scan {
    this.fault = fault;
    this.#phase = phase;
    this.#lineStart = lineStart;
    return Scan.Bad;
  }
}

/** Where the first byte is that is a control character or DEL, or up to three bytes before: four bytes are looked at in one go. */
function skipPlain(bytes: Buffer, start: number, stop: number): number {
  const view = viewOf(bytes);
  let position = start;
  for (const last = stop - 4; position <= last; position += 4) {
    const four = view.getInt32(position, true);
    const others = four ^ 0x7f7f7f7f;
    // The high bit of each byte below 0x20, or equal to 0x7f; a borrow can set one too many, never one too few.
    if (((((four - 0x20202020) & ~four) | ((others - 0x01010101) & ~others)) & 0x80808080) !== 0) break;
  }
  return position;
}
