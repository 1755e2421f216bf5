import { parseAuthority } from '../exchange/authority.ts';
import type { RequestHead } from '../exchange/exchange.ts';
import { FieldKind, HOP_BY_HOP, maskOf, TOKEN } from '../exchange/field-names.ts';
import { Fields } from '../exchange/fields.ts';
import { normalizePath } from '../exchange/path.ts';
import { type BodyLength, NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { latin1 } from '../wire/latin1.ts';
import { viewOf, word } from './byte-view.ts';
import { CLOSE, KEEP_ALIVE, MALFORMED, takeConnectionOptions, UPGRADE } from './connection-options.ts';
import type { Fault } from './fault.ts';
import * as faults from './fault.ts';
import { FieldScanner, Scan } from './field-scanner.ts';
import { CONTENT_LENGTH, framingFault, parseContentLength, TRANSFER_ENCODING } from './framing.ts';
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

const BEFORE_LINE = 0;
const IN_METHOD = 1;
const IN_TARGET = 2;
const IN_VERSION = 3;
const IN_FIELDS = 4;

/** Some clients of old end a body with a CRLF of their own; RFC 9112 section 2.2 asks to skip that. */
const MAX_EMPTY_LINES = 2;

const HOST = maskOf(FieldKind.Host);
const EXPECT = maskOf(FieldKind.Expect);
const UPGRADE_FIELD = maskOf(FieldKind.Upgrade);
const NOT_PASSED_ON = HOP_BY_HOP | CONTENT_LENGTH | EXPECT;

export interface RequestLimits {
  /** Bytes of a request's head, its empty line included; at most MAX_FIELDS_TEXT. */
  readonly maxHeaderBytes: number;
  readonly maxFields: number;
}

/**
 * Reads and judges request heads, one after the other, each byte once however the bytes arrive. Holds what it found until
 * `begin`, and is the RequestHead that an Exchange is made from. What is not plainly right is a fault: RFC 9112, read
 * without its leniencies.
 */
export class RequestHeadParser implements RequestHead {
  method = '';
  path = '';
  query = '';
  readonly scheme: 'http' | 'https';
  authority = '';
  host = '';
  protocol = '';
  fields: Fields = new Fields();
  headBytes = 0;

  /** The target as received, for the log; empty when it was not read. */
  target = '';
  body: BodyLength = NO_BODY;
  /** The client wants a 100 before it sends the body. */
  expectsContinue = false;
  isHttp10 = false;
  /** The client lets the connection be used again. */
  keepAlive = false;
  /** Fields dropped because of an underscore in the name. */
  droppedFields = 0;
  fault: Fault = faults.BAD_REQUEST_LINE;

  readonly #limits: RequestLimits;
  readonly #scanner: FieldScanner;
  #phase = BEFORE_LINE;
  #position = 0;
  #methodStart = 0;
  #targetStart = 0;
  #targetEnd = 0;
  #queryStart = -1;
  /** The last Host that was found good, since most requests of a connection have the same. */
  #knownAuthority: string | undefined = undefined;
  #knownHost = '';
  #knownPort: number | undefined = undefined;

  constructor(limits: RequestLimits, scheme: 'http' | 'https') {
    this.#limits = limits;
    this.scheme = scheme;
    this.#scanner = new FieldScanner(limits.maxFields, true);
  }

  /** Makes ready for the next head. */
  begin(): void {
    this.#phase = BEFORE_LINE;
    this.#position = 0;
    this.#methodStart = 0;
    this.#queryStart = -1;
    this.method = '';
    this.target = '';
    this.protocol = '';
  }

  /**
   * @param bytes with `bytes[base..end)` all that there is so far of the head, what was scanned before included
   * @returns Done: the head is `headBytes` long; Bad: see `fault`
   */
  parse(bytes: Buffer, base: number, end: number): Scan {
    if (this.#phase !== IN_FIELDS) {
      const result = this.#parseLine(bytes, base, Math.min(end, base + this.#limits.maxHeaderBytes));
      if (result !== Scan.Done) {
        if (result === Scan.More && end - base >= this.#limits.maxHeaderBytes) return this.#bad(faults.TARGET_TOO_LONG);
        return result;
      }
      this.#phase = IN_FIELDS;
      this.#scanner.begin(this.#position);
    }
    const scanner = this.#scanner;
    const result = scanner.scan(bytes, base, end, this.#limits.maxHeaderBytes);
    if (result === Scan.More) return Scan.More;
    if (result === Scan.Bad) return this.#bad(scanner.fault);
    this.headBytes = scanner.end;
    this.droppedFields = scanner.dropped;
    const text = latin1(bytes, base, base + scanner.end);
    this.fields = new Fields(text, scanner.lines, scanner.linesEnd, scanner.mask, scanner.dropped);
    const fault = this.#judge(text);
    return fault === undefined ? Scan.Done : this.#bad(fault);
  }

  /** The request line (RFC 9112 section 3): method, target and version with one space between them. */
  #parseLine(bytes: Buffer, base: number, stop: number): Scan {
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
      if (this.method === '') return this.#bad(faults.UNKNOWN_METHOD);
      if (this.method === 'CONNECT') return this.#bad(faults.CONNECT_REFUSED);
      position++;
      this.#targetStart = position - base;
      this.#phase = IN_TARGET;
    }
    if (this.#phase === IN_TARGET) {
      let queryStart = this.#queryStart;
      for (; position < stop; position++) {
        const kind = TARGET_BYTES[bytes[position] as number] as number;
        if (kind === PLAIN) continue;
        if (kind === 0) break;
        if (queryStart < 0) queryStart = position - base;
      }
      this.#queryStart = queryStart;
      if (position === stop) return this.#more(position - base);
      if (bytes[position] !== SPACE || position === base + this.#targetStart) return this.#bad(faults.BAD_TARGET);
      this.#targetEnd = position - base;
      position++;
      this.#phase = IN_VERSION;
      this.#position = position - base;
    }
    return this.#parseVersion(bytes, base, stop);
  }

  #parseVersion(bytes: Buffer, base: number, stop: number): Scan {
    let position = base + this.#position;
    const versionStart = this.#targetEnd + 1;
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
        this.#position = position + VERSION.length - base;
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
        this.#position = position + 1 - base;
        return Scan.Done;
      }
    }
    return this.#more(position - base);
  }

  /** What only the whole head shows. */
  #judge(text: string): Fault | undefined {
    const fields = this.fields;
    this.target = text.slice(this.#targetStart, this.#targetEnd);
    this.protocol = this.isHttp10 ? 'HTTP/1.0' : 'HTTP/1.1';
    const targetFault = this.#judgeHost(fields.single(FieldKind.Host)) ?? this.#judgeTarget(text);
    if (targetFault !== undefined) return targetFault;

    const framing = framingFault(fields, this.isHttp10);
    if (framing !== undefined) return framing;
    if (fields.mayHave(CONTENT_LENGTH)) this.body = parseContentLength(fields.single(FieldKind.ContentLength) as string);
    else this.body = fields.mayHave(TRANSFER_ENCODING) ? UNKNOWN_LENGTH : NO_BODY;

    this.expectsContinue = false;
    // An expectation of a 1.0 client is not to be met, nor an upgrade (RFC 9110 sections 10.1.1 and 7.8).
    if (fields.mayHave(EXPECT) && !this.isHttp10) {
      if (fields.single(FieldKind.Expect)?.toLowerCase() !== '100-continue') return faults.UNKNOWN_EXPECTATION;
      this.expectsContinue = this.body !== NO_BODY && this.body !== 0;
    }
    const options = takeConnectionOptions(fields);
    if ((options & MALFORMED) !== 0) return faults.BAD_CONNECTION;
    this.keepAlive = (options & CLOSE) === 0 && (!this.isHttp10 || (options & KEEP_ALIVE) !== 0);
    if ((options & UPGRADE) !== 0 && fields.mayHave(UPGRADE_FIELD) && !this.isHttp10) {
      if (!this.#mayIgnoreUpgrade()) return faults.UPGRADE_REFUSED;
      // What comes after it may be meant for either protocol.
      this.keepAlive = false;
    }
    fields.removeKinds(NOT_PASSED_ON);
    return undefined;
  }

  /** HTTP/1.1 wants exactly one Host (RFC 9112 section 3.2); in HTTP/1.0 it may be missing. */
  #judgeHost(host: string | undefined): Fault | undefined {
    if (host === undefined) {
      if (!this.isHttp10 || this.fields.mayHave(HOST)) return faults.BAD_HOST;
      this.authority = '';
      this.host = '';
      return undefined;
    }
    if (host !== this.#knownAuthority) {
      const parsed = parseAuthority(host);
      if (parsed === undefined) return faults.BAD_HOST;
      this.#knownAuthority = host;
      this.#knownHost = parsed.host;
      this.#knownPort = parsed.port;
    }
    this.authority = this.#knownAuthority as string;
    this.host = this.#knownHost;
    return undefined;
  }

  /** RFC 9112 section 3.2: origin-form, absolute-form, or `*` for OPTIONS. */
  #judgeTarget(text: string): Fault | undefined {
    if (text.charCodeAt(this.#targetStart) !== 0x2f) return this.#judgeOtherTarget();
    const path = normalizePath(text.slice(this.#targetStart, this.#queryStart < 0 ? this.#targetEnd : this.#queryStart));
    if (path === undefined) return faults.BAD_PATH;
    this.path = path;
    this.query = this.#queryStart < 0 ? '' : text.slice(this.#queryStart, this.#targetEnd);
    return undefined;
  }

  #judgeOtherTarget(): Fault | undefined {
    const target = this.target;
    const prefix = `${this.scheme}://`;
    if (target === '*' && this.method === 'OPTIONS') return this.#setTarget('*', '');
    if (target.slice(0, prefix.length).toLowerCase() !== prefix) return faults.BAD_TARGET;
    let authorityEnd = prefix.length;
    while (authorityEnd < target.length && target[authorityEnd] !== '/' && target[authorityEnd] !== '?') authorityEnd++;
    const authority = target.slice(prefix.length, authorityEnd);
    const parsed = parseAuthority(authority);
    if (parsed === undefined) return faults.BAD_HOST;
    if (this.fields.mayHave(HOST)) {
      const port = this.scheme === 'https' ? 443 : 80;
      if (parsed.host !== this.#knownHost || (parsed.port ?? port) !== (this.#knownPort ?? port)) return faults.HOST_MISMATCH;
    }
    // RFC 9112 section 3.2.2: what is passed on is the target's own host, to the letter.
    if (authority !== this.authority) this.fields.set('Host', authority);
    this.authority = authority;
    this.host = parsed.host;
    const queryStart = target.indexOf('?', authorityEnd);
    const rawPath = target.slice(authorityEnd, queryStart < 0 ? target.length : queryStart);
    const query = queryStart < 0 ? '' : target.slice(queryStart);
    // Section 3.2.4.
    if (rawPath === '' && query === '' && this.method === 'OPTIONS') return this.#setTarget('*', '');
    const path = normalizePath(rawPath === '' ? '/' : rawPath);
    return path === undefined ? faults.BAD_PATH : this.#setTarget(path, query);
  }

  /**
   * An offer of h2c may be ignored, as every client of it is ready for (RFC 9113 section 3.1), while others would be puzzled
   * by a plain answer. With a body it is refused, too: parsers differ on whether the body still belongs to HTTP/1.1.
   */
  #mayIgnoreUpgrade(): boolean {
    const offersOnlyH2c = this.fields.valuesOf(FieldKind.Upgrade).every((value) => value.toLowerCase() === 'h2c');
    return offersOnlyH2c && (this.body === NO_BODY || this.body === 0);
  }

  #setTarget(path: string, query: string): undefined {
    this.path = path;
    this.query = query;
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
