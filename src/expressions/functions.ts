/**
 * The functions of expressions: CEL's own, those of its strings extension, and what Kubernetes adds for lists and regular
 * expressions. Each pays for what it reads and makes before it does it.
 */
import type { Frame } from './budget.ts';
import { ExpressionError } from './expression-error.ts';
import { Pattern } from './regex.ts';
import { checkedInt, isEqual, isMap, keysOf, textOf, typeName } from './values.ts';

/** @param values the receiver, where there is one, then the arguments */
export type ExpressionFunction = (frame: Frame, values: readonly unknown[]) => unknown;

/** What the library that checks types does not declare by itself. */
export const MORE_SIGNATURES: readonly string[] = [
  'matches(string, string): bool',
  'string.charAt(int): string',
  'string.replace(string, string): string',
  'string.replace(string, string, int): string',
  'string.find(string): string',
  'string.findAll(string): list<string>',
  'string.reverse(): string',
  'list<T>.reverse(): list<T>',
  'list<T>.slice(int, int): list<T>',
  'list<T>.distinct(): list<T>',
  'list<T>.sort(): list<T>',
  'list.sum(): dyn',
  'list.min(): dyn',
  'list.max(): dyn',
];

/** JSON's numbers are doubles, and whole ones in expressions ints: they mix, as doubles. */
export const MORE_OPERATORS: readonly string[] = ['+', '-', '*', '/'].flatMap((operator) => [
  `int ${operator} double: double`,
  `double ${operator} int: double`,
]);

const WHOLE = /^[+-]?[0-9]{1,19}$/;
const DECIMAL = /^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$/;
const BEYOND_ASCII = /[^\p{ASCII}]/u;
/** Outside of it, an index in UTF-16 units is one in characters. */
const SURROGATE = /[\ud800-\udfff]/;

function string(value: unknown): string {
  if (typeof value !== 'string') throw new ExpressionError(`${typeName(value)} stands where a string is needed`);
  return value;
}

function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new ExpressionError(`${typeName(value)} stands where a list is needed`);
  return value;
}

function texts(value: unknown): readonly string[] {
  const elements = list(value);
  for (const element of elements) string(element);
  return elements as readonly string[];
}

/** An index or a count. A double counts when it is whole, for the numbers of JSON are doubles. */
function position(value: unknown): number {
  if (typeof value === 'bigint') return Number(value);
  if (typeof value === 'number' && Number.isInteger(value)) return value;
  throw new ExpressionError(`${typeName(value)} stands where an int is needed`);
}

/** The characters of a text, as CEL counts them: code points. */
function characters(frame: Frame, text: string): string | readonly string[] {
  frame.chargeText(text.length);
  if (!SURROGATE.test(text)) return text;
  frame.charge(text.length);
  return Array.from(text);
}

function size(frame: Frame, value: unknown): bigint {
  if (typeof value === 'string') return BigInt(characters(frame, value).length);
  if (Array.isArray(value) || value instanceof Uint8Array) return BigInt(value.length);
  if (!isMap(value)) throw new ExpressionError(`${typeName(value)} has no size`);
  const keys = keysOf(value);
  frame.charge(keys.length);
  return BigInt(keys.length);
}

function toInt(value: unknown): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return checkedInt(BigInt(Math.trunc(value)));
  if (typeof value === 'string' && WHOLE.test(value)) return checkedInt(BigInt(value.startsWith('+') ? value.slice(1) : value));
  throw new ExpressionError(`int() of ${typeName(value)} that is no whole number`);
}

function toDouble(value: unknown): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (typeof value === 'string' && DECIMAL.test(value)) return Number(value);
  throw new ExpressionError(`double() of ${typeName(value)} that is no number`);
}

function toBool(value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  if (value === 'true' || value === 'True' || value === 'TRUE' || value === 't' || value === '1') return true;
  if (value === 'false' || value === 'False' || value === 'FALSE' || value === 'f' || value === '0') return false;
  throw new ExpressionError(`bool() of ${typeName(value)} that is no truth value`);
}

function substring(frame: Frame, values: readonly unknown[]): string {
  const all = characters(frame, string(values[0]));
  const start = position(values[1]);
  const end = values[2] === undefined ? all.length : position(values[2]);
  if (start < 0 || end > all.length || start > end) throw new ExpressionError('substring() leaves the text');
  const part = all.slice(start, end);
  return typeof part === 'string' ? part : part.join('');
}

