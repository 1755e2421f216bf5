import { TOKEN } from '../exchange/field-names.ts';
import type { Fields } from '../exchange/fields.ts';
import { hexDigit } from '../exchange/hex.ts';
import { latin1 } from '../wire/latin1.ts';
import { BAD_CHUNK, BAD_TRAILER, type Fault } from './fault.ts';
import { FieldScanner, Scan } from './field-scanner.ts';
import { PartialBytes } from './partial-bytes.ts';
import { allowedTrailers } from './trailers.ts';

/** What the decoder came to. */
export const Chunked = {
  /** All bytes are used up. */
  More: 0,
  /** `dataStart` to `dataEnd` are bytes of the body. */
  Data: 1,
  /** The body is over; see `trailers`. */
  End: 2,
  /** See `fault`. */
  Bad: 3,
} as const;
export type Chunked = (typeof Chunked)[keyof typeof Chunked];

/** 48 bits, exact in a number. */
const MAX_SIZE_DIGITS = 12;
/** Of all chunk extensions of a body: they mean nothing to anybody and only cost. */
const MAX_EXTENSION_BYTES = 16 * 1024;
const MAX_TRAILER_BYTES = 16 * 1024;
const MAX_TRAILERS = 100;

const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

const AT_SIZE = 0;
const IN_SIZE = 1;
const IN_EXTENSION_NAME = 2;
const AT_EXTENSION_VALUE = 3;
const IN_EXTENSION_TOKEN = 4;
const IN_EXTENSION_STRING = 5;
const AFTER_BACKSLASH = 6;
const AFTER_EXTENSION_STRING = 7;
const AT_SIZE_LINE_FEED = 8;
const IN_DATA = 9;
const AT_DATA_RETURN = 10;
const AT_DATA_LINE_FEED = 11;
const IN_TRAILERS = 12;
const OVER = 13;
/** What was found bad is told with the next call. */
const BROKEN = 14;

/** Chunks up to this size are put together with those that have come along. */
const MAX_GATHERED = 4 * 1024;

/**
 * Takes a chunked body apart (RFC 9112 section 7.1), however the bytes arrive. Sizes are plain hex digits, every line ends
 * in CRLF, extensions must be well-formed and are dropped. To be called until it answers More, End or Bad.
 */
export class ChunkedDecoder {
  /** Where the next byte to be decoded is. */
  position = 0;
  dataStart = 0;
  dataEnd = 0;
  /** Those that may pass on; undefined when there are none. */
  trailers: Fields | undefined = undefined;
  fault: Fault = BAD_CHUNK;

  #phase = AT_SIZE;
  #digits = 0;
  /** Of the chunk: its size while that is read, then what is still to come. */
  #left = 0;
  #extensionBytes = 0;
  #anyInName = false;
  #scanner: FieldScanner | undefined = undefined;
  #partial: PartialBytes | undefined = undefined;

  /** Makes ready for the next body. */
  begin(): void {
    this.#phase = AT_SIZE;
    this.#left = 0;
    this.#extensionBytes = 0;
    this.trailers = undefined;
  }

