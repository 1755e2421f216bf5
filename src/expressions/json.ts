/** JSON of bodies, as expressions read and make it. */
import { ExpressionError } from './expression-error.ts';
import { ExpressionRecord, isMap, keysOf, LazyMap, MAX_NESTING, typeName } from './values.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Only then can a number be whole and beyond 2^53, where a double is not exact any more. */
const MANY_DIGITS = /[0-9]{16}/;
const WHOLE_NUMBER = /^-?[0-9]+$/;

/**
 * Numbers are doubles, but for whole ones that a double can't hold and 64 bits can: those are ints, so that ids stay what they are.
 * @throws SyntaxError where it is not JSON in UTF-8 (RFC 8259)
 */
export function parseJson(body: Uint8Array): unknown {
  let text: string;
  try {
    text = utf8.decode(body);
  } catch {
    throw new SyntaxError('no UTF-8');
  }
  if (!MANY_DIGITS.test(text)) return JSON.parse(text);
  try {
    return (JSON.parse as (text: string, revive: (key: string, value: unknown, context: { source?: string }) => unknown) => unknown)(text, exact);
  } catch (error) {
    if (error instanceof RangeError) throw new SyntaxError('nested too deeply');
    throw error;
  }
}

function exact(_key: string, value: unknown, { source }: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value) || source === undefined || !WHOLE_NUMBER.test(source)) return value;
  const whole = source.length <= 20 ? BigInt(source) : undefined;
  return whole !== undefined && BigInt.asIntN(64, whole) === whole ? whole : value;
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
