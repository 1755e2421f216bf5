/**
 * JSON whose names may be written with escapes. `JSON.parse` compares a name that it expects, since it was there in another text that was
 * read before, with what is written, and not with what that means: after `{"a\\/b":1}` it reads `{"a\/bc":1}` as `{"a\\/b":1}`
 * (nodejs/node#63785). So one client's body would change how another one's is read. Without escapes the two are the same.
 */
import { randomBytes } from 'node:crypto';
import { endOfString } from './long-numbers.ts';

/** Begins what stands for a name that can't be written without escapes while it is parsed. Nobody can guess it. */
const MARK = `${randomBytes(16).toString('hex')}:`;

const BLANKS = new Set([0x20, 0x09, 0x0a, 0x0d]);
const COLON = 0x3a;

/** As `JSON.parse`. @throws SyntaxError */
export function parseJsonText(text: string): unknown {
  const plain = text.includes('\\') ? withPlainNames(text) : undefined;
  if (plain === undefined) return JSON.parse(text);
  const root = JSON.parse(plain) as unknown;
  if (plain.includes(MARK)) putNamesBack(root);
  return root;
}

/** @returns undefined where no name has escapes @throws SyntaxError where one is no JSON */
function withPlainNames(text: string): string | undefined {
  let written = '';
  let copied = 0;
  for (let start = text.indexOf('"'); start >= 0; ) {
    const end = endOfString(text, start) + 1;
    let next = end;
    while (BLANKS.has(text.charCodeAt(next))) next++;
    if (text.charCodeAt(next) === COLON) {
      const name = text.slice(start, end);
      if (name.includes('\\')) {
        written += text.slice(copied, start) + plainName(JSON.parse(name) as string);
        copied = end;
      }
    }
    start = text.indexOf('"', next);
  }
  return copied === 0 ? undefined : written + text.slice(copied);
}

function plainName(name: string): string {
  const plain = JSON.stringify(name);
  return plain.includes('\\') ? `"${MARK}${Buffer.from(name, 'utf16le').toString('base64url')}"` : plain;
}

function putNamesBack(root: unknown): void {
  const holders = [root];
  for (let holder = holders.pop(); holder !== undefined; holder = holders.pop()) {
    if (typeof holder !== 'object' || holder === null) continue;
    const members = Object.entries(holder);
    for (const [, value] of members) if (typeof value === 'object' && value !== null) holders.push(value);
    if (!members.some(([name]) => name.startsWith(MARK))) continue;
    // All of them, so that they stay in their order.
    for (const [name] of members) Reflect.deleteProperty(holder, name);
    for (const [name, value] of members) {
      const meant = name.startsWith(MARK) ? Buffer.from(name.slice(MARK.length), 'base64url').toString('utf16le') : name;
      // Not by assignment, which would be something else for `__proto__`.
      Object.defineProperty(holder, meant, { value, writable: true, enumerable: true, configurable: true });
    }
  }
}
