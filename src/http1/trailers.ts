import { CLIENT_CERTIFICATE, FieldKind, FORWARDING, HOP_BY_HOP, maskOf } from '../exchange/field-names.ts';
import type { Fields } from '../exchange/fields.ts';

/**
 * Fields that must not come as trailers, since whoever merges them into the header section would take them for the
 * sender's word on framing, routing, authentication, or how to read the content (RFC 9110 section 6.5.1).
 */
const NOT_IN_TRAILERS =
  HOP_BY_HOP |
  FORWARDING |
  CLIENT_CERTIFICATE |
  maskOf(
    FieldKind.Host,
    FieldKind.ContentLength,
    FieldKind.Expect,
    FieldKind.Authorization,
    FieldKind.Cookie,
    FieldKind.XRequestId,
    FieldKind.Traceparent,
    FieldKind.Date,
    FieldKind.ContentType,
    FieldKind.UserAgent,
    FieldKind.Referer,
  );

const NAMES_NOT_IN_TRAILERS = [
  ...['set-cookie', 'www-authenticate', 'authentication-info', 'proxy-authentication-info', 'tracestate', 'x-http-method-override'],
  ...['content-encoding', 'content-range', 'content-location', 'range', 'if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range'],
  ...['age', 'cache-control', 'expires', 'location', 'max-forwards', 'pragma', 'retry-after', 'vary'],
];

/** Removes what must not be a trailer. @returns undefined when nothing is left */
export function allowedTrailers(trailers: Fields): Fields | undefined {
  trailers.removeKinds(NOT_IN_TRAILERS);
  for (const name of NAMES_NOT_IN_TRAILERS) trailers.remove(name);
  let any = false;
  trailers.forEach(() => {
    any = true;
  });
  return any ? trailers : undefined;
}
