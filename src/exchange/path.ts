/** The path of a request target, normalised once; routing, limits, logs and backends all see the same string. */
import { hexDigit } from './hex.ts';

const PLAIN = 0;
const PERCENT = 1;
const DOT = 2;
const REFUSED = 3;
/** What each ASCII character of a path calls for. */
const CLASSES = new Uint8Array(128);
for (let code = 0; code < 128; code++) CLASSES[code] = code <= 0x20 || code === 0x7f ? REFUSED : PLAIN;
CLASSES[0x25] = PERCENT;
CLASSES[0x2e] = DOT;
// A fragment or a query can't be in a path, and a backslash is a slash to some backends and none to others.
for (const refused of '#?\\') CLASSES[refused.charCodeAt(0)] = REFUSED;

const SLASH = 0x2f;

/**
 * Normalises a path as RFC 3986 section 6.2.2 says: escapes of unreserved characters are decoded, the hex digits of the
 * others written in upper case, and dot segments removed, encoded ones too; `..` at the root stays at the root. Empty
 * segments (`//`) are kept. Normalising twice changes nothing more.
 *
 * @param path the path as received, characters being bytes, without query; begins with `/`
 * @returns the very same string where nothing is to be done; undefined where the request is to be refused with 400: an
 *   encoded slash, backslash or NUL, a raw backslash, `#`, `?`, white space, a control or non-ASCII character, a broken
 *   escape, or no leading slash
 */
export function normalizePath(path: string): string | undefined {
  if (path.charCodeAt(0) !== SLASH) return undefined;
  const length = path.length;
  let previous = SLASH;
  for (let index = 1; index < length; index++) {
    const code = path.charCodeAt(index);
    if (code > 0x7f) return undefined;
    const kind = CLASSES[code];
    if (kind !== PLAIN) {
      if (kind === REFUSED) return undefined;
      if (kind === PERCENT || previous === SLASH) return normalizeSlowly(path);
    }
    previous = code;
  }
  return path;
}

function normalizeSlowly(path: string): string | undefined {
  let decoded = '';
  let copied = 0;
  for (let index = 0; index < path.length; index++) {
    const code = path.charCodeAt(index);
    if (code > 0x7f) return undefined;
    const kind = CLASSES[code];
    if (kind === REFUSED) return undefined;
    if (kind !== PERCENT) continue;
    const high = hexDigit(path.charCodeAt(index + 1));
    const low = hexDigit(path.charCodeAt(index + 2));
    if (high < 0 || low < 0) return undefined;
    const byte = high * 16 + low;
    if (byte === SLASH || byte === 0x5c || byte === 0) return undefined;
    decoded += path.slice(copied, index) + (isUnreserved(byte) ? String.fromCharCode(byte) : path.slice(index, index + 3).toUpperCase());
    index += 2;
    copied = index + 1;
  }
  if (copied > 0) decoded += path.slice(copied);
  else decoded = path;
  return decoded.includes('/.') ? removeDotSegments(decoded) : decoded;
}

/** RFC 3986 section 5.2.4, for a path that begins with a slash. */
function removeDotSegments(path: string): string {
  const segments = path.split('/');
  const kept: string[] = [];
  // The piece before the leading slash is no segment.
  for (let index = 1; index < segments.length; index++) {
    const segment = segments[index] as string;
    const last = index === segments.length - 1;
    if (segment === '..') kept.pop();
    if (segment !== '.' && segment !== '..') kept.push(segment);
    else if (last) kept.push('');
  }
  return `/${kept.join('/')}`;
}

/** RFC 3986 section 2.3. */
function isUnreserved(byte: number): boolean {
  const lower = byte | 0x20;
  return (lower >= 0x61 && lower <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === 0x2e || byte === 0x5f || byte === 0x7e;
}
