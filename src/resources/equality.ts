import { Sensitive } from '../snapshot/sensitive.ts';

/** Deep equality of decoded objects: plain data, with secrets among it, which Node's own comparison cannot see into. */
export function sameValue(left: unknown, right: unknown): boolean {
  if (Object.is(left, right)) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
  if (left instanceof Sensitive || right instanceof Sensitive) return left instanceof Sensitive && right instanceof Sensitive && left.equals(right);
  if (Array.isArray(left) !== Array.isArray(right)) return false;
  const keys = Object.keys(left);
  if (keys.length !== Object.keys(right).length) return false;
  return keys.every((key) => Object.hasOwn(right, key) && sameValue(left[key as keyof typeof left], right[key as keyof typeof right]));
}
