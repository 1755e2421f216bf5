/**
 * JSON of which there is one reading only. `JSON.parse` takes the last of two members of the same name, other readers the first:
 * a token that says two things is none (RFC 8725 section 2.6 is about such differences; RFC 7515 section 4, RFC 7519 section 4 allow to refuse it).
 */
import { parseJsonText } from '../../../exchange/json-text.ts';

/** Far beyond what any token or key set has. */
const MAX_DEPTH = 32;

export type JsonObject = Readonly<Record<string, unknown>>;

const QUOTE = 0x22;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @returns the object that it is; undefined where it is not UTF-8, no JSON, no object, too deep, or has a member twice */
export function parseStrictObject(bytes: Buffer): JsonObject | undefined {
  const shape = shapeOf(bytes);
  if (shape.depth > MAX_DEPTH) return undefined;
  let value: unknown;
  try {
    value = parseJsonText(shape.isAscii ? bytes.toString('latin1') : UTF8.decode(bytes));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  // A member that is there twice, plain or escaped, is one of the object.
  return membersOf(value) === shape.members ? (value as JsonObject) : undefined;
}

interface Shape {
  readonly depth: number;
  /** Of all objects. */
  readonly members: number;
  readonly isAscii: boolean;
}

/** @param bytes JSON; of anything else nothing is said */
function shapeOf(bytes: Buffer): Shape {
  let open = 0;
  let depth = 0;
  let members = 0;
  let seen = 0;
  let isString = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    seen |= byte;
    if (isString) {
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) isString = false;
    } else if (byte === QUOTE) {
      isString = true;
    } else if (byte === COLON) {
      members++;
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      open++;
      if (open > depth) depth = open;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      open--;
    }
  }
  return { depth, members, isAscii: seen < 0x80 };
}

function membersOf(value: object): number {
  const isList = Array.isArray(value);
  let count = 0;
  for (const member of Object.values(value)) {
    if (!isList) count++;
    if (typeof member === 'object' && member !== null) count += membersOf(member);
  }
  return count;
}
