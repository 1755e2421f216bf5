/**
 * Names of header fields that the gateway itself acts on. They are recognised by length and first letter, so that of the
 * names that mean nothing to it none is ever lower-cased or compared.
 */

/** What a field's name means to the gateway; fits into five bits, and so a set of kinds into one 31-bit mask. */
export const FieldKind = {
  Other: 0,
  Host: 1,
  Connection: 2,
  KeepAlive: 3,
  ProxyConnection: 4,
  Te: 5,
  Trailer: 6,
  TransferEncoding: 7,
  Upgrade: 8,
  ContentLength: 9,
  Expect: 10,
  ProxyAuthenticate: 11,
  ProxyAuthorization: 12,
  Http2Settings: 13,
  Forwarded: 14,
  XForwardedFor: 15,
  XForwardedProto: 16,
  XForwardedHost: 17,
  XForwardedPort: 18,
  /** Any other name that begins with `x-forwarded-`. */
  XForwardedOther: 19,
  XRealIp: 20,
  /** `client-cert` and what begins with `client-cert-` (RFC 9440). */
  ClientCert: 21,
  /**
   * Any name that begins with `ssl-client-`; and `Proxy`, which programs of CGI get as HTTP_PROXY and take for a proxy of their own
   * (CVE-2016-5385): neither is believed of any client.
   */
  SslClient: 22,
  Authorization: 23,
  Cookie: 24,
  XRequestId: 25,
  Traceparent: 26,
  Date: 27,
  UserAgent: 28,
  Referer: 29,
  ContentType: 30,
  /** In a message's list of lines: gone. No name has this kind. */
  Removed: 31,
} as const;
export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind];

/** A set of kinds, as a bit each. */
export function maskOf(...kinds: readonly FieldKind[]): number {
  let mask = 0;
  for (const kind of kinds) mask |= 1 << kind;
  return mask;
}

/** Fields that concern one connection only (RFC 9110 section 7.6.1, RFC 2616 section 13.5.1). */
export const HOP_BY_HOP = maskOf(
  FieldKind.Connection,
  FieldKind.KeepAlive,
  FieldKind.ProxyConnection,
  FieldKind.Te,
  FieldKind.Trailer,
  FieldKind.TransferEncoding,
  FieldKind.Upgrade,
  FieldKind.ProxyAuthenticate,
  FieldKind.ProxyAuthorization,
  FieldKind.Http2Settings,
);

/** Fields by which a proxy tells where a request came from. */
export const FORWARDING = maskOf(
  FieldKind.Forwarded,
  FieldKind.XForwardedFor,
  FieldKind.XForwardedProto,
  FieldKind.XForwardedHost,
  FieldKind.XForwardedPort,
  FieldKind.XForwardedOther,
  FieldKind.XRealIp,
);

/** Fields by which a proxy tells what a client certificate said, and `Proxy`. */
export const CLIENT_CERTIFICATE = maskOf(FieldKind.ClientCert, FieldKind.SslClient);

const NAMES: readonly (readonly [string, FieldKind])[] = [
  ['Host', FieldKind.Host],
  ['Connection', FieldKind.Connection],
  ['Keep-Alive', FieldKind.KeepAlive],
  ['Proxy-Connection', FieldKind.ProxyConnection],
  ['TE', FieldKind.Te],
  ['Trailer', FieldKind.Trailer],
  ['Transfer-Encoding', FieldKind.TransferEncoding],
  ['Upgrade', FieldKind.Upgrade],
  ['Content-Length', FieldKind.ContentLength],
  ['Expect', FieldKind.Expect],
  ['Proxy-Authenticate', FieldKind.ProxyAuthenticate],
  ['Proxy-Authorization', FieldKind.ProxyAuthorization],
  ['HTTP2-Settings', FieldKind.Http2Settings],
  ['Forwarded', FieldKind.Forwarded],
  ['X-Forwarded-For', FieldKind.XForwardedFor],
  ['X-Forwarded-Proto', FieldKind.XForwardedProto],
  ['X-Forwarded-Host', FieldKind.XForwardedHost],
  ['X-Forwarded-Port', FieldKind.XForwardedPort],
  ['X-Real-IP', FieldKind.XRealIp],
  ['Client-Cert', FieldKind.ClientCert],
  ['Proxy', FieldKind.SslClient],
  ['Authorization', FieldKind.Authorization],
  ['Cookie', FieldKind.Cookie],
  ['X-Request-Id', FieldKind.XRequestId],
  ['Traceparent', FieldKind.Traceparent],
  ['Date', FieldKind.Date],
  ['User-Agent', FieldKind.UserAgent],
  ['Referer', FieldKind.Referer],
  ['Content-Type', FieldKind.ContentType],
];

/** Families of names: everything that begins so, unless it has a kind of its own. */
const FAMILIES: readonly (readonly [string, FieldKind])[] = [
  ['x-forwarded-', FieldKind.XForwardedOther],
  ['client-cert-', FieldKind.ClientCert],
  ['ssl-client-', FieldKind.SslClient],
];

