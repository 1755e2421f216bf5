import { parseAuthority } from '../exchange/authority.ts';
import type { RequestHead, Upgrade } from '../exchange/exchange.ts';
import { FieldKind, HOP_BY_HOP, maskOf } from '../exchange/field-names.ts';
import type { Fields } from '../exchange/fields.ts';
import { latin1Copy } from '../exchange/latin1-copy.ts';
import { normalizePath } from '../exchange/path.ts';
import { type BodyLength, isEmptyBody, NO_BODY } from '../exchange/streams.ts';
import { latin1 } from '../wire/latin1.ts';
import { CLOSE, KEEP_ALIVE, MALFORMED, takeConnectionOptions, UPGRADE } from './connection-options.ts';
import type { Fault } from './fault.ts';
import * as faults from './fault.ts';
import { FieldScanner, Scan } from './field-scanner.ts';
import { CONTENT_LENGTH, readFraming } from './framing.ts';
import { RequestLineScanner } from './request-line.ts';
import { requestedUpgrade } from './upgrade.ts';

const HOST = maskOf(FieldKind.Host);
const EXPECT = maskOf(FieldKind.Expect);
const UPGRADE_FIELD = maskOf(FieldKind.Upgrade);
const NOT_PASSED_ON = HOP_BY_HOP | CONTENT_LENGTH | EXPECT;

/** With these nobody can tell which host was meant. */
const LEAVES_HOST_OPEN: ReadonlySet<Fault> = new Set([faults.BAD_HOST, faults.HOST_MISMATCH, faults.BAD_TARGET]);

export interface RequestLimits {
  /** Bytes of a request's head, its empty line included; at most MAX_FIELDS_TEXT. */
  readonly maxHeaderBytes: number;
  readonly maxFields: number;
}

/** Longer heads are not remembered: each connection has one. */
const MAX_REMEMBERED = 1024;

/** A request head that was found good. A new object for each: what lives as long as a connection costs more to write to. */
export class ParsedRequest implements RequestHead {
  readonly method: string;
  readonly scheme: 'http' | 'https';
  readonly isHttp10: boolean;
  readonly protocol: string;
  readonly fields: Fields;
  readonly headBytes: number;
  path = '';
  query = '';
  authority = '';
  host = '';
  body: BodyLength = NO_BODY;
  upgrade: Upgrade = '';
  /** The client wants a 100 before it sends the body. */
  expectsContinue = false;
  /** The client lets the connection be used again. */
  keepAlive = true;

  constructor(method: string, scheme: 'http' | 'https', isHttp10: boolean, fields: Fields, headBytes: number) {
    this.method = method;
    this.scheme = scheme;
    this.isHttp10 = isHttp10;
    this.protocol = isHttp10 ? 'HTTP/1.0' : 'HTTP/1.1';
    this.fields = fields;
    this.headBytes = headBytes;
  }

  /** The same once more, to be changed by itself. */
  clone(): ParsedRequest {
    const copy = new ParsedRequest(this.method, this.scheme, this.isHttp10, this.fields.clone(), this.headBytes);
    copy.path = this.path;
    copy.query = this.query;
    copy.authority = this.authority;
    copy.host = this.host;
    copy.body = this.body;
    copy.upgrade = this.upgrade;
    copy.expectsContinue = this.expectsContinue;
    copy.keepAlive = this.keepAlive;
    return copy;
  }
}

/**
 * Reads and judges request heads, one after the other, each byte once however the bytes arrive. What is not plainly right
 * is a fault: RFC 9112, read without its leniencies.
 */
export class RequestHeadParser {
  /** After Done: length of the head. */
  headBytes = 0;
  /** After Done: fields dropped because of an underscore in the name. */
  droppedFields = 0;
  fault: Fault = faults.BAD_REQUEST_LINE;
  /** After a fault, for the log: path and query, or the target as received where that is what is wrong; empty where it was not read. */
  target = '';
  /** After a fault, for the log, and empty where it was not read. */
  protocol = '';
  /** After a fault, for the log: as `ParsedRequest.host`, and empty where it was not read, or can't be told for certain. */
  host = '';

  readonly #limits: RequestLimits;
  readonly #scheme: 'http' | 'https';
  readonly #line = new RequestLineScanner();
  readonly #scanner: FieldScanner;
  #inFields = false;
  /** The last Host that was found good, since most requests of a connection have the same. */
  #knownAuthority: string | undefined = undefined;
  #knownHost = '';
  #knownPort: number | undefined = undefined;
  /** The last head that was found good, and what it came to where it has come twice. */
  #lastText = '';
  #last: ParsedRequest | undefined = undefined;

  constructor(limits: RequestLimits, scheme: 'http' | 'https') {
    this.#limits = limits;
    this.#scheme = scheme;
    this.#scanner = new FieldScanner(limits.maxFields, true);
  }

