import { FieldKind, HOP_BY_HOP, maskOf } from '../exchange/field-names.ts';
import type { Fields } from '../exchange/fields.ts';
import { type BodyLength, NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { latin1 } from '../wire/latin1.ts';
import { viewOf, word } from './byte-view.ts';
import { CLOSE, KEEP_ALIVE, MALFORMED, takeConnectionOptions, UPGRADE } from './connection-options.ts';
import { BAD_CONNECTION, BAD_STATUS, BAD_STATUS_LINE, type Fault, HEAD_TOO_LARGE } from './fault.ts';
import { FieldScanner, Scan } from './field-scanner.ts';
import { CONTENT_LENGTH, readFraming } from './framing.ts';
import { grantsWebSocket } from './upgrade.ts';

/** A response's head above these is malformed. */
const MAX_HEAD_BYTES = 256 * 1024;
const MAX_FIELDS = 1000;

const HTTP = word('HTTP');
const VERSION_1_1 = word('/1.1');
const VERSION = Buffer.from('HTTP/1.1 ', 'latin1');
const MINOR_VERSION = 7;
const STATUS_START = VERSION.length;
const STATUS_END = STATUS_START + 3;

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;

const IN_VERSION = 0;
const IN_STATUS = 1;
const AFTER_STATUS = 2;
const IN_PHRASE = 3;
const AT_LINE_FEED = 4;
const IN_FIELDS = 5;

/** Longer heads are not remembered: each connection has one. */
const MAX_REMEMBERED = 1024;

const NOT_PASSED_ON = HOP_BY_HOP | maskOf(FieldKind.Expect);

/** What a head came to. */
interface KnownHead {
  readonly toHead: boolean;
  readonly status: number;
  readonly body: BodyLength;
  readonly chunked: boolean;
  readonly keepAlive: boolean;
  /** Without those that are not passed on; to be copied. */
  readonly fields: Fields;
}

/**
 * Reads and judges response heads, one after the other, each byte once however the bytes arrive, and as strictly as
 * requests: a backend's malformed answer is how one client's bytes end up in another client's answer.
 */
export class ResponseHeadParser {
  status = 0;
  headBytes = 0;
  body: BodyLength = NO_BODY;
  /** The body is chunked; else one of UNKNOWN_LENGTH ends with the connection. */
  chunked = false;
  /** The backend lets the connection be used again. */
  keepAlive = false;
  /** A 101 that switches to WebSocket, whether or not anybody asked for it. */
  switches = false;
  fault: Fault = BAD_STATUS_LINE;

  readonly #scanner = new FieldScanner(MAX_FIELDS, false);
  #phase = IN_VERSION;
  #position = 0;
  #isHttp10 = false;
  /** The last head of a final answer, and what it came to where it has come twice. */
  #lastText = '';
  #known: KnownHead | undefined = undefined;

  /** Makes ready for the next head. */
  begin(): void {
    this.#phase = IN_VERSION;
    this.#position = 0;
    this.status = 0;
  }

  /**
   * @param bytes with `bytes[base..end)` all that there is so far of the head, what was scanned before included
   * @returns Done: the head is `headBytes` long, to be judged by `finish`; Bad: see `fault`
   */
  parse(bytes: Buffer, base: number, end: number): Scan {
    const scanner = this.#scanner;
    if (this.#phase !== IN_FIELDS) {
      const result = this.#parseLine(bytes, base, Math.min(end, base + MAX_HEAD_BYTES));
      if (result !== Scan.Done) return result === Scan.More && end - base >= MAX_HEAD_BYTES ? this.#bad(HEAD_TOO_LARGE) : result;
      this.#phase = IN_FIELDS;
      scanner.begin(this.#position);
    }
    const result = scanner.scan(bytes, base, end, MAX_HEAD_BYTES);
    if (result === Scan.Bad) return this.#bad(scanner.fault);
    this.headBytes = scanner.end;
    return result;
  }

  /**
   * Most answers of a backend to the same client have the same head, up to a new Date each second: then it need not be read again.
   * @param bytes all that there is of the head, nothing of which has been scanned
   * @param toHead as for `finish`
   * @returns as `finish`; undefined where it is another head, which is then to be read
   */
  recall(bytes: Buffer, base: number, end: number, toHead: boolean): Fields | undefined {
    const known = this.#known;
    if (known === undefined) return undefined;
    const { length } = this.#lastText;
    if (end - base < length || known.toHead !== toHead || latin1(bytes, base, base + length) !== this.#lastText) {
      this.#known = undefined;
      return undefined;
    }
    this.headBytes = length;
    this.status = known.status;
    this.body = known.body;
    this.chunked = known.chunked;
    this.keepAlive = known.keepAlive;
    this.switches = false;
    return known.fields.clone();
  }

  /**
   * Judges the head that was read.
   * @param bytes as for the call of `parse` that returned Done
   * @param toHead whether it is the answer to a HEAD request
   * @returns its fields, without those that are not passed on; undefined where it is malformed: see `fault`
   */
  finish(bytes: Buffer, base: number, toHead: boolean): Fields | undefined {
    const text = latin1(bytes, base, base + this.headBytes);
    const fields = this.#scanner.fields(text);
    const fault = this.#judge(fields, toHead);
    if (fault !== undefined) {
      this.fault = fault;
      return undefined;
    }
    if (this.status >= 200 && text.length <= MAX_REMEMBERED) this.#remember(text, fields, toHead);
    return fields;
  }

  /** What comes once more may come many times. */
  #remember(text: string, fields: Fields, toHead: boolean): void {
    const { status, body, chunked, keepAlive } = this;
    if (text === this.#lastText) this.#known = { toHead, status, body, chunked, keepAlive, fields: fields.clone() };
    this.#lastText = text;
  }

  /** The status line (RFC 9112 section 4). The blank after the status may be missing where there is no phrase, as many backends have it. */
  #parseLine(bytes: Buffer, base: number, stop: number): Scan {
    if (this.#position === 0 && stop - base > STATUS_END) this.#parseBeginning(bytes, base);
    let position = base + this.#position;
    for (; position < stop; position++) {
      const code = bytes[position] as number;
      const index = position - base;
      if (this.#phase === IN_VERSION) {
        if (index === MINOR_VERSION && (code === 0x30 || code === 0x31)) this.#isHttp10 = code === 0x30;
        else if (code !== VERSION[index]) return this.#bad(BAD_STATUS_LINE);
        if (index === STATUS_START - 1) this.#phase = IN_STATUS;
      } else if (this.#phase === IN_STATUS) {
        const digit = code - 0x30;
        if (digit < 0 || digit > 9) return this.#bad(BAD_STATUS_LINE);
        this.status = this.status * 10 + digit;
        if (index === STATUS_END - 1) this.#phase = AFTER_STATUS;
      } else if (this.#phase === AFTER_STATUS) {
        if (code === SPACE) this.#phase = IN_PHRASE;
        else if (code === CR) this.#phase = AT_LINE_FEED;
        else return this.#bad(BAD_STATUS_LINE);
      } else if (this.#phase === IN_PHRASE) {
        if (code === CR) this.#phase = AT_LINE_FEED;
        else if ((code < SPACE && code !== 0x09) || code === 0x7f) return this.#bad(BAD_STATUS_LINE);
      } else {
        if (code !== LF) return this.#bad(BAD_STATUS_LINE);
        this.#position = index + 1;
        return Scan.Done;
      }
    }
    this.#position = position - base;
    return Scan.More;
  }

  /** The usual case in a few steps: version and status are all there, and right. Anything else is left to be read byte by byte. */
  #parseBeginning(bytes: Buffer, base: number): void {
    const view = viewOf(bytes);
    if (view.getInt32(base, true) !== HTTP || view.getInt32(base + 4, true) !== VERSION_1_1 || bytes[base + 8] !== SPACE) return;
    const hundreds = (bytes[base + STATUS_START] as number) - 0x30;
    const tens = (bytes[base + STATUS_START + 1] as number) - 0x30;
    const ones = (bytes[base + STATUS_START + 2] as number) - 0x30;
    if (hundreds < 0 || hundreds > 9 || tens < 0 || tens > 9 || ones < 0 || ones > 9) return;
    this.#isHttp10 = false;
    this.status = hundreds * 100 + tens * 10 + ones;
    this.#position = STATUS_END;
    this.#phase = AFTER_STATUS;
  }

  /** What only the whole head shows: RFC 9112 section 6.3. */
  #judge(fields: Fields, toHead: boolean): Fault | undefined {
    const status = this.status;
    // RFC 9110 section 15: nothing below 100 or above 599 is a status.
    if (status < 100 || status > 599) return BAD_STATUS;
    const length = readFraming(fields, this.#isHttp10);
    if (typeof length !== 'number') return length;
    const hasBody = status >= 200 && status !== 204 && status !== 304 && !toHead;
    // An interim answer and a 204 have none, so one that is announced leaves it open where the next message begins.
    if ((status < 200 || status === 204) && (length === UNKNOWN_LENGTH || length > 0)) return BAD_STATUS;
    this.chunked = hasBody && length === UNKNOWN_LENGTH;
    if (!hasBody) this.body = NO_BODY;
    else this.body = length === NO_BODY ? UNKNOWN_LENGTH : length;
    const options = takeConnectionOptions(fields);
    if ((options & MALFORMED) !== 0) return BAD_CONNECTION;
    this.keepAlive = (options & CLOSE) === 0 && (!this.#isHttp10 || (options & KEEP_ALIVE) !== 0) && (this.body !== UNKNOWN_LENGTH || this.chunked);
    this.switches = status === 101 && !this.#isHttp10 && (options & UPGRADE) !== 0 && grantsWebSocket(fields);
    // Where it tells what a GET would have got, Content-Length is passed on.
    fields.removeKinds(hasBody || status < 200 || status === 204 ? NOT_PASSED_ON | CONTENT_LENGTH : NOT_PASSED_ON);
    return undefined;
  }

  #bad(fault: Fault): Scan {
    this.fault = fault;
    return Scan.Bad;
  }
}
