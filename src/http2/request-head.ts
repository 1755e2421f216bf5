import { parseAuthority } from '../exchange/authority.ts';
import type { RequestHead, Upgrade } from '../exchange/exchange.ts';
import { FieldKind, HOP_BY_HOP, maskOf } from '../exchange/field-names.ts';
import type { Fields } from '../exchange/fields.ts';
import { latin1Copy } from '../exchange/latin1-copy.ts';
import { normalizePath } from '../exchange/path.ts';
import { type BodyLength, isEmptyBody, NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import type { Fault } from '../http1/fault.ts';
import * as faults from '../http1/fault.ts';
import { CONTENT_LENGTH, parseContentLength } from '../http1/framing.ts';
import { isKnownMethod } from '../http1/methods.ts';
import { newKey } from '../http1/upgrade.ts';
import { LENGTH_MISMATCH, MALFORMED_HEAD, MALFORMED_PSEUDO, PROTOCOL, UNKNOWN_PROTOCOL } from './fault.ts';
import { type HeaderBlock, type KeptSection, pseudoBit } from './hpack/header-block.ts';
import { Pseudo } from './hpack/header-entry.ts';

const EXPECT = maskOf(FieldKind.Expect);
const COOKIE = maskOf(FieldKind.Cookie);
const NOT_PASSED_ON = HOP_BY_HOP | CONTENT_LENGTH | EXPECT;

const METHOD = pseudoBit(Pseudo.Method);
const AUTHORITY = pseudoBit(Pseudo.Authority);
/** What a request must have, but for CONNECT (RFC 9113 sections 8.3.1 and 8.5). */
const NEEDED = METHOD | pseudoBit(Pseudo.Scheme) | pseudoBit(Pseudo.Path);
const STATUS = pseudoBit(Pseudo.Status);
/** Only with CONNECT (RFC 8441 section 4). */
const TUNNELLED = pseudoBit(Pseudo.Protocol);

/** A request head of HTTP/2 that was found good. */
export class ParsedRequest implements RequestHead {
  readonly method: string;
  readonly scheme: 'http' | 'https';
  readonly protocol = PROTOCOL;
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

  constructor(method: string, scheme: 'http' | 'https', fields: Fields, headBytes: number) {
    this.method = method;
    this.scheme = scheme;
    this.fields = fields;
    this.headBytes = headBytes;
  }

  /** The same for another request. */
  clone(): ParsedRequest {
    const copy = new ParsedRequest(this.method, this.scheme, this.fields.clone(), this.headBytes);
    copy.path = this.path;
    copy.query = this.query;
    copy.authority = this.authority;
    copy.host = this.host;
    copy.body = this.body;
    copy.upgrade = this.upgrade;
    copy.expectsContinue = this.expectsContinue;
    return copy;
  }
}

/** What a section came to that was restored, and so may come again. */
interface KnownRequest {
  readonly section: KeptSection;
  readonly endsStream: boolean;
  /** To be copied. */
  readonly head: ParsedRequest;
}

/** Judges the heads of one connection's requests, by the rules of HTTP/1.1 where both have the same (RFC 9113 section 8). */
export class RequestJudge {
  fault: Fault = MALFORMED_HEAD;
  /** After a fault: the request is malformed, which RST_STREAM answers; else a status does. */
  malformed = false;
  readonly #scheme: 'http' | 'https';
  readonly #maxBytes: number;
  /** The last authority that was found good, since most requests of a connection have the same. */
  #knownAuthority: string | undefined = undefined;
  #knownHost = '';
  /** The last section, where it was judged before and found good. */
  #known: KnownRequest | undefined = undefined;

  /** @param maxBytes of a header section */
  constructor(scheme: 'http' | 'https', maxBytes: number) {
    this.#scheme = scheme;
    this.#maxBytes = maxBytes;
  }

  /**
   * @param block decoded to its end
   * @param endsStream no DATA follows
   * @returns undefined where the request is refused: see `fault`
   */
  judge(block: HeaderBlock, endsStream: boolean): ParsedRequest | undefined {
    const { section } = block;
    const known = this.#known;
    if (known !== undefined) {
      if (section === known.section && endsStream === known.endsStream) return known.head.clone();
      this.#known = undefined;
    }
    const head = this.#judgeNew(block, endsStream);
    // A tunnel has a key of its own.
    if (section !== undefined && head?.upgrade === '') this.#known = { section, endsStream, head: head.clone() };
    return head;
  }

  #judgeNew(block: HeaderBlock, endsStream: boolean): ParsedRequest | undefined {
    this.malformed = true;
    if (block.flaw !== '') return this.#bad(MALFORMED_HEAD);
    // Of what is too large not everything was kept.
    if (block.tooLarge) return this.#refused(block.bytes > this.#maxBytes ? faults.HEAD_TOO_LARGE : faults.TOO_MANY_FIELDS);
    const { pseudo, method } = block;
    if ((pseudo & STATUS) !== 0 || (pseudo & METHOD) === 0) return this.#bad(MALFORMED_PSEUDO);
    if ((pseudo & TUNNELLED) !== 0) return method === 'CONNECT' ? this.#judgeTunnel(block) : this.#bad(MALFORMED_PSEUDO);
    if (method === 'CONNECT') {
      // Without scheme and path (section 8.5).
      if ((pseudo & NEEDED) !== METHOD || (pseudo & AUTHORITY) === 0) return this.#bad(MALFORMED_PSEUDO);
      return this.#refused(faults.CONNECT_REFUSED);
    }
    if ((pseudo & NEEDED) !== NEEDED || block.path === '') return this.#bad(MALFORMED_PSEUDO);

    const fields = block.fields();
    const head = new ParsedRequest(method, this.#scheme, fields, block.bytes);
    if (!this.#judgeLength(head, endsStream)) return this.#bad(LENGTH_MISMATCH);
    const fault = this.#judgeRest(head, block);
    if (fault !== undefined) return this.#refused(fault);
    if (fields.mayHave(COOKIE) && fields.single(FieldKind.Cookie) === undefined) joinCookies(fields);
    fields.removeKinds(NOT_PASSED_ON);
    return head;
  }

  /** Notes what is wrong with a request that is malformed for another reason. */
  refuse(fault: Fault): undefined {
    this.malformed = true;
    return this.#bad(fault);
  }

  /** Extended CONNECT (RFC 8441): for the exchange it is the GET that HTTP/1.1 asks for a switch with. */
  #judgeTunnel(block: HeaderBlock): ParsedRequest | undefined {
    if ((block.pseudo & NEEDED) !== NEEDED || block.path === '') return this.#bad(MALFORMED_PSEUDO);
    if (block.protocol.toLowerCase() !== 'websocket') return this.#refused(UNKNOWN_PROTOCOL);
    const fields = block.fields();
    // What follows is no content, and ends when it ends.
    if (fields.mayHave(CONTENT_LENGTH)) return this.#bad(LENGTH_MISMATCH);
    const head = new ParsedRequest('GET', this.#scheme, fields, block.bytes);
    head.upgrade = 'websocket';
    const versions = fields.getAll('sec-websocket-version');
    const fault = this.#judgeRest(head, block) ?? (versions.length === 1 && versions[0] === '13' ? undefined : faults.BAD_HANDSHAKE);
    if (fault !== undefined) return this.#refused(fault);
    if (fields.mayHave(COOKIE) && fields.single(FieldKind.Cookie) === undefined) joinCookies(fields);
    fields.removeKinds(NOT_PASSED_ON);
    fields.set('sec-websocket-key', newKey());
    return head;
  }

  #judgeLength(head: ParsedRequest, endsStream: boolean): boolean {
    const { fields } = head;
    if (!fields.mayHave(CONTENT_LENGTH)) {
      head.body = endsStream ? NO_BODY : UNKNOWN_LENGTH;
      return true;
    }
    const text = fields.single(FieldKind.ContentLength);
    head.body = text === undefined ? -1 : parseContentLength(text);
    return head.body >= 0 && (!endsStream || head.body === 0);
  }

  #judgeRest(head: ParsedRequest, block: HeaderBlock): Fault | undefined {
    const { fields, method } = head;
    if (!isKnownMethod(method)) return faults.UNKNOWN_METHOD;
    if (method === 'TRACE') return faults.TRACE_REFUSED;
    // Which scheme holds is the connection's to say, for a proxy before us may have ended TLS (section 8.3.1).
    const { scheme } = block;
    if (scheme !== 'https' && scheme !== 'http') return faults.BAD_TARGET;
    const fault = this.#judgeHost(head, block) ?? judgeTarget(head, block.path);
    if (fault !== undefined) return fault;
    if (fields.mayHave(EXPECT)) {
      if (fields.single(FieldKind.Expect)?.toLowerCase() !== '100-continue') return faults.UNKNOWN_EXPECTATION;
      head.expectsContinue = !isEmptyBody(head.body);
    }
    return undefined;
  }

  /** `:authority` stands as the first Host among the fields; a `host` beside it must name the same (RFC 9113 section 8.3.1). */
  #judgeHost(head: ParsedRequest, block: HeaderBlock): Fault | undefined {
    const { fields } = head;
    if (this.#knownAuthority === undefined || !fields.singleIs(FieldKind.Host, this.#knownAuthority)) {
      const hosts = fields.valuesOf(FieldKind.Host);
      const [first, second] = hosts;
      if (first === undefined || hosts.length > ((block.pseudo & AUTHORITY) === 0 ? 1 : 2)) return faults.BAD_HOST;
      const known = latin1Copy(first);
      const parsed = parseAuthority(known);
      if (parsed === undefined) return faults.BAD_HOST;
      if (second !== undefined) {
        const other = parseAuthority(second);
        if (other === undefined) return faults.BAD_HOST;
        const port = this.#scheme === 'https' ? 443 : 80;
        if (other.host !== parsed.host || (other.port ?? port) !== (parsed.port ?? port)) return faults.HOST_MISMATCH;
        fields.set('host', known);
      }
      this.#knownAuthority = known;
      this.#knownHost = parsed.host;
    }
    head.authority = this.#knownAuthority;
    head.host = this.#knownHost;
    return undefined;
  }

  #bad(fault: Fault): undefined {
    this.fault = fault;
    return undefined;
  }

  #refused(fault: Fault): undefined {
    this.malformed = false;
    this.fault = fault;
    return undefined;
  }
}

/** Path and query, or `*` for OPTIONS (section 8.3.1). */
function judgeTarget(head: ParsedRequest, target: string): Fault | undefined {
  if (target === '*' && head.method === 'OPTIONS') {
    head.path = '*';
    return undefined;
  }
  if (target.charCodeAt(0) !== 0x2f) return faults.BAD_TARGET;
  const queryStart = target.indexOf('?');
  if (queryStart >= 0) {
    for (let index = queryStart; index < target.length; index++) {
      const code = target.charCodeAt(index);
      // As in HTTP/1.1: nothing that is not ASCII, no blank, no fragment.
      if (code <= 0x20 || code >= 0x7f || code === 0x23) return faults.BAD_TARGET;
    }
    head.query = target.slice(queryStart);
  }
  const path = normalizePath(queryStart < 0 ? target : target.slice(0, queryStart));
  if (path === undefined) return faults.BAD_PATH;
  head.path = path;
  return undefined;
}

/** RFC 9113 section 8.2.3: a cookie may come in several fields, and is one again before it goes elsewhere. */
function joinCookies(fields: Fields): void {
  const cookie = fields.valuesOf(FieldKind.Cookie).join('; ');
  fields.set('cookie', cookie);
}
