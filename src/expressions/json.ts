/** JSON of bodies, as expressions read and make it. */
import { randomBytes } from 'node:crypto';
import { parseJsonText } from '../exchange/json-text.ts';
import { endOfString, quoteLongNumbers } from '../exchange/long-numbers.ts';
import { ExpressionError } from './expression-error.ts';
import { ExpressionRecord, isMap, keysOf, LazyMap, MAX_NESTING, typeName } from './values.ts';

/**
 * Lists and objects within each other in a body. It is less than what expressions may give, so that no body, whatever stands around
 * it, is what makes an expression fail: too deep is its sender's fault, and told when it is read.
 */
const MAX_BODY_NESTING = MAX_NESTING / 2;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Begins the text that stands for a long number while it is parsed. Nobody can guess it. */
const MARK = `${randomBytes(16).toString('hex')}:`;

const QUOTE = 0x22;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * Numbers are doubles, but for whole ones that a double can't hold and 64 bits can: those are ints, so that ids stay what they are.
 * @throws SyntaxError where it is not JSON in UTF-8 (RFC 8259), or nested too deeply (section 9)
 */
export function parseJson(body: Uint8Array): unknown {
  let text: string;
  try {
    text = utf8.decode(body);
  } catch {
    throw new SyntaxError('no UTF-8');
  }
  if (text.length > 2 * MAX_BODY_NESTING && isNestedDeeper(text, MAX_BODY_NESTING)) throw new SyntaxError('nested too deeply');
  const marked = quoteLongNumbers(text, MARK);
  if (marked === undefined) return parseJsonText(text);
  const root = [parseJsonText(marked)];
  putNumbersBack(root);
  return root[0];
}

/** Whether more lists and objects than that are within each other. Of what is no JSON it says anything. */
function isNestedDeeper(text: string, depth: number): boolean {
  let left = depth;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at);
        break;
      case OPEN_LIST:
      case OPEN_OBJECT:
        if (--left < 0) return true;
        break;
      case CLOSE_LIST:
      case CLOSE_OBJECT:
        left++;
        break;
    }
  }
  return false;
}

/** @throws SyntaxError where a number stood in the place of a name */
function putNumbersBack(root: unknown[]): void {
  const holders: object[] = [root];
  for (let holder = holders.pop(); holder !== undefined; holder = holders.pop()) {
    if (Array.isArray(holder)) {
      for (let index = 0; index < holder.length; index++) {
        const value = holder[index] as unknown;
        if (isHolder(value)) holders.push(value);
        else if (isMarked(value)) holder[index] = exact(value);
      }
      continue;
    }
    for (const key of Object.keys(holder)) {
      if (isMarked(key)) throw new SyntaxError('a name is a number');
      const value = (holder as Record<string, unknown>)[key];
      if (isHolder(value)) holders.push(value);
      // Not by assignment, which would be something else for `__proto__`.
      else if (isMarked(value)) Object.defineProperty(holder, key, { value: exact(value), writable: true, enumerable: true, configurable: true });
    }
  }
}

function isHolder(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isMarked(value: unknown): value is string {
  return typeof value === 'string' && value.startsWith(MARK);
}

function exact(marked: string): number | bigint {
  const text = marked.slice(MARK.length);
  const value = Number(text);
  if (text.length > 20) return value;
  const whole = BigInt(text);
  return BigInt.asIntN(64, whole) === whole ? whole : value;
}

/**
 * @param value what an expression gave
 * @param maxLength of the result, in UTF-16 units
 * @throws ExpressionError where it is too long, or no JSON
 */
export function writeJson(value: unknown, maxLength: number): string {
  return new JsonWriter(maxLength).write(value);
}

class JsonWriter {
  readonly #maxLength: number;
  #text = '';

  constructor(maxLength: number) {
    this.#maxLength = maxLength;
  }

  write(value: unknown): string {
    this.#add(value, 0);
    return this.#text;
  }

  #put(text: string): void {
    this.#text += text;
    if (this.#text.length > this.#maxLength) throw new ExpressionError('what the expression gave is too long', 'expression_too_costly');
  }

  #add(value: unknown, depth: number): void {
    if (depth > MAX_NESTING) throw new ExpressionError('what the expression gave is nested too deeply');
    switch (typeof value) {
      case 'string':
        // Escapes make it longer, which is found out soon enough; a text beyond the limit is not even looked at.
        if (this.#text.length + value.length > this.#maxLength) this.#put(value);
        this.#put(JSON.stringify(value));
        return;
      case 'bigint':
      case 'boolean':
        this.#put(String(value));
        return;
      case 'number':
        if (!Number.isFinite(value)) throw new ExpressionError('NaN and infinity are no JSON');
        this.#put(JSON.stringify(value));
        return;
      default:
        this.#addObject(value, depth);
    }
  }

  #addObject(value: unknown, depth: number): void {
    if (value === null) {
      this.#put('null');
    } else if (Array.isArray(value)) {
      let before = '[';
      for (const element of value) {
        this.#put(before);
        this.#add(element, depth + 1);
        before = ',';
      }
      this.#put(before === '[' ? '[]' : ']');
    } else if (value instanceof Uint8Array) {
      this.#add(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64'), depth);
    } else if (isMap(value) && !(value instanceof ExpressionRecord)) {
      this.#addMap(value, depth);
    } else {
      throw new ExpressionError(`${typeName(value)} is no JSON: name the fields that are wanted`);
    }
  }

  #addMap(map: Map<unknown, unknown> | LazyMap | Record<string, unknown>, depth: number): void {
    let before = '{';
    for (const key of keysOf(map) as string[]) {
      this.#put(`${before}${JSON.stringify(key)}:`);
      this.#add(map instanceof Map || map instanceof LazyMap ? map.get(key) : map[key], depth + 1);
      before = ',';
    }
    this.#put(before === '{' ? '{}' : '}');
  }
}
