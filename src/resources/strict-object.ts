/**
 * Objects that refuse unknown fields. What a zod schema cannot say by itself is kept beside it in registries: the
 * fields of the format that this version does not serve yet, and the CEL rules that say for the API server what a
 * cross-field check says here. `decode` reads the first for its messages, scripts/crds.ts the second.
 */
import { z } from 'zod';

export interface CelRule {
  readonly rule: string;
  readonly message: string;
}

export interface SchemaFacts {
  /** Fields of an object, or words of an enum, that belong to the format and that this version does not serve: refused, never ignored. */
  readonly later?: readonly string[];
  /** The same rules as the schema's own cross-field checks, for `x-kubernetes-validations`. */
  readonly cel?: readonly CelRule[];
}

/** Facts by schema; schemas derived by `.superRefine()` and the like inherit them. */
export const schemaFacts = z.registry<SchemaFacts>();

/**
 * An object whose fields are exactly those of `shape`.
 * @param facts see SchemaFacts
 */
export function strictObject<Shape extends z.ZodRawShape>(shape: Shape, facts: SchemaFacts = {}): z.ZodObject<Shape, z.core.$strict> {
  const schema = z.strictObject(shape);
  schemaFacts.add(schema, facts);
  return schema;
}

/** What a check found: what is wrong, what would be right, and where, relative to the value that was checked. */
export interface Flaw {
  readonly message: string;
  readonly hint: string;
  readonly path?: readonly (string | number)[];
  /** Absent: Invalid. */
  readonly reason?: 'Invalid' | 'UnsupportedValue';
}

/** The check of one value: every flaw in it, none when it is right. */
export type Check<T> = (value: T) => readonly Flaw[] | Flaw | undefined;

/** A zod refinement that reports flaws with their hints; `decode` turns them into problems. */
export function flaws<T>(check: Check<T>): (value: T, context: z.core.$RefinementCtx<T>) => void {
  return (value, context) => {
    const found = check(value);
    if (found === undefined) return;
    for (const flaw of Array.isArray(found) ? (found as readonly Flaw[]) : [found as Flaw]) {
      context.addIssue({
        code: 'custom',
        message: flaw.message,
        path: [...(flaw.path ?? [])],
        params: { hint: flaw.hint, reason: flaw.reason ?? 'Invalid' },
        input: value,
      });
    }
  };
}
