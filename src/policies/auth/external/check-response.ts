/** What an ext_authz server of Envoy's API, version 3, says (envoy.service.auth.v3.CheckResponse). */
import { MessageReader, ProtobufError } from './protobuf.ts';

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

/**
 * Reads a CheckResponse. Metadata are passed over.
 * @throws ProtobufError where it is none, or has a header that can't be written
 */
export function readCheckResponse(bytes: Buffer): CheckAllowed | CheckDenied {
  let code = 0;
  let denied: Buffer | undefined;
  let ok: Buffer | undefined;
  const reader = new MessageReader(bytes);
  while (reader.next()) {
    if (reader.field === 1) code = readCode(reader.bytes);
    else if (reader.field === 2) denied = reader.bytes;
    else if (reader.field === 3) ok = reader.bytes;
  }
  // The status decides, and not which of the two parts is there.
  return code === 0 ? readOk(ok) : readDenied(denied);
}

/** google.rpc.Status. */
function readCode(bytes: Buffer): number {
  let code = 0;
  const reader = new MessageReader(bytes);
  while (reader.next()) if (reader.field === 1) code = reader.integer;
  return code;
}

function readDenied(bytes: Buffer | undefined): CheckDenied {
  let status = FORBIDDEN;
  let body = '';
  const headers: HeaderChange[] = [];
  if (bytes !== undefined) {
    const reader = new MessageReader(bytes);
    while (reader.next()) {
      if (reader.field === 1) status = readCode(reader.bytes);
      else if (reader.field === 2) headers.push(readHeader(reader.bytes));
      else if (reader.field === 3) body = reader.text;
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
    const reader = new MessageReader(bytes);
    while (reader.next()) {
      if (reader.field === 2) headers.push(readHeader(reader.bytes));
      else if (reader.field === 5) headersToRemove.push(reader.text.toLowerCase());
      else if (reader.field === 6) responseHeaders.push(readHeader(reader.bytes));
      else if (reader.field === 7) queryToSet.push(readPair(reader.bytes));
      else if (reader.field === 8) queryToRemove.push(reader.text);
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
  const reader = new MessageReader(bytes);
  let chosen = 0;
  while (reader.next()) {
    if (reader.field === 1) {
      const header = new MessageReader(reader.bytes);
      while (header.next()) {
        if (header.field === 1) name = header.text.toLowerCase();
        // `raw_value` has bytes that are no UTF-8.
        else if ((header.field === 2 || header.field === 3) && header.bytes.length > 0) value = header.bytes.toString('latin1');
      }
    } else if (reader.field === 2) {
      action = readCode(reader.bytes) === 0 ? 'Set' : 'Add';
    } else if (reader.field === 3) {
      chosen = reader.integer;
    }
  }
  if (!TOKEN.test(name)) throw new ProtobufError('a header has a name that is none');
  if (!FIELD_VALUE.test(value)) throw new ProtobufError(`header ${name} has a value that can not be written`);
  return { name, value, action: ACTIONS[chosen] ?? action };
}

/** QueryParameter, and each entry of a map of text. */
function readPair(bytes: Buffer): readonly [string, string] {
  let first = '';
  let second = '';
  const reader = new MessageReader(bytes);
  while (reader.next()) {
    if (reader.field === 1) first = reader.text;
    else if (reader.field === 2) second = reader.text;
  }
  return [first, second];
}

/** RFC 9110 section 5.6.2; pseudo-header fields are none of ours to change. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9a-z]{1,256}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is refused.
const FIELD_VALUE = /^[^\x00-\x08\x0a-\x1f\x7f]*$/;