/** @param from index of the first character that is looked at; for `last`, where the last occurrence may start */
function indexOf(frame: Frame, values: readonly unknown[], last: boolean): bigint {
  const text = string(values[0]);
  const wanted = string(values[1]);
  frame.chargeSearch(text.length, wanted.length);
  const points = SURROGATE.test(text) ? (characters(frame, text) as readonly string[]) : undefined;
  const count = points?.length ?? text.length;
  const from = values[2] === undefined ? (last ? count : 0) : position(values[2]);
  if (from < 0 || from > count) throw new ExpressionError('indexOf() starts outside of the text');
  const start = points === undefined ? from : points.slice(0, from).join('').length;
  const found = last ? text.lastIndexOf(wanted, start) : text.indexOf(wanted, start);
  if (found < 0 || points === undefined) return BigInt(found);
  return BigInt(Array.from(text.slice(0, found)).length);
}

function split(frame: Frame, values: readonly unknown[]): unknown[] {
  const text = string(values[0]);
  const separator = string(values[1]);
  const limit = values[2] === undefined ? -1 : position(values[2]);
  if (limit === 0) return [];
  // A list of the characters of a long text would be twenty times its size.
  if (separator === '') frame.charge(text.length);
  else frame.chargeSearch(text.length, separator.length);
  const parts = separator === '' ? Array.from(text) : text.split(separator);
  frame.charge(parts.length);
  if (limit < 0 || parts.length <= limit) return parts;
  return [...parts.slice(0, limit - 1), parts.slice(limit - 1).join(separator)];
}

function join(frame: Frame, values: readonly unknown[]): string {
  const parts = texts(values[0]);
  const separator = values[1] === undefined ? '' : string(values[1]);
  frame.charge(parts.length);
  frame.chargeNewText(parts.reduce((sum, part) => sum + part.length, separator.length * Math.max(0, parts.length - 1)));
  return parts.join(separator);
}

function replace(frame: Frame, values: readonly unknown[]): string {
  const text = string(values[0]);
  const from = string(values[1]);
  const to = string(values[2]);
  const limit = values[3] === undefined ? -1 : position(values[3]);
  if (limit === 0) return text;
  const parts = split(frame, limit < 0 ? [text, from] : [text, from, limit + 1]) as string[];
  return join(frame, [parts, to]);
}

/** A double where one of them is; what is added up may be neither. */
function sum(frame: Frame, value: unknown): number | bigint {
  const numbers = list(value);
  frame.charge(numbers.length);
  let whole = 0n;
  let rest = 0;
  let isWhole = true;
  for (const number of numbers) {
    if (typeof number === 'bigint') {
      whole = checkedInt(whole + number);
    } else if (typeof number === 'number') {
      rest += number;
      isWhole = false;
    } else throw new ExpressionError(`sum() of a list with ${typeName(number)} in it`);
  }
  return isWhole ? whole : Number(whole) + rest;
}

/** Less than 0, 0, or more, for what CEL has an order of. */
export function compare(frame: Frame, a: unknown, b: unknown): number {
  const areNumbers = (typeof a === 'bigint' || typeof a === 'number') && (typeof b === 'bigint' || typeof b === 'number');
  if (!areNumbers && !(typeof a === 'string' && typeof b === 'string') && !(typeof a === 'boolean' && typeof b === 'boolean')) {
    throw new ExpressionError(`${typeName(a)} and ${typeName(b)} have no order`);
  }
  if (typeof a === 'string') frame.chargeText(Math.min(a.length, (b as string).length));
  const [left, right] = [a as string, b as string];
  if (left < right) return -1;
  // NaN is neither less nor more nor the same.
  return left > right ? 1 : Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : 0;
}

function extreme(frame: Frame, value: unknown, sign: 1 | -1): unknown {
  const elements = list(value);
  if (elements.length === 0) throw new ExpressionError('an empty list has no least and no greatest element');
  frame.charge(elements.length);
  return elements.reduce((best, element) => (sign * compare(frame, element, best) > 0 ? element : best));
}

function sort(frame: Frame, value: unknown): unknown[] {
  const elements = list(value);
  frame.charge(elements.length * Math.ceil(Math.log2(elements.length + 1)));
  return [...elements].sort((a, b) => compare(frame, a, b));
}

function distinct(frame: Frame, value: unknown): unknown[] {
  const kept: unknown[] = [];
  for (const element of list(value)) {
    frame.charge(1 + kept.length);
    if (!kept.some((other) => isEqual(frame, element, other))) kept.push(element);
  }
  return kept;
}

function slice(frame: Frame, values: readonly unknown[]): unknown[] {
  const elements = list(values[0]);
  const start = position(values[1]);
  const end = position(values[2]);
  if (start < 0 || start > end || end > elements.length) throw new ExpressionError('slice() leaves the list');
  frame.charge(end - start);
  return elements.slice(start, end);
}

