/**
 * JSON of which there is one reading only. `JSON.parse` takes the last of two members of the same name, other readers the first:
 * a token that says two things is none (RFC 8725 section 2.6 is about such differences; RFC 7515 section 4, RFC 7519 section 4 allow to refuse it).
 */

/** Far beyond what any token or key set has. */
const MAX_DEPTH = 32;

export type JsonObject = Readonly<Record<string, unknown>>;

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @returns the object that it is; undefined where it is not UTF-8, no JSON, no object, too deep, or has a member twice */
export function parseStrictObject(bytes: Uint8Array): JsonObject | undefined {
  let text: string;
  let value: unknown;
  try {
    text = UTF8.decode(bytes);
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return isUnambiguous(text) ? (value as JsonObject) : undefined;
}

/** @param text valid JSON */
function isUnambiguous(text: string): boolean {
  /** Member names of the open objects; undefined for an open list. */
  const open: (Set<string> | undefined)[] = [];
  let isName = false;
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case '{':
      case '[':
        if (open.length === MAX_DEPTH) return false;
        isName = text[at] === '{';
        open.push(isName ? new Set() : undefined);
        break;
      case '}':
      case ']':
        open.pop();
        isName = false;
        break;
      case ',':
        isName = open.at(-1) !== undefined;
        break;
      case '"': {
        const end = endOfString(text, at);
        const names = open.at(-1);
        if (isName && names !== undefined) {
          // Escaped and plain, it is the same name.
          const name = JSON.parse(text.slice(at, end + 1)) as string;
          if (names.has(name)) return false;
          names.add(name);
        }
        isName = false;
        at = end;
        break;
      }
    }
  }
  return true;
}

/** @returns where the string ends that begins there */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}
