/** Answers as they are kept, and as they are given to a request. */
import type { Exchange, GivenAnswer } from '../../exchange/exchange.ts';
import { FieldKind, kindOfName, maskOf } from '../../exchange/field-names.ts';
import { Fields } from '../../exchange/fields.ts';
import { NO_BODY } from '../../exchange/streams.ts';
import type { Asking } from './asking.ts';
import { isNotModified, opaque, partOf } from './conditions.ts';

const OTHER = maskOf(FieldKind.Other);
const CONTENT_LENGTH = maskOf(FieldKind.ContentLength);

/** Never kept: its own for each answer, or of the way that it came. */
const NOT_KEPT = new Set(['age', 'content-length', 'x-request-id', 'proxy-authentication-info', 'proxy-authenticate', 'proxy-authorization', 'trailer']);
/** What a 304 says of these is not about the stored body (RFC 9111 section 3.2). */
const BODY_FIELDS = new Set(['content-encoding', 'content-type', 'content-range', 'content-length']);

/** The head of an answer as it is kept. */
export interface KeptHead {
  readonly status: number;
  /** `Name: value\r\n` each. */
  readonly head: string;
  /** Kinds of its fields. */
  readonly kinds: number;
}

/** @param without names of fields that are not to be kept */
export function keptHead(status: number, fields: Fields, without: readonly string[]): KeptHead {
  let head = '';
  let kinds = 0;
  fields.forEach((name, value) => {
    const lower = name.toLowerCase();
    if (NOT_KEPT.has(lower) || without.includes(lower)) return;
    head += `${name}: ${value}\r\n`;
    kinds |= 1 << kindOfName(name);
  });
  return { status, head, kinds };
}

export function fieldsOfHead({ head, kinds }: KeptHead): Fields {
  const fields = new Fields();
  if (head !== '') fields.appendLines(head, kinds);
  return fields;
}

/**
 * The fields of a request that is to bring a whole answer, or word that the stored one is still good (RFC 9111 section 4.3.1).
 * @param keepsConditions the client's own go along @param entry what is stored, if anything
 */
export function validatingFields(request: Fields, keepsConditions: boolean, entry: KeptHead | undefined): Fields {
  const fields = request.clone();
  if (!keepsConditions) for (const name of ['if-none-match', 'if-modified-since', 'if-range', 'range']) fields.remove(name);
  if (entry === undefined) return fields;
  const stored = fieldsOfHead(entry);
  const etag = stored.get('etag');
  const modified = stored.get('last-modified');
  if (etag !== undefined) fields.set('If-None-Match', etag);
  if (modified !== undefined) fields.set('If-Modified-Since', modified);
  return fields;
}

/**
 * Whether a 304 to its validation is about that stored answer (RFC 9111 section 4.3.4), and not about one that the origin has in its
 * place. One without any validator says yes to what it was asked.
 */
export function isAbout(kept: KeptHead, update: Fields): boolean {
  const stored = fieldsOfHead(kept);
  const own = stored.get('etag');
  const etag = update.get('etag');
  if (etag !== undefined && !etag.startsWith('W/')) return etag === own;
  if (etag !== undefined && own !== undefined) return opaque(etag) === opaque(own);
  const modified = update.get('last-modified');
  return modified === undefined ? etag === undefined : modified === stored.get('last-modified');
}

/** The fields of a stored answer as a 304 to its validation brings them up to date (RFC 9111 section 3.2). */
export function freshenedFields(kept: KeptHead, update: Fields): Fields {
  const fields = fieldsOfHead(kept);
  // A 304 without a Date is of now (RFC 9110 section 6.6.1), and with it what it freshens.
  const replaced = new Set(['date']);
  update.forEach((name) => {
    const lower = name.toLowerCase();
    if (!BODY_FIELDS.has(lower)) replaced.add(lower);
  });
  for (const name of replaced) fields.remove(name);
  update.forEach((name, value) => {
    if (replaced.has(name.toLowerCase())) fields.append(name, value);
  });
  return fields;
}

/** The head of an answer that is given to a request. */
export interface GivenHead {
  readonly status: number;
  /** Changed. */
  readonly fields: Fields;
  /** Wall clock. */
  readonly receivedAt: number;
  /** For the log. */
  readonly reason: string;
}

/** Whether an answer with that status has no body at all, and so no length. */
export function hasNoBody({ status }: { readonly status: number }): boolean {
  return status === 204;
}

/** 304 where the client has what it asks for; undefined: it has not. */
export function isUnmet(exchange: Exchange, asking: Asking, { status, fields, receivedAt, reason }: GivenHead): GivenAnswer | undefined {
  if (status !== 200 || !asking.isConditional || !isNotModified(exchange.requestFields, fields, receivedAt)) return undefined;
  return notModified(fields, reason);
}

/**
 * Sets the answer to what a request asks besides the URL, from one that is at hand as a whole: that it has it already, a part of
 * the body, or all of it (RFC 9110 section 13.2.2 has the order).
 */
export function giveWhole(exchange: Exchange, asking: Asking, head: GivenHead, body: Buffer, bodiless: boolean): void {
  const { status, fields, reason } = head;
  exchange.given = isUnmet(exchange, asking, head);
  if (exchange.given !== undefined) return;
  const part = status === 200 && asking.hasRange && exchange.method === 'GET' ? partOf(exchange.requestFields, fields, body.length) : undefined;
  if (part === 'unsatisfiable') {
    exchange.reply = {
      status: 416,
      reason: 'range_not_satisfiable',
      detail: 'The body has no such part.',
      fields: [['Content-Range', `bytes */${body.length}`]],
    };
  } else if (part !== undefined) {
    const { first, last } = part;
    fields.set('Content-Range', `bytes ${first}-${last}/${body.length}`);
    exchange.given = { status: 206, fields, length: last - first + 1, body: body.subarray(first, last + 1), source: undefined, reason };
  } else {
    const sent = exchange.method === 'HEAD' || bodiless ? undefined : body;
    exchange.given = { status, fields, length: bodiless ? NO_BODY : body.length, body: sent, source: undefined, reason };
  }
}

/** RFC 9110 section 15.4.5: nothing that tells of a body that is not there. */
function notModified(fields: Fields, reason: string): GivenAnswer {
  for (const name of ['content-type', 'content-encoding', 'content-language', 'content-range']) fields.remove(name);
  fields.removeKinds(CONTENT_LENGTH);
  return { status: 304, fields, length: NO_BODY, body: undefined, source: undefined, reason };
}

/** RFC 9111 section 5.1. @param age milliseconds */
export function setAge(fields: Fields, age: number): void {
  fields.appendLines(`Age: ${Math.max(0, Math.floor(age / 1000))}\r\n`, OTHER);
}
