/** Arithmetic and `in`. */
import type { Frame } from './budget.ts';
import { ExpressionError } from './expression-error.ts';
import { checkedInt, fieldOf, isEqual, isMap, typeName } from './values.ts';

type Compute = (frame: Frame, left: unknown, right: unknown) => unknown;

export function arithmetic(operator: '+' | '-' | '*' | '/' | '%'): Compute {
  return operator === '+' ? add : (_frame, left, right) => calculate(operator, left, right);
}

function add(frame: Frame, left: unknown, right: unknown): unknown {
  if (typeof left === 'string' && typeof right === 'string') {
    frame.chargeNewText(left.length + right.length);
    return left + right;
  }
  if (Array.isArray(left) && Array.isArray(right)) {
    frame.charge(left.length + right.length);
    return [...left, ...right];
  }
  if (left instanceof Uint8Array && right instanceof Uint8Array) {
    frame.chargeNewText(left.length + right.length);
    return Buffer.concat([left, right]);
  }
  return calculate('+', left, right);
}

function calculate(operator: '+' | '-' | '*' | '/' | '%', left: unknown, right: unknown): number | bigint {
  if (typeof left === 'bigint' && typeof right === 'bigint') return calculateInts(operator, left, right);
  if (isNumber(left) && isNumber(right)) return calculateDoubles(operator, Number(left), Number(right));
  throw new ExpressionError(`${operator} has no meaning between ${typeName(left)} and ${typeName(right)}`);
}

function isNumber(value: unknown): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}

function calculateInts(operator: '+' | '-' | '*' | '/' | '%', left: bigint, right: bigint): bigint {
  switch (operator) {
    case '+':
      return checkedInt(left + right);
    case '-':
      return checkedInt(left - right);
    case '*':
      return checkedInt(left * right);
    default:
      if (right === 0n) throw new ExpressionError('a division by zero');
      return checkedInt(operator === '/' ? left / right : left % right);
  }
}

function calculateDoubles(operator: '+' | '-' | '*' | '/' | '%', left: number, right: number): number | bigint {
  switch (operator) {
    case '+':
      return left + right;
    case '-':
      return left - right;
    case '*':
      return left * right;
    case '/':
      return left / right;
    case '%':
      // CEL has no remainder of doubles; whole numbers of JSON are doubles that are meant as ints.
      if (!Number.isSafeInteger(left) || !Number.isSafeInteger(right)) throw new ExpressionError('% of a number that is not whole');
      return calculateInts('%', BigInt(left), BigInt(right));
  }
}

/** `value in list`, `key in map`. */
export function contains(frame: Frame, value: unknown, holder: unknown): boolean {
  if (Array.isArray(holder)) {
    frame.charge(1 + holder.length / 4);
    return holder.some((element) => isEqual(frame, value, element));
  }
  if (!isMap(holder)) throw new ExpressionError(`in has no meaning for ${typeName(holder)}`);
  return typeof value === 'string' && fieldOf(holder, value) !== undefined;
}
