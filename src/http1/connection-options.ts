/** The Connection field (RFC 9110 section 7.6.1): what it says of the connection, and the fields that it takes out. */
import { CLIENT_CERTIFICATE, FieldKind, FORWARDING, HOP_BY_HOP, isToken, kindOfName, maskOf } from '../exchange/field-names.ts';
import { type Fields, withoutBlanks } from '../exchange/fields.ts';

export const CLOSE = 1;
export const KEEP_ALIVE = 2;
export const UPGRADE = 4;
export const MALFORMED = 8;

const CONNECTION = maskOf(FieldKind.Connection);

/**
 * Fields that stay whatever Connection says: a client could else take away what tells backends who it is, or what proxies
 * before this one have added (hardening: routing, authentication, forwarding). Hop-by-hop ones go in any case.
 */
const PROTECTED =
  maskOf(FieldKind.Host, FieldKind.ContentLength, FieldKind.Authorization, FieldKind.Cookie, FieldKind.XRequestId, FieldKind.Traceparent, FieldKind.Date) |
  FORWARDING |
  CLIENT_CERTIFICATE |
  HOP_BY_HOP;

/** Each one costs a look through all fields. */
const MAX_OPTIONS = 64;

/** Reads the Connection fields and removes the fields that they name. @returns the constants above, or-ed */
export function takeConnectionOptions(fields: Fields): number {
  if (!fields.mayHave(CONNECTION)) return 0;
  // What nearly everybody sends, without a string made of it.
  if (fields.singleIs(FieldKind.Connection, 'keep-alive') || fields.singleIs(FieldKind.Connection, 'Keep-Alive')) return KEEP_ALIVE;
  if (fields.singleIs(FieldKind.Connection, 'close')) return CLOSE;
  let options = 0;
  let count = 0;
  for (const value of fields.valuesOf(FieldKind.Connection)) {
    for (const item of value.split(',', MAX_OPTIONS + 1)) {
      if (++count > MAX_OPTIONS) return MALFORMED;
      const name = withoutBlanks(item, 0, item.length).toLowerCase();
      if (name === 'close') options |= CLOSE;
      else if (name === 'keep-alive') options |= KEEP_ALIVE;
      else if (name === 'upgrade') options |= UPGRADE;
      else if (name === '') continue;
      else if (!isToken(name)) return MALFORMED;
      else if (((1 << kindOfName(name)) & PROTECTED) === 0) fields.remove(name);
    }
  }
  return options;
}