/** Kinds that more than one name has: there the name must be compared as well. */
export const FAMILY_KINDS = maskOf(FieldKind.XForwardedOther, FieldKind.ClientCert, FieldKind.SslClient);

/** Lower case of every name, by kind, in rows of 32 bytes. */
const ROW = 32;
const SPELLING = new Uint8Array(32 * ROW);
const LENGTHS = new Uint8Array(32);
/** The first name of each length (below 32) and first letter (its lower five bits), and for each name the next one of the same. */
const FIRST = new Uint8Array(32 * 32);
const NEXT = new Uint8Array(32);
/** The family whose names begin with a letter, by its lower five bits: its index in FAMILIES plus one. */
const FAMILY_BY_LETTER = new Uint8Array(32);
const KIND_BY_TEXT = new Map<string, FieldKind>();

for (const [name, kind] of NAMES) {
  const lower = name.toLowerCase();
  for (let index = 0; index < lower.length; index++) SPELLING[kind * ROW + index] = lower.charCodeAt(index);
  LENGTHS[kind] = lower.length;
  const cell = lower.length * 32 + (lower.charCodeAt(0) & 31);
  NEXT[kind] = FIRST[cell] as number;
  FIRST[cell] = kind;
  KIND_BY_TEXT.set(name, kind);
  KIND_BY_TEXT.set(lower, kind);
}
FAMILIES.forEach(([prefix], index) => {
  FAMILY_BY_LETTER[prefix.charCodeAt(0) & 31] = index + 1;
});

/**
 * The kind of a name as it stands in a message.
 * @param bytes of which `[start..start + length)` is a name that was found to be a token
 */
export function kindOfBytes(bytes: Uint8Array, start: number, length: number): FieldKind {
  const letter = (bytes[start] as number) & 31;
  if (length < 32) {
    let kind = FIRST[length * 32 + letter] as number;
    while (kind !== 0) {
      const row = kind * ROW;
      let index = 1;
      // In a token only letters and @ [ \ ] ^ _ ` { | } ~ change with bit 5; none of the latter pairs up with a letter or a hyphen.
      while (index < length && ((bytes[start + index] as number) | 0x20) === SPELLING[row + index]) index++;
      if (index === length && ((bytes[start] as number) | 0x20) === SPELLING[row]) return kind as FieldKind;
      kind = NEXT[kind] as number;
    }
  }
  const family = FAMILY_BY_LETTER[letter] as number;
  if (family === 0) return FieldKind.Other;
  const [prefix, kind] = FAMILIES[family - 1] as readonly [string, FieldKind];
  if (length <= prefix.length) return FieldKind.Other;
  for (let index = 0; index < prefix.length; index++) if (((bytes[start + index] as number) | 0x20) !== prefix.charCodeAt(index)) return FieldKind.Other;
  return kind;
}

/** As `kindOfBytes`, of a name within text. */
export function kindOfText(text: string, start: number, length: number): FieldKind {
  const letter = text.charCodeAt(start) & 31;
  if (length < 32) {
    for (let kind = FIRST[length * 32 + letter] as number; kind !== 0; kind = NEXT[kind] as number) {
      let index = 0;
      while (index < length && (text.charCodeAt(start + index) | 0x20) === SPELLING[kind * ROW + index]) index++;
      if (index === length) return kind as FieldKind;
    }
  }
  return FAMILY_BY_LETTER[letter] === 0 ? FieldKind.Other : kindOfName(text.slice(start, start + length));
}

/** The kind of a name in any spelling. */
export function kindOfName(name: string): FieldKind {
  const kind = KIND_BY_TEXT.get(name);
  if (kind !== undefined) return kind;
  const letter = name.charCodeAt(0) & 31;
  const family = FAMILY_BY_LETTER[letter] as number;
  if (family === 0 && (name.length >= 32 || FIRST[name.length * 32 + letter] === 0)) return FieldKind.Other;
  const lower = name.toLowerCase();
  const found = KIND_BY_TEXT.get(lower);
  if (found !== undefined || family === 0) return found ?? FieldKind.Other;
  const [prefix, familyKind] = FAMILIES[family - 1] as readonly [string, FieldKind];
  return lower.length > prefix.length && lower.startsWith(prefix) ? familyKind : FieldKind.Other;
}

/** Whether two names are the same but for the case of ASCII letters; a lower-case `right` is what it is quickest for. */
export function sameName(left: string, right: string): boolean {
  const length = left.length;
  if (length !== right.length) return false;
  for (let index = 0; index < length; index++) {
    const a = left.charCodeAt(index);
    const b = right.charCodeAt(index);
    if (a !== b && ((a ^ b) !== 0x20 || !isLetter(a))) return false;
  }
  return true;
}

export function isLetter(code: number): boolean {
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

/** RFC 9110 section 5.6.2: 1 for each byte that a token may hold. */
export const TOKEN = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") TOKEN[character.charCodeAt(0)] = 1;

/** Whether `text` is a token, as names of fields, methods and connection options are. */
export function isToken(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0xff || TOKEN[code] === 0) return false;
  }
  return text.length > 0;
}
