/** How long a message's body is (RFC 9112 section 6), read as strictly as can be: a doubt here is a smuggled request. */
import { FieldKind, isToken, maskOf } from '../exchange/field-names.ts';
import { type Fields, withoutBlanks } from '../exchange/fields.ts';
import { type BodyLength, NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { AMBIGUOUS_LENGTH, BAD_CONTENT_LENGTH, BAD_TRANSFER_ENCODING, type Fault, UNKNOWN_TRANSFER_CODING } from './fault.ts';

export const CONTENT_LENGTH = maskOf(FieldKind.ContentLength);
const TRANSFER_ENCODING = maskOf(FieldKind.TransferEncoding);

/** No integer above is exact; one digit less is enough for anybody. */
const MAX_LENGTH_DIGITS = 15;

/** The value of a Content-Length: digits only, at most 15 of them; -1 for anything else. */
export function parseContentLength(text: string): number {
  if (text.length === 0 || text.length > MAX_LENGTH_DIGITS) return -1;
  let length = 0;
  for (let index = 0; index < text.length; index++) {
    const digit = text.charCodeAt(index) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  return length;
}

/**
 * The length that a message's framing fields give its body: NO_BODY where there are none, UNKNOWN_LENGTH where it is
 * chunked. Or what is wrong with them: Content-Length may stand once; Transfer-Encoding only without it, only in HTTP/1.1,
 * and only as `chunked`.
 */
export function readFraming(fields: Fields, isHttp10: boolean): BodyLength | Fault {
  if (!fields.mayHave(CONTENT_LENGTH | TRANSFER_ENCODING)) return NO_BODY;
  if (fields.mayHave(TRANSFER_ENCODING)) {
    if (fields.mayHave(CONTENT_LENGTH)) return AMBIGUOUS_LENGTH;
    if (isHttp10) return BAD_TRANSFER_ENCODING;
    // A blank by RFC 9110 section 5.6.3, and to llhttp and nginx a part of the value, so that to them the body is no chunked one.
    if (fields.hasTabBehind(FieldKind.TransferEncoding)) return BAD_TRANSFER_ENCODING;
    return codingFault(fields.valuesOf(FieldKind.TransferEncoding)) ?? UNKNOWN_LENGTH;
  }
  const text = fields.single(FieldKind.ContentLength);
  const length = text === undefined ? -1 : parseContentLength(text);
  return length < 0 ? BAD_CONTENT_LENGTH : length;
}

function codingFault(values: readonly string[]): Fault | undefined {
  if (values.length === 1 && (values[0] as string).toLowerCase() === 'chunked') return undefined;
  const codings = values.flatMap((value) => value.split(',')).map((coding) => withoutBlanks(coding, 0, coding.length).toLowerCase());
  // A chunked that is repeated or not the last leaves the length unknown (RFC 9112 section 6.3), which outweighs an unknown
  // coding; and so does a list that has anything but tokens.
  const chunked = codings.indexOf('chunked');
  if ((chunked >= 0 && chunked < codings.length - 1) || !codings.every(isToken)) return BAD_TRANSFER_ENCODING;
  return UNKNOWN_TRANSFER_CODING;
}
