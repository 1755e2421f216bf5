/** What makes a response's header section good (RFC 9113 section 8.3.2), and how long its body is. */
import { FieldKind, HOP_BY_HOP, maskOf } from '../exchange/field-names.ts';
import type { Fields } from '../exchange/fields.ts';
import { type BodyLength, NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { BAD_STATUS, HEAD_TOO_LARGE } from '../http1/fault.ts';
import { CONTENT_LENGTH, readFraming } from '../http1/framing.ts';
import { type HeaderBlock, pseudoBit } from './hpack/header-block.ts';
import { Pseudo } from './hpack/header-entry.ts';

const STATUS_ONLY = pseudoBit(Pseudo.Status);
const NOT_PASSED_ON = HOP_BY_HOP | maskOf(FieldKind.Expect);

export const BAD_PSEUDO = 'The pseudo-header fields do not fit the message.';
export const NOT_IN_TUNNEL = 'There is a header section in the tunnel.';
export const LENGTH_MISMATCH = 'The content is not as long as Content-Length says.';

/** What is wrong with any header section of a response; '' for nothing. */
export function sectionFlaw(block: HeaderBlock): string {
  return block.tooLarge ? HEAD_TOO_LARGE.detail : block.flaw;
}

/** The status of a good section; 0 where it is malformed. 101 is no status in HTTP/2 (RFC 9113 section 8.6). */
export function readStatus(block: HeaderBlock): number {
  const { status } = block;
  if (block.pseudo !== STATUS_ONLY || status.length !== 3) return 0;
  const hundreds = status.charCodeAt(0) - 0x30;
  const tens = status.charCodeAt(1) - 0x30;
  const ones = status.charCodeAt(2) - 0x30;
  if (hundreds < 1 || hundreds > 5 || tens < 0 || tens > 9 || ones < 0 || ones > 9 || status === '101') return 0;
  return hundreds * 100 + tens * 10 + ones;
}

/**
 * How long the body is that follows, or what is wrong, as a sentence for the log. Fields that are not passed on are removed;
 * where it tells what a GET would have got, Content-Length is passed on.
 * @param ended the stream ends with the head
 */
export function readLength(status: number, fields: Fields, isHead: boolean, ended: boolean): BodyLength | string {
  const announced = readFraming(fields, false);
  if (typeof announced !== 'number') return announced.detail;
  const hasBody = status >= 200 && status !== 204 && status !== 304 && !isHead;
  if ((status < 200 || status === 204) && announced > 0) return BAD_STATUS.detail;
  if (hasBody && ended && announced > 0) return LENGTH_MISMATCH;
  fields.removeKinds(hasBody || status < 200 || status === 204 ? NOT_PASSED_ON | CONTENT_LENGTH : NOT_PASSED_ON);
  if (!hasBody) return NO_BODY;
  if (announced !== NO_BODY) return announced;
  return ended ? 0 : UNKNOWN_LENGTH;
}

/**
 * As `readLength`, for the success of a CONNECT, whose Content-Length says nothing (RFC 9110 section 9.3.6). Of 204 some take it that a
 * tunnel begins, as of any 2xx, and some that there is no content (nghttp2).
 */
export function tunnelLength(status: number, fields: Fields): BodyLength | string {
  if (status === 204) return BAD_STATUS.detail;
  fields.removeKinds(NOT_PASSED_ON | CONTENT_LENGTH);
  return UNKNOWN_LENGTH;
}
