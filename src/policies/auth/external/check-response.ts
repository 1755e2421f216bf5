/** What an ext_authz server of Envoy's API, version 3, says (envoy.service.auth.v3.CheckResponse). */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/** What becomes of a header field of that name (HeaderValueOption). */
export type HeaderChange = {
  readonly name: string;
  /** Characters are bytes. */
  readonly value: string;
  /** Add: one more. AddIfAbsent, OverwriteIfPresent: only then. Set: in place of all that are there. */
  readonly action: 'Add' | 'AddIfAbsent' | 'Set' | 'OverwriteIfPresent';
};

export interface CheckAllowed {
  readonly allowed: true;
  /** Of the request, on its way to the backend. */
  readonly headers: readonly HeaderChange[];
  readonly headersToRemove: readonly string[];
  /** Of the answer to the client. */
  readonly responseHeaders: readonly HeaderChange[];
  /** Of the request's query; `set` takes the place of all of that name. */
  readonly queryToSet: readonly (readonly [name: string, value: string])[];
  readonly queryToRemove: readonly string[];
}

export interface CheckDenied {
  readonly allowed: false;
  readonly status: number;
  readonly headers: readonly HeaderChange[];
  readonly body: string;
}

/** What a server that says no and nothing else means. */
const FORBIDDEN = 403;

/** Bytes that are no CheckResponse, or one that can't be done. */
export class CheckResponseError extends Error {}

/**
 * Reads a CheckResponse. Metadata are passed over.
 * @throws CheckResponseError where it is none, or has a header that can't be written
 */
export function readCheckResponse(bytes: Buffer): CheckAllowed | CheckDenied {
  try {
    return read(bytes);
  } catch (error) {
    throw error instanceof CheckResponseError ? error : new CheckResponseError((error as Error).message);
  }
}

/** One field: of the two values the one that its type has, else 0 and nothing. */
interface Field {
  readonly number: number;
  readonly integer: number;
  readonly bytes: Buffer;
}

/** Those of a message. What has a type that nobody here reads is stepped over. @throws Error where the message is cut or can't be one */
function* fieldsOf(message: Uint8Array): Generator<Field> {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    // All of its bits: a code whose lower ones are 0 is not OK.
    if (type === WireType.Varint) yield { number, integer: Number(reader.int64()), bytes: NOTHING };
    else if (type === WireType.LengthDelimited) yield { number, integer: 0, bytes: asBuffer(reader.bytes()) };
    else reader.skip(type, number);
  }
}

const NOTHING = Buffer.alloc(0);

function asBuffer({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}

function read(bytes: Buffer): CheckAllowed | CheckDenied {
  let code = 0;
  let denied: Buffer | undefined;
  let ok: Buffer | undefined;
  for (const field of fieldsOf(bytes)) {
    if (field.number === 1) code = readCode(field.bytes);
    else if (field.number === 2) denied = field.bytes;
    else if (field.number === 3) ok = field.bytes;
  }
  // The status decides, and not which of the two parts is there.
  return code === 0 ? readOk(ok) : readDenied(denied);
}

/** google.rpc.Status. */
function readCode(bytes: Buffer): number {
  let code = 0;
  for (const { number, integer } of fieldsOf(bytes)) if (number === 1) code = integer;
  return code;
}

function readDenied(bytes: Buffer | undefined): CheckDenied {
  let status = FORBIDDEN;
  let body = '';
  const headers: HeaderChange[] = [];
  if (bytes !== undefined) {
    for (const field of fieldsOf(bytes)) {
      if (field.number === 1) status = readCode(field.bytes);
      else if (field.number === 2) headers.push(readHeader(field.bytes));
      else if (field.number === 3) body = field.bytes.toString('utf8');
    }
  }
  return { allowed: false, status: status >= 200 && status <= 599 ? status : FORBIDDEN, headers, body };
}

function readOk(bytes: Buffer | undefined): CheckAllowed {
  const headers: HeaderChange[] = [];
  const headersToRemove: string[] = [];
  const responseHeaders: HeaderChange[] = [];
  const queryToSet: (readonly [string, string])[] = [];
  const queryToRemove: string[] = [];
  if (bytes !== undefined) {
    for (const field of fieldsOf(bytes)) {
      if (field.number === 2) headers.push(readHeader(field.bytes));
      else if (field.number === 5) headersToRemove.push(field.bytes.toString('utf8').toLowerCase());
      else if (field.number === 6) responseHeaders.push(readHeader(field.bytes));
      else if (field.number === 7) queryToSet.push(readPair(field.bytes));
      else if (field.number === 8) queryToRemove.push(field.bytes.toString('utf8'));
    }
  }
  return { allowed: true, headers, headersToRemove, responseHeaders, queryToSet, queryToRemove };
}

/** HeaderAppendAction, by its number; 0 is what a server that knows only `append` leaves there. */
const ACTIONS: readonly (HeaderChange['action'] | undefined)[] = [undefined, 'AddIfAbsent', 'Set', 'OverwriteIfPresent'];

/** HeaderValueOption: by `append` and its default, false, unless `append_action` says something. */
function readHeader(bytes: Buffer): HeaderChange {
  let name = '';
  let value = '';
  let action: HeaderChange['action'] = 'Set';
  let chosen = 0;
  for (const field of fieldsOf(bytes)) {
    if (field.number === 1) {
      for (const header of fieldsOf(field.bytes)) {
        if (header.number === 1) name = header.bytes.toString('utf8').toLowerCase();
        // `raw_value` has bytes that are no UTF-8.
        else if ((header.number === 2 || header.number === 3) && header.bytes.length > 0) value = header.bytes.toString('latin1');
      }
    } else if (field.number === 2) {
      action = readCode(field.bytes) === 0 ? 'Set' : 'Add';
    } else if (field.number === 3) {
      chosen = field.integer;
    }
  }
  if (!TOKEN.test(name)) throw new CheckResponseError('a header has a name that is none');
  if (!FIELD_VALUE.test(value)) throw new CheckResponseError(`header ${name} has a value that can not be written`);
  return { name, value, action: ACTIONS[chosen] ?? action };
}

/** QueryParameter, and each entry of a map of text. */
function readPair(bytes: Buffer): readonly [string, string] {
  let first = '';
  let second = '';
  for (const field of fieldsOf(bytes)) {
    if (field.number === 1) first = field.bytes.toString('utf8');
    else if (field.number === 2) second = field.bytes.toString('utf8');
  }
  return [first, second];
}

/** RFC 9110 section 5.6.2; pseudo-header fields are none of ours to change. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9a-z]{1,256}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is refused.
const FIELD_VALUE = /^[^\x00-\x08\x0a-\x1f\x7f]*$/;