  /** The method, once it was read; else empty. */
  get method(): string {
    return this.#line.method || this.#line.unknownMethod;
  }

  /** Drops what it tells of a refused request. */
  forget(): void {
    this.begin();
    this.#line.unknownMethod = '';
    this.target = '';
    this.host = '';
    this.protocol = '';
    this.droppedFields = 0;
    this.#lastText = '';
    this.#last = undefined;
  }

  /** Makes ready for the next head. */
  begin(): void {
    this.#inFields = false;
    this.#line.begin();
  }

  /**
   * @param bytes with `bytes[base..end)` all that there is so far of the head, what was scanned before included
   * @returns Done: the head is `headBytes` long, to be judged by `finish`; Bad: see `fault`
   */
  parse(bytes: Buffer, base: number, end: number): Scan {
    const limit = this.#limits.maxHeaderBytes;
    if (!this.#inFields) {
      const line = this.#line;
      const result = line.scan(bytes, base, Math.min(end, base + limit));
      if (result === Scan.Bad) return this.#bad(line.fault, bytes, base);
      if (result === Scan.More) return end - base >= limit ? this.#bad(faults.TARGET_TOO_LONG, bytes, base) : result;
      this.#inFields = true;
      this.#scanner.begin(line.end);
    }
    const scanner = this.#scanner;
    const result = scanner.scan(bytes, base, end, limit);
    if (result === Scan.Bad) return this.#bad(scanner.fault, bytes, base);
    this.headBytes = scanner.end;
    this.droppedFields = scanner.dropped;
    return result;
  }

