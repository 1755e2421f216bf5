/** One header field of a table, judged once for all messages that have it: what RFC 9113 section 8.2 says of names and values. */
import { FieldKind, kindOfName, maskOf, TOKEN } from '../../exchange/field-names.ts';
import { ENTRY_OVERHEAD } from './dynamic-table.ts';

/** Kinds of pseudo-header fields, above every FieldKind. */
export const Pseudo = { Method: 32, Scheme: 33, Authority: 34, Path: 35, Status: 36, Protocol: 37, Unknown: 38 } as const;
export const FIRST_PSEUDO = 32;

const PSEUDO_NAMES: Readonly<Record<string, number>> = {
  ':method': Pseudo.Method,
  ':scheme': Pseudo.Scheme,
  ':authority': Pseudo.Authority,
  ':path': Pseudo.Path,
  ':status': Pseudo.Status,
  ':protocol': Pseudo.Protocol,
};

/** What can be wrong with a field, as sentences for the log; '' for nothing. */
export const BAD_NAME = 'A field name is no lower-case token.';
export const BAD_VALUE = 'A field value holds a control character, or begins or ends with a blank.';
export const CONNECTION_SPECIFIC = 'There is a field that concerns an HTTP/1 connection.';
export const BAD_TE = 'TE says something else than trailers.';
export const UNKNOWN_PSEUDO = 'There is an unknown pseudo-header field.';

/** RFC 9113 section 8.2.2. TE may say `trailers`. */
const CONNECTION_FIELDS = maskOf(FieldKind.Connection, FieldKind.ProxyConnection, FieldKind.KeepAlive, FieldKind.TransferEncoding, FieldKind.Upgrade);

const PLAIN = 1;
export const UNDERSCORE = 2;
/** Bytes of a name in HTTP/2: those of a token without upper-case letters (RFC 9113 section 8.2.1). */
const NAME_BYTES = Uint8Array.from(TOKEN, (token, code) => (code >= 0x41 && code <= 0x5a ? 0 : code === 0x5f ? UNDERSCORE : token * PLAIN));

export class HeaderEntry {
  /** A FieldKind, or one of Pseudo. */
  readonly kind: number;
  readonly nameLength: number;
  /** The name has an underscore, to many backends the same as a hyphen. */
  readonly hasUnderscore: boolean;
  /** `name: value\r\n`; of pseudo-header fields `:authority` only, as the Host line that it stands for. */
  readonly line: string;
  /** Of a pseudo-header field; '' for others. */
  readonly value: string;
  readonly nameFlaw: string;
  /** The first of what is wrong with name and value. */
  readonly flaw: string;
  /** RFC 7541 section 4.1. */
  readonly size: number;

  constructor(kind: number, nameLength: number, hasUnderscore: boolean, line: string, value: string, valueLength: number, nameFlaw: string, valueFlaw: string) {
    this.kind = kind;
    this.nameLength = nameLength;
    this.hasUnderscore = hasUnderscore;
    this.line = line;
    this.value = value;
    this.nameFlaw = nameFlaw;
    this.flaw = nameFlaw === '' ? valueFlaw : nameFlaw;
    this.size = nameLength + valueLength + ENTRY_OVERHEAD;
  }

  /** Of a table's constants. */
  static of(name: string, value: string): HeaderEntry {
    const pseudo = pseudoKind(name);
    const isPseudo = pseudo >= 0;
    const line = isPseudo ? (pseudo === Pseudo.Authority ? hostLine(value) : '') : `${name}: ${value}\r\n`;
    const kind = isPseudo ? pseudo : kindOfName(name);
    return new HeaderEntry(kind, name.length, false, line, isPseudo ? value : '', value.length, isPseudo ? '' : kindFlaw(kind), '');
  }
}

export function hostLine(authority: string): string {
  return `host: ${authority}\r\n`;
}

/** One of Pseudo for a name that begins with a colon; -1 for any other. */
export function pseudoKind(name: string): number {
  if (name.charCodeAt(0) !== 0x3a) return -1;
  return Object.hasOwn(PSEUDO_NAMES, name) ? (PSEUDO_NAMES[name] as number) : Pseudo.Unknown;
}

/** What is wrong with every field of that kind, whatever its value. */
export function kindFlaw(kind: number): string {
  if (kind === Pseudo.Unknown) return UNKNOWN_PSEUDO;
  return kind < FIRST_PSEUDO && (CONNECTION_FIELDS & (1 << kind)) !== 0 ? CONNECTION_SPECIFIC : '';
}

/** The classes of a name's bytes, or-ed: see UNDERSCORE. @returns 0 where it is no name of a field in HTTP/2; a pseudo-header field's is none */
export function nameClasses(bytes: Uint8Array, start: number, end: number): number {
  let classes = 0;
  for (let index = start; index < end; index++) {
    const found = NAME_BYTES[bytes[index] as number] as number;
    if (found === 0) return 0;
    classes |= found;
  }
  return classes;
}

/** What is wrong with a value (RFC 9113 section 8.2.1, and controls as in HTTP/1); '' for nothing. */
export function valueFlaw(bytes: Uint8Array, start: number, end: number): string {
  if (start === end) return '';
  const first = bytes[start] as number;
  const last = bytes[end - 1] as number;
  if (first === 0x20 || first === 0x09 || last === 0x20 || last === 0x09) return BAD_VALUE;
  for (let index = start; index < end; index++) {
    const code = bytes[index] as number;
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) return BAD_VALUE;
  }
  return '';
}
