/**
 * The server name of a ClientHello, read before the handshake: where a connection is to be passed through, TLS is not ours. Pure
 * and bounded. It decides nothing about TLS: what it will not read goes to TLS as it is, which refuses what is wrong.
 */

/** Bytes of records, their headers included, that are looked at. OpenSSL's bound for a ClientHello is as wide. */
const MAX_BYTES = 16 * 1024;
const RECORD_HEAD = 5;
const HANDSHAKE_HEAD = 4;
const HANDSHAKE_RECORD = 0x16;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const HOST_NAME = 0;
/** RFC 8446 section 5.1: of a record's fragment. */
const MAX_FRAGMENT = 16 * 1024;

export type ClientHello =
  /** `need`: bytes from the connection's first that are needed at least before another look is worth it. */
  | { readonly type: 'more'; readonly need: number }
  /** `serverName`: lower-case, without the root's dot; '' when there is none, or none that is a host name. */
  | { readonly type: 'hello'; readonly serverName: string }
  /** Not a ClientHello, or not a well-formed one, or longer than 16 KiB. */
  | { readonly type: 'bad' };

const BAD: ClientHello = { type: 'bad' };

/** @param bytes all that has come of the connection so far */
export function readClientHello(bytes: Uint8Array): ClientHello {
  /** The handshake message, whose records may end anywhere in it (RFC 8446 section 5.1). */
  let message: Uint8Array = bytes.subarray(0, 0);
  let joined: Buffer | undefined;
  let position = 0;
  let need = RECORD_HEAD;
  while (position < bytes.length) {
    if (bytes[position] !== HANDSHAKE_RECORD) return BAD;
    // Any minor version: what a client writes there says nothing.
    if (position + 1 < bytes.length && bytes[position + 1] !== 3) return BAD;
    const start = position + RECORD_HEAD;
    need = start;
    if (start > bytes.length) break;
    const length = uint(bytes, position + 3, 2);
    // Of a handshake no fragment is empty.
    if (length === 0 || length > MAX_FRAGMENT) return BAD;
    need = start + length;
    const fragment = bytes.subarray(start, Math.min(bytes.length, need));
    if (message.length === 0) {
      message = fragment;
    } else if (fragment.length > 0) {
      if (joined === undefined) {
        joined = Buffer.allocUnsafe(bytes.length);
        joined.set(message);
      }
      joined.set(fragment, message.length);
      message = joined.subarray(0, message.length + fragment.length);
    }
    if (message.length > 0 && message[0] !== CLIENT_HELLO) return BAD;
    const whole = message.length < HANDSHAKE_HEAD ? HANDSHAKE_HEAD : HANDSHAKE_HEAD + uint(message, 1, 3);
    if (whole > MAX_BYTES) return BAD;
    if (message.length >= whole && message.length >= HANDSHAKE_HEAD) {
      const serverName = readServerName(message.subarray(HANDSHAKE_HEAD, whole));
      return serverName === undefined ? BAD : { type: 'hello', serverName };
    }
    position = need;
  }
  // After a whole record at least a byte of the next one.
  if (position === bytes.length && position > 0) need = position + RECORD_HEAD + 1;
  return need > MAX_BYTES ? BAD : { type: 'more', need: Math.max(need, bytes.length + 1) };
}

/** RFC 8446 section 4.1.2. @returns undefined when the message is malformed */
function readServerName(hello: Uint8Array): string | undefined {
  const reader = new Reader(hello);
  // legacy_version and random.
  reader.skip(2 + 32);
  if (reader.vector(1).length > 32) return undefined;
  const suites = reader.vector(2);
  if (suites.length === 0 || suites.length % 2 !== 0) return undefined;
  if (reader.vector(1).length === 0) return undefined;
  if (reader.failed) return undefined;
  // TLS 1.2 clients may send none at all.
  if (reader.left === 0) return '';
  const extensions = new Reader(reader.vector(2));
  if (reader.failed || reader.left > 0) return undefined;
  let name: string | undefined;
  while (extensions.left > 0) {
    const type = extensions.uint(2);
    const body = extensions.vector(2);
    if (extensions.failed) return undefined;
    if (type !== SERVER_NAME) continue;
    // Twice: two readers might take one each (RFC 8446 section 4.2).
    if (name !== undefined) return undefined;
    name = hostName(body);
    if (name === undefined) return undefined;
  }
  return name ?? '';
}

/** RFC 6066 section 3: a list with at most one name of each type. */
function hostName(extension: Uint8Array): string | undefined {
  const outer = new Reader(extension);
  const list = new Reader(outer.vector(2));
  if (outer.failed || outer.left > 0 || list.left === 0) return undefined;
  let name: string | undefined;
  while (list.left > 0) {
    const type = list.uint(1);
    const value = list.vector(2);
    if (list.failed || value.length === 0) return undefined;
    if (type !== HOST_NAME) continue;
    if (name !== undefined) return undefined;
    name = Buffer.from(value).toString('latin1');
  }
  return name === undefined ? '' : normalName(name);
}

function normalName(name: string): string {
  const plain = name.endsWith('.') ? name.slice(0, -1) : name;
  return plain.length <= 253 && /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(plain) ? plain.toLowerCase() : '';
}

/** Reads numbers and vectors; once something is missing, `failed` stays true and all further vectors are empty. */
class Reader {
  failed = false;
  #position = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#position;
  }

  skip(length: number): Uint8Array {
    if (this.failed || length > this.left) {
      this.failed = true;
      return this.#bytes.subarray(0, 0);
    }
    this.#position += length;
    return this.#bytes.subarray(this.#position - length, this.#position);
  }

  uint(size: 1 | 2): number {
    const bytes = this.skip(size);
    return this.failed ? 0 : uint(bytes, 0, size);
  }

  /** @param size of its length */
  vector(size: 1 | 2): Uint8Array {
    return this.skip(this.uint(size));
  }
}

/** A number in network order. */
function uint(bytes: Uint8Array, start: number, size: number): number {
  let value = 0;
  for (let index = 0; index < size; index++) value = value * 256 + (bytes[start + index] as number);
  return value;
}