function reverse(frame: Frame, value: unknown): unknown {
  if (typeof value === 'string') {
    frame.charge(value.length);
    return Array.from(value).reverse().join('');
  }
  const elements = list(value);
  frame.charge(elements.length);
  return [...elements].reverse();
}

function encode(frame: Frame, value: unknown, encoding: 'hex' | 'base64'): string {
  if (!(value instanceof Uint8Array)) throw new ExpressionError(`${typeName(value)} stands where bytes are needed`);
  frame.chargeNewText(value.length * 2);
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString(encoding);
}

function toText(frame: Frame, [value]: readonly unknown[]): string {
  if (value instanceof Uint8Array) frame.chargeNewText(value.length);
  return textOf(value);
}

function trim(frame: Frame, [value]: readonly unknown[]): string {
  const text = string(value);
  frame.chargeText(text.length);
  return text.trim();
}

/** Letters beyond ASCII stay; what is ASCII alone needs no look at each letter. */
function changeCase(frame: Frame, value: unknown, pattern: RegExp, change: (letters: string) => string): string {
  const text = string(value);
  frame.chargeText(text.length * 4);
  if (!BEYOND_ASCII.test(text)) return change(text);
  frame.charge(text.length);
  return text.replace(pattern, change);
}

/** For a look at the start or the end of a text; one that is longer than the text is compared with nothing. */
function chargeEdge(frame: Frame, text: string, edge: string): void {
  if (edge.length <= text.length) frame.chargeText(edge.length);
}

/** Called as `f(x)`. */
export const GLOBAL_FUNCTIONS: ReadonlyMap<string, ExpressionFunction> = new Map<string, ExpressionFunction>([
  ['size', (frame, [value]) => size(frame, value)],
  ['string', toText],
  ['int', (_frame, [value]) => toInt(value)],
  ['double', (_frame, [value]) => toDouble(value)],
  ['bool', (_frame, [value]) => toBool(value)],
  ['dyn', (_frame, [value]) => value],
  [
    'bytes',
    (frame, [value]) => {
      if (value instanceof Uint8Array) return value;
      frame.chargeNewText(string(value).length);
      return Buffer.from(value as string, 'utf8');
    },
  ],
  ['matches', (frame, [text, pattern]) => Pattern.compile(frame, string(pattern)).matches(frame, string(text))],
]);

/** Called as `x.f()`. */
export const METHODS: ReadonlyMap<string, ExpressionFunction> = new Map<string, ExpressionFunction>([
  ['size', (frame, [value]) => size(frame, value)],
  [
    'startsWith',
    (frame, [text, start]) => {
      chargeEdge(frame, string(text), string(start));
      return (text as string).startsWith(start as string);
    },
  ],
  [
    'endsWith',
    (frame, [text, end]) => {
      chargeEdge(frame, string(text), string(end));
      return (text as string).endsWith(end as string);
    },
  ],
  [
    'contains',
    (frame, [text, part]) => {
      frame.chargeSearch(string(text).length, string(part).length);
      return (text as string).includes(part as string);
    },
  ],
  ['matches', (frame, [text, pattern]) => Pattern.compile(frame, string(pattern)).matches(frame, string(text))],
  ['find', (frame, [text, pattern]) => Pattern.compile(frame, string(pattern)).find(frame, string(text))],
  ['findAll', (frame, [text, pattern]) => Pattern.compile(frame, string(pattern)).findAll(frame, string(text))],
  ['lowerAscii', (frame, [text]) => changeCase(frame, text, /[A-Z]+/g, (letters) => letters.toLowerCase())],
  ['upperAscii', (frame, [text]) => changeCase(frame, text, /[a-z]+/g, (letters) => letters.toUpperCase())],
  ['trim', trim],
  [
    'charAt',
    (frame, [text, index]) => {
      const all = characters(frame, string(text));
      const at = position(index);
      if (at < 0 || at > all.length) throw new ExpressionError('charAt() leaves the text');
      return all[at] ?? '';
    },
  ],
  ['indexOf', (frame, values) => indexOf(frame, values, false)],
  ['lastIndexOf', (frame, values) => indexOf(frame, values, true)],
  ['substring', substring],
  ['split', split],
  ['join', join],
  ['replace', replace],
  ['reverse', (frame, [value]) => reverse(frame, value)],
  ['slice', slice],
  ['distinct', (frame, [value]) => distinct(frame, value)],
  ['sort', (frame, [value]) => sort(frame, value)],
  ['sum', (frame, [value]) => sum(frame, value)],
  ['min', (frame, [value]) => extreme(frame, value, -1)],
  ['max', (frame, [value]) => extreme(frame, value, 1)],
  ['hex', (frame, [value]) => encode(frame, value, 'hex')],
  ['base64', (frame, [value]) => encode(frame, value, 'base64')],
]);
