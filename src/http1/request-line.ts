import { TOKEN } from '../exchange/field-names.ts';
import { latin1 } from '../wire/latin1.ts';
import { viewOf, word } from './byte-view.ts';
import type { Fault } from './fault.ts';
import * as faults from './fault.ts';
import { Scan } from './field-scanner.ts';
import { canonicalMethod } from './methods.ts';

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;

/** Bytes of a request target; no fragment, and nothing that is not ASCII (RFC 3986). The query's beginning is told apart. */
const PLAIN = 1;
const QUESTION_MARK = 2;
const TARGET_BYTES = new Uint8Array(256).fill(PLAIN, 0x21, 0x7f);
TARGET_BYTES[0x23] = 0;
TARGET_BYTES[0x3f] = QUESTION_MARK;

const HTTP = word('HTTP');
const VERSION_1_1 = word('/1.1');
const VERSION = Buffer.from('HTTP/1.1\r\n', 'latin1');
const MINOR_VERSION = 7;

const MAX_METHOD = 32;

const BEFORE_LINE = 0;
const IN_METHOD = 1;
const IN_TARGET = 2;
const IN_VERSION = 3;

/** Some clients of old end a body with a CRLF of their own; RFC 9112 section 2.2 asks to skip that. */
const MAX_EMPTY_LINES = 2;

/**
 * Reads request lines (RFC 9112 section 3), each byte once however the bytes arrive: method, target and version with one
 * space between them. Offsets are from the beginning of the head.
 */
export class RequestLineScanner {
  method = '';
  /** The method that is refused because nobody knows it; empty where it is too long to be meant as one. */
  unknownMethod = '';
  targetStart = 0;
  targetEnd = 0;
  /** Of the question mark; -1 when there is none. */
  queryStart = -1;
  isHttp10 = false;
  end = 0;
  fault: Fault = faults.BAD_REQUEST_LINE;
  #phase = BEFORE_LINE;
  #position = 0;
  #methodStart = 0;

  /** The target was read to its end. */
  get targetRead(): boolean {
    return this.#phase === IN_VERSION;
  }

  /** Makes ready for the next line. */
  begin(): void {
    this.#phase = BEFORE_LINE;
    this.#position = 0;
    this.#methodStart = 0;
    this.queryStart = -1;
    this.method = '';
  }

  /**
   * @param bytes with `bytes[base..stop)` all that there is so far, what was scanned before included
   * @returns Done: the line ends at `end`; Bad: see `fault`
   */
  scan(bytes: Buffer, base: number, stop: number): Scan {
    let position = base + this.#position;
    while (this.#phase === BEFORE_LINE) {
      if (position === stop) return this.#more(position - base);
      if (bytes[position] !== CR) {
        this.#phase = IN_METHOD;
        this.#methodStart = position - base;
      } else if (position + 1 === stop) {
        return this.#more(position - base);
      } else {
        position += 2;
        if (bytes[position - 1] !== LF || position - base > MAX_EMPTY_LINES * 2) return this.#bad(faults.BAD_REQUEST_LINE);
      }
    }
    if (this.#phase === IN_METHOD) {
      while (position < stop && TOKEN[bytes[position] as number] === 1) position++;
      if (position === stop) return this.#more(position - base);
      const start = base + this.#methodStart;
      if (bytes[position] !== SPACE || position === start) return this.#bad(faults.BAD_REQUEST_LINE);
      this.method = canonicalMethod(bytes, start, position);
      if (this.method === '') {
        if (position - start <= MAX_METHOD) this.unknownMethod = latin1(bytes, start, position);
        return this.#bad(faults.UNKNOWN_METHOD);
      }
      if (this.method === 'CONNECT') return this.#bad(faults.CONNECT_REFUSED);
      position++;
      this.targetStart = position - base;
      this.#phase = IN_TARGET;
    }
    if (this.#phase === IN_TARGET) {
      let queryStart = this.queryStart;
      for (; position < stop; position++) {
        const kind = TARGET_BYTES[bytes[position] as number] as number;
        if (kind === PLAIN) continue;
        if (kind === 0) break;
        if (queryStart < 0) queryStart = position - base;
      }
      this.queryStart = queryStart;
      if (position === stop) return this.#more(position - base);
      if (bytes[position] !== SPACE || position === base + this.targetStart) return this.#bad(faults.BAD_TARGET);
      this.targetEnd = position - base;
      position++;
      this.#phase = IN_VERSION;
      this.#position = position - base;
    }
    return this.#scanVersion(bytes, base, stop);
  }

  #scanVersion(bytes: Buffer, base: number, stop: number): Scan {
    let position = base + this.#position;
    const versionStart = this.targetEnd + 1;
    if (position === base + versionStart && stop - position >= VERSION.length) {
      // The usual case in one go.
      const view = viewOf(bytes);
      if (
        view.getInt32(position, true) === HTTP &&
        view.getInt32(position + 4, true) === VERSION_1_1 &&
        bytes[position + 8] === CR &&
        bytes[position + 9] === LF
      ) {
        this.isHttp10 = false;
        this.end = position + VERSION.length - base;
        return Scan.Done;
      }
    }
    for (; position < stop; position++) {
      const index = position - base - versionStart;
      const code = bytes[position] as number;
      if (code === VERSION[index]) {
        if (index === MINOR_VERSION) this.isHttp10 = false;
      } else if (index === MINOR_VERSION && code === 0x30) {
        this.isHttp10 = true;
      } else {
        return this.#bad(index <= MINOR_VERSION ? faults.BAD_VERSION : faults.BAD_REQUEST_LINE);
      }
      if (index === VERSION.length - 1) {
        this.end = position + 1 - base;
        return Scan.Done;
      }
    }
    return this.#more(position - base);
  }

  #more(position: number): Scan {
    this.#position = position;
    return Scan.More;
  }

  #bad(fault: Fault): Scan {
    this.fault = fault;
    return Scan.Bad;
  }
}