  /**
   * @param bytes of which those before `position` may have been moved afterwards
   * @param start where to go on: `position`, or the start of new bytes
   */
  next(bytes: Buffer, start: number, end: number): Chunked {
    this.position = start;
    while (this.position < end) {
      if (this.#phase === IN_DATA) return this.#data(bytes, end);
      if (this.#phase === IN_TRAILERS) return this.#readTrailers(bytes, end);
      if (!this.#line(bytes[this.position] as number)) return this.#bad(BAD_CHUNK);
      this.position++;
    }
    return Chunked.More;
  }

  #data(bytes: Buffer, end: number): Chunked {
    this.dataStart = this.position;
    this.dataEnd = this.position;
    this.#take(bytes, end);
    // Most chunks are the only one of what was read, with no more than the end of the body behind it.
    if (this.#left === 0 && end - this.position > LAST_CHUNK_BYTES && this.dataEnd - this.dataStart <= MAX_GATHERED) this.#gather(bytes, end);
    return Chunked.Data;
  }

  /** Takes what there is of the chunk's data, and moves it to the end of what was taken before. */
  #take(bytes: Buffer, end: number): void {
    const length = Math.min(this.#left, end - this.position);
    if (this.dataEnd < this.position) bytes.copyWithin(this.dataEnd, this.position, this.position + length);
    this.dataEnd += length;
    this.position += length;
    this.#left -= length;
    if (this.#left === 0) this.#phase = AT_DATA_RETURN;
  }

  /**
   * Puts the data of further chunks behind that of the first one, over the lines between them: a body in chunks of one byte would
   * else be handed on byte by byte, with a write each, and cost a hundred times what its sender pays. The last chunk is left for
   * who looks for it (`isAtLastChunk`).
   */
  #gather(bytes: Buffer, end: number): void {
    while (this.position < end && this.#phase !== IN_TRAILERS) {
      if (this.#phase === IN_DATA) {
        if (this.#left > MAX_GATHERED) return;
        this.#take(bytes, end);
      } else if (this.isAtLastChunk(bytes, end)) {
        return;
      } else if (this.#line(bytes[this.position] as number)) {
        this.position++;
      } else {
        this.#phase = BROKEN;
        return;
      }
    }
  }

  /** After Data: the end of the body follows, without trailers, and is all there. */
  isAtLastChunk(bytes: Buffer, end: number): boolean {
    // Anywhere else the same bytes may be data, or come after something that is bad.
    return this.#phase === AT_DATA_RETURN && startsWithLastChunk(bytes, this.position, end);
  }

  /** One byte of what is between the data. @returns false where it does not belong */
  #line(code: number): boolean {
    switch (this.#phase) {
      case AT_SIZE:
        this.#digits = 0;
        this.#left = 0;
        this.#phase = IN_SIZE;
        return this.#sizeDigit(code);
      case IN_SIZE:
        return this.#sizeDigit(code) || (this.#digits > 0 && this.#afterSizeOrValue(code));
      case AT_SIZE_LINE_FEED:
        if (code !== LF) return false;
        if (this.#left > 0) this.#phase = IN_DATA;
        else this.#beginTrailers();
        return true;
      case AT_DATA_RETURN:
        this.#phase = AT_DATA_LINE_FEED;
        return code === CR;
      case AT_DATA_LINE_FEED:
        this.#phase = AT_SIZE;
        return code === LF;
      case BROKEN:
        return false;
      default:
        return ++this.#extensionBytes <= MAX_EXTENSION_BYTES && this.#extension(code);
    }
  }

  #sizeDigit(code: number): boolean {
    const digit = hexDigit(code);
    if (digit < 0 || this.#digits === MAX_SIZE_DIGITS) return false;
    this.#digits++;
    this.#left = this.#left * 16 + digit;
    return true;
  }

  #afterSizeOrValue(code: number): boolean {
    if (code === CR) {
      this.#phase = AT_SIZE_LINE_FEED;
    } else if (code === SEMICOLON) {
      this.#phase = IN_EXTENSION_NAME;
      this.#anyInName = false;
    } else {
      return false;
    }
    return true;
  }

  /** `*( ";" token [ "=" ( token / quoted-string ) ] )`, without the white space that the RFC lets senders put in and nobody does. */
  #extension(code: number): boolean {
    switch (this.#phase) {
      case IN_EXTENSION_NAME:
        if (TOKEN[code] === 1) {
          this.#anyInName = true;
          return true;
        }
        if (!this.#anyInName) return false;
        if (code !== EQUALS) return this.#afterSizeOrValue(code);
        this.#phase = AT_EXTENSION_VALUE;
        return true;
      case AT_EXTENSION_VALUE:
        this.#phase = code === QUOTE ? IN_EXTENSION_STRING : IN_EXTENSION_TOKEN;
        return code === QUOTE || TOKEN[code] === 1;
      case IN_EXTENSION_TOKEN:
        return TOKEN[code] === 1 || this.#afterSizeOrValue(code);
      case IN_EXTENSION_STRING:
        if (code === QUOTE) this.#phase = AFTER_EXTENSION_STRING;
        else if (code === BACKSLASH) this.#phase = AFTER_BACKSLASH;
        return isText(code);
      case AFTER_BACKSLASH:
        this.#phase = IN_EXTENSION_STRING;
        return isText(code);
      default:
        return this.#afterSizeOrValue(code);
    }
  }

  #beginTrailers(): void {
    this.#phase = IN_TRAILERS;
    this.#scanner ??= new FieldScanner(MAX_TRAILERS, true);
    this.#scanner.begin(0);
  }

  #readTrailers(bytes: Buffer, end: number): Chunked {
    const scanner = this.#scanner as FieldScanner;
    const before = this.#partial?.length ?? 0;
    let text = bytes;
    let base = this.position;
    let stop = end;
    if (before > 0) {
      const partial = this.#partial as PartialBytes;
      partial.append(bytes, this.position, Math.min(end, this.position + MAX_TRAILER_BYTES));
      text = partial.bytes;
      base = 0;
      stop = partial.length;
    }
    const result = scanner.scan(text, base, stop, MAX_TRAILER_BYTES);
    if (result === Scan.Bad) return this.#bad(BAD_TRAILER);
    if (result === Scan.More) {
      if (before === 0) {
        this.#partial ??= new PartialBytes();
        this.#partial.append(bytes, this.position, end);
      }
      this.position = end;
      return Chunked.More;
    }
    if (scanner.lines.length > 0) {
      this.trailers = allowedTrailers(scanner.fields(latin1(text, base, base + scanner.end)));
    }
    this.#partial?.clear();
    this.position += scanner.end - before;
    this.#phase = OVER;
    return Chunked.End;
  }

  #bad(fault: Fault): Chunked {
    this.fault = fault;
    this.#partial?.clear();
    return Chunked.Bad;
  }
}

/** What a quoted string may hold (RFC 9110 section 5.6.4), after a backslash as well. */
function isText(code: number): boolean {
  return (code >= 0x20 && code !== 0x7f) || code === 0x09;
}

/** The end of a chunk's line, the last chunk, and no trailers. */
const LAST_CHUNK = Buffer.from('\r\n0\r\n\r\n', 'latin1');
export const LAST_CHUNK_BYTES = LAST_CHUNK.length;

function startsWithLastChunk(bytes: Buffer, start: number, end: number): boolean {
  if (end - start < LAST_CHUNK_BYTES) return false;
  for (let index = 0; index < LAST_CHUNK_BYTES; index++) if (bytes[start + index] !== LAST_CHUNK[index]) return false;
  return true;
}