  /**
   * A client that asks for the same again sends the same head, which need not be read again. After `begin`.
   * @param bytes with `bytes[base..end)` all that there is so far of the head
   * @returns as `finish`; undefined where it is another head than the last, which is then to be read
   */
  recall(bytes: Buffer, base: number, end: number): ParsedRequest | undefined {
    const last = this.#last;
    if (last === undefined) return undefined;
    const stop = base + last.headBytes;
    if (stop <= end && latin1(bytes, base, stop) === this.#lastText) return last.clone();
    this.#last = undefined;
    return undefined;
  }

  /**
   * Judges the head that was read.
   * @param bytes as for the call of `parse` that returned Done
   * @returns undefined where it is refused: see `fault`, and what there is for the log
   */
  finish(bytes: Buffer, base: number): ParsedRequest | undefined {
    const line = this.#line;
    const text = latin1(bytes, base, base + this.headBytes);
    const head = new ParsedRequest(line.method, this.#scheme, line.isHttp10, this.#scanner.fields(text), this.headBytes);
    const fault = this.#judge(head, text);
    if (fault === undefined) {
      if (text.length <= MAX_REMEMBERED && this.droppedFields === 0) this.#remember(text, head);
      return head;
    }
    this.fault = fault;
    this.#note(head, text, fault);
    return undefined;
  }

  /** What comes once more may come many times. */
  #remember(text: string, head: ParsedRequest): void {
    if (text === this.#lastText) this.#last = head.clone();
    this.#lastText = text;
  }

  /**
   * For a head of which the rest is missing or bad: sets what there is for the log.
   * @param bytes as for the last call of `parse`, at the same place or moved
   */
  noteUnfinished(bytes: Buffer, base: number): void {
    const line = this.#line;
    if (!this.#inFields) {
      if (line.targetRead) this.target = latin1(bytes, base + line.targetStart, base + line.targetEnd);
      return;
    }
    const text = latin1(bytes, base, base + this.#scanner.wholeEnd);
    const head = new ParsedRequest(line.method, this.#scheme, line.isHttp10, this.#scanner.wholeFields(text), text.length);
    this.#note(head, text, this.#judgeHost(head) ?? this.#judgeTarget(head, text));
  }

  #note(head: ParsedRequest, text: string, fault: Fault | undefined): void {
    this.target = head.path === '' ? text.slice(this.#line.targetStart, this.#line.targetEnd) : head.path + head.query;
    this.protocol = head.protocol;
    this.host = fault !== undefined && LEAVES_HOST_OPEN.has(fault) ? '' : head.host;
  }

  /** What only the whole head shows. */
  #judge(head: ParsedRequest, text: string): Fault | undefined {
    const { fields, isHttp10 } = head;
    const targetFault = this.#judgeHost(head) ?? this.#judgeTarget(head, text);
    if (targetFault !== undefined) return targetFault;
    if (head.method === 'TRACE') return faults.TRACE_REFUSED;

    const body = readFraming(fields, isHttp10);
    if (typeof body !== 'number') return body;
    head.body = body;
    // An expectation of a 1.0 client is not to be met, nor an upgrade (RFC 9110 sections 10.1.1 and 7.8).
    if (fields.mayHave(EXPECT) && !isHttp10) {
      if (fields.single(FieldKind.Expect)?.toLowerCase() !== '100-continue') return faults.UNKNOWN_EXPECTATION;
      head.expectsContinue = !isEmptyBody(body);
    }
    const options = takeConnectionOptions(fields);
    if ((options & MALFORMED) !== 0) return faults.BAD_CONNECTION;
    head.keepAlive = (options & CLOSE) === 0 && (!isHttp10 || (options & KEEP_ALIVE) !== 0);
    if ((options & UPGRADE) !== 0 && fields.mayHave(UPGRADE_FIELD) && !isHttp10) {
      // Parsers differ on whether the body still belongs to HTTP/1.1.
      if (!isEmptyBody(body)) return faults.UPGRADE_REFUSED;
      // What is not for us may be ignored, as every client is ready for that asks for it.
      const upgrade = requestedUpgrade(head.method, fields);
      if (typeof upgrade !== 'string') return upgrade;
      head.upgrade = upgrade;
      // What comes after it may be meant for either protocol.
      head.keepAlive = false;
    }
    fields.removeKinds(NOT_PASSED_ON);
    return undefined;
  }

  /** HTTP/1.1 wants exactly one Host (RFC 9112 section 3.2); in HTTP/1.0 it may be missing. */
  #judgeHost(head: ParsedRequest): Fault | undefined {
    if (this.#knownAuthority === undefined || !head.fields.singleIs(FieldKind.Host, this.#knownAuthority)) {
      const host = head.fields.single(FieldKind.Host);
      if (host === undefined) return head.isHttp10 && !head.fields.mayHave(HOST) ? undefined : faults.BAD_HOST;
      // It outlives the head.
      const known = latin1Copy(host);
      const parsed = parseAuthority(known);
      if (parsed === undefined) return faults.BAD_HOST;
      this.#knownAuthority = known;
      this.#knownHost = parsed.host;
      this.#knownPort = parsed.port;
    }
    head.authority = this.#knownAuthority as string;
    head.host = this.#knownHost;
    return undefined;
  }

  /** RFC 9112 section 3.2: origin-form, absolute-form, or `*` for OPTIONS. */
  #judgeTarget(head: ParsedRequest, text: string): Fault | undefined {
    const { targetStart, queryStart, targetEnd } = this.#line;
    if (text.charCodeAt(targetStart) !== 0x2f) return this.#judgeOtherTarget(head, text.slice(targetStart, targetEnd));
    const path = normalizePath(text.slice(targetStart, queryStart < 0 ? targetEnd : queryStart));
    if (path === undefined) return faults.BAD_PATH;
    head.path = path;
    if (queryStart >= 0) head.query = text.slice(queryStart, targetEnd);
    return undefined;
  }

  #judgeOtherTarget(head: ParsedRequest, target: string): Fault | undefined {
    const prefix = `${this.#scheme}://`;
    if (target === '*' && head.method === 'OPTIONS') {
      head.path = '*';
      return undefined;
    }
    if (target.slice(0, prefix.length).toLowerCase() !== prefix) return faults.BAD_TARGET;
    let authorityEnd = prefix.length;
    while (authorityEnd < target.length && target[authorityEnd] !== '/' && target[authorityEnd] !== '?') authorityEnd++;
    const authority = target.slice(prefix.length, authorityEnd);
    const parsed = parseAuthority(authority);
    if (parsed === undefined) return faults.BAD_HOST;
    if (head.fields.mayHave(HOST)) {
      const port = this.#scheme === 'https' ? 443 : 80;
      if (parsed.host !== this.#knownHost || (parsed.port ?? port) !== (this.#knownPort ?? port)) return faults.HOST_MISMATCH;
    }
    // RFC 9112 section 3.2.2: what is passed on is the target's own host, to the letter.
    if (authority !== head.authority) {
      head.fields.set('Host', authority);
      // It outlives the head.
      head.authority = latin1Copy(authority);
    }
    head.host = parsed.host;
    const queryStart = target.indexOf('?', authorityEnd);
    const rawPath = target.slice(authorityEnd, queryStart < 0 ? target.length : queryStart);
    if (queryStart >= 0) head.query = target.slice(queryStart);
    // Section 3.2.4.
    const path = rawPath === '' && head.query === '' && head.method === 'OPTIONS' ? '*' : normalizePath(rawPath || '/');
    if (path === undefined) return faults.BAD_PATH;
    head.path = path;
    return undefined;
  }

  #bad(fault: Fault, bytes: Buffer, base: number): Scan {
    this.fault = fault;
    this.noteUnfinished(bytes, base);
    return Scan.Bad;
  }
}
