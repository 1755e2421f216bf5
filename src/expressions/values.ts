/**
 * Values of expressions. Texts are strings, `int` is a bigint, `double` a number, lists are arrays, maps are Maps, header fields or
 * plain objects as JSON.parse makes them, of which own properties alone count: `__proto__` and `constructor` are keys like any other.
 */
import type { Frame } from './budget.ts';
import type { RecordType } from './environments.ts';
import { ExpressionError } from './expression-error.ts';

/** A value with fixed fields, which are getters or properties of the same name. */
export abstract class ExpressionRecord {
  abstract readonly type: RecordType;
}

/** A map whose values are found when they are asked for. */
export abstract class LazyMap {
  abstract get(key: string): string | undefined;
  abstract keys(): Iterable<string>;
}

/** Nested deeper, values are neither compared nor written. */
export const MAX_NESTING = 200;

const MIN_INT = -(2n ** 63n);
const MAX_INT = 2n ** 63n - 1n;

/** @throws ExpressionError beyond 64 bits */
export function checkedInt(value: bigint): bigint {
  if (value < MIN_INT || value > MAX_INT) throw new ExpressionError('a whole number leaves its 64 bits');
  return value;
}

export function isMap(value: unknown): value is Map<unknown, unknown> | LazyMap | Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array) && !(value instanceof ExpressionRecord);
}

/** The value of a key, or undefined where there is none. */
export function fieldOf(value: unknown, key: unknown): unknown {
  if (typeof value !== 'object' || value === null) throw new ExpressionError(`${typeName(value)} has no fields`);
  if (value instanceof ExpressionRecord) {
    return typeof key === 'string' && Object.hasOwn(value.type.fields, key) ? (value as unknown as Record<string, unknown>)[key] : undefined;
  }
  if (Array.isArray(value)) return elementOf(value, key);
  if (value instanceof Uint8Array) throw new ExpressionError('bytes has no fields');
  if (typeof key !== 'string') throw new ExpressionError(`keys of maps are strings, not ${typeName(key)}`);
  if (value instanceof Map || value instanceof LazyMap) return value.get(key);
  return Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
}

function elementOf(list: readonly unknown[], key: unknown): unknown {
  const index = typeof key === 'bigint' ? Number(key) : key;
  if (typeof index !== 'number' || !Number.isInteger(index)) throw new ExpressionError(`lists are indexed by int, not ${typeName(key)}`);
  return list[index];
}

/** The keys of a map, in its order. */
export function keysOf(value: Map<unknown, unknown> | LazyMap | Record<string, unknown>): unknown[] {
  if (value instanceof Map || value instanceof LazyMap) return [...value.keys()];
  return Object.keys(value);
}

/** For conditions. @throws ExpressionError */
export function boolean(value: unknown): boolean {
  if (typeof value !== 'boolean') throw new ExpressionError(`${typeName(value)} stands where a bool is needed`);
  return value;
}

/** As error messages name it. */
export function typeName(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return 'string';
    case 'bigint':
      return 'int';
    case 'number':
      return 'double';
    case 'boolean':
      return 'bool';
    default:
      if (value === null || value === undefined) return 'null';
      if (Array.isArray(value)) return 'list';
      if (value instanceof Uint8Array) return 'bytes';
      return value instanceof ExpressionRecord ? value.type.name : 'map';
  }
}

/** CEL's equality: numbers by value whatever their type, lists and maps by what they hold, different types never. */
export function isEqual(frame: Frame, a: unknown, b: unknown, depth = 0): boolean {
  if (a === b) {
    if (typeof a === 'string') frame.chargeText(a.length);
    return true;
  }
  switch (typeof a) {
    case 'string':
      if (typeof b === 'string' && a.length === b.length) frame.chargeText(a.length);
      return false;
    case 'bigint':
    case 'number':
      // biome-ignore lint/suspicious/noDoubleEquals: the one comparison that is exact between bigint and number.
      return (typeof b === 'bigint' || typeof b === 'number') && a == b;
    case 'object':
      return a !== null && typeof b === 'object' && b !== null && areEqualInside(frame, a, b, depth);
    default:
      return false;
  }
}

function areEqualInside(frame: Frame, a: object, b: object, depth: number): boolean {
  if (depth > MAX_NESTING) throw new ExpressionError('values that are compared are nested too deeply');
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    frame.charge(a.length);
    return a.every((element, index) => isEqual(frame, element, b[index], depth + 1));
  }
  if (a instanceof Uint8Array) {
    if (!(b instanceof Uint8Array) || a.length !== b.length) return false;
    frame.chargeText(a.length);
    return Buffer.compare(a, b) === 0;
  }
  if (!isMap(a) || !isMap(b)) return false;
  const keys = keysOf(a);
  if (keys.length !== keysOf(b).length) return false;
  frame.charge(3 * keys.length);
  return keys.every((key) => {
    const other = fieldOf(b, key);
    return other !== undefined && isEqual(frame, fieldOf(a, key), other, depth + 1);
  });
}

/** What `string()` gives. @throws ExpressionError for what has no text */
export function textOf(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value;
    case 'bigint':
    case 'boolean':
      return String(value);
    case 'number':
      if (value === Number.POSITIVE_INFINITY) return '+Inf';
      return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value);
    default:
      if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8');
      throw new ExpressionError(`${typeName(value)} is no text`);
  }
}
