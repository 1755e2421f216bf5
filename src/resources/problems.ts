/** What zod found, in the words that users read: the field, what is wrong with it, what would be right. */
import type { z } from 'zod';
import { fieldPath } from './field-path.ts';
import { quote } from './fields.ts';
import type { Problem } from './resource-set.ts';
import { schemaFacts } from './strict-object.ts';
import { nearest } from './suggestion.ts';

type Schema = z.core.$ZodType;

/**
 * @param issues what `schema` found in `value`
 * @returns errors only, in the order of the schema's fields
 */
export function problemsOf(issues: readonly z.core.$ZodIssue[], schema: Schema, value: unknown): Problem[] {
  return issues.flatMap((issue) => {
    const actual = valueAt(value, issue.path);
    const inner = schemaAt(schema, issue.path);
    const invalid = (message: string, hint: string): Problem[] => [{ severity: 'error', reason: 'Invalid', field: fieldPath(issue.path), message, hint }];
    switch (issue.code) {
      case 'custom':
        return [
          {
            severity: 'error',
            reason: issue.params?.reason as Problem['reason'],
            field: fieldPath(issue.path),
            message: issue.message,
            hint: String(issue.params?.hint),
          },
        ];
      case 'unrecognized_keys':
        return issue.keys.map((key) => unknownField(key, issue.path, inner));
      case 'invalid_type':
        return invalid(...typeFlaw(EXPECTED[issue.expected] ?? `of type ${issue.expected}`, actual, issue.path));
      case 'invalid_union':
        return invalid(...typeFlaw('a number or a string', actual, issue.path));
      case 'invalid_value':
        return [{ ...wordFlaw(issue.values.map(String), inner, actual, issue.path), severity: 'error', field: fieldPath(issue.path) }];
      case 'too_small':
      case 'too_big':
        return invalid(...sizeFlaw(issue, actual));
      default:
        return invalid(issue.message, '');
    }
  });
}

const EXPECTED: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
};

function unknownField(key: string, path: readonly PropertyKey[], schema: Schema | undefined): Problem {
  const field = fieldPath([...path, key]);
  const later = (schema && factsOf(schema)?.later) ?? [];
  if (later.includes(key)) {
    return {
      severity: 'error',
      reason: 'UnsupportedValue',
      field,
      message: `${key} is not supported in this version`,
      hint: 'leave it out: it would have no effect',
    };
  }
  const known = schema === undefined ? [] : fieldsOf(schema);
  const near = nearest(key, [...known, ...later]);
  const hint = near !== undefined ? `did you mean ${near}?` : `fields here are ${known.join(', ')}`;
  return { severity: 'error', reason: 'Invalid', field, message: `unknown field ${quote(key)}`, hint };
}

function typeFlaw(expected: string, actual: unknown, path: readonly PropertyKey[]): [message: string, hint: string] {
  // What stands in a Secret is shown to nobody.
  if ((path[0] === 'data' || path[0] === 'stringData') && path.length > 1) return [`must be ${expected}, not a ${typeof actual}`, 'write it in quotes'];
  const name = String(path.at(-1) ?? 'the object');
  if (actual === undefined) return [`${typeof path.at(-1) === 'number' ? 'the item' : name} is missing`, `it must be ${expected}`];
  const message = `must be ${expected}, not ${describe(actual)}`;
  if (expected.includes('string') && typeof actual === 'boolean') {
    return [message, 'write it in quotes: YAML 1.1, which kubectl reads, takes y, yes, on, n, no and off for booleans'];
  }
  if (expected.includes('string') && typeof actual === 'number') return [message, `write it in quotes: "${actual}"`];
  if (expected.includes('number') && typeof actual === 'string' && /^-?[0-9]+$/.test(actual)) return [message, `write ${actual} without quotes`];
  if (expected === 'true or false' && typeof actual === 'string') return [message, 'write true or false without quotes'];
  if (expected === 'a list') return [message, 'write each item on a line of its own that begins with -, or [a, b]'];
  if (expected === 'a mapping') return [message, 'write fields and their values, as name: value'];
  return [message, `write ${expected}`];
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'boolean') return `the boolean ${value}`;
  if (typeof value === 'number') return `the number ${value}`;
  if (typeof value === 'string') return `the string ${quote(value)}`;
  return Array.isArray(value) ? 'a list' : 'a mapping';
}

function wordFlaw(
  words: readonly string[],
  schema: Schema | undefined,
  actual: unknown,
  path: readonly PropertyKey[],
): Pick<Problem, 'message' | 'hint' | 'reason'> {
  const choice = words.length === 1 ? (words[0] as string) : `one of ${words.join(', ')}`;
  if (typeof actual !== 'string') {
    const [message, hint] = typeFlaw(choice, actual, path);
    const isYamlBoolean = typeof actual === 'boolean';
    return {
      reason: 'Invalid',
      message,
      hint: isYamlBoolean ? 'write it in quotes: YAML 1.1, which kubectl reads, takes y, yes, on, n, no and off for booleans' : hint,
    };
  }
  const later = (schema && factsOf(schema)?.later) ?? [];
  if (later.includes(actual)) return { reason: 'UnsupportedValue', message: `${quote(actual)} is not supported in this version`, hint: `write ${choice}` };
  const near = nearest(actual, words);
  return { reason: 'Invalid', message: `${quote(actual)} is not ${choice}`, hint: near === undefined ? `write ${choice}` : `did you mean ${near}?` };
}

function sizeFlaw(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig, actual: unknown): [message: string, hint: string] {
  const small = issue.code === 'too_small';
  const bound = small ? issue.minimum : issue.maximum;
  if (issue.origin === 'array') {
    if (small) return ['the list is empty', `list at least ${bound === 1 ? 'one' : bound}`];
    return [`the list has ${(actual as readonly unknown[]).length} items`, `keep it within ${bound}`];
  }
  if (issue.origin === 'string') {
    if (small) return ['the value is empty', 'write a value, or leave the field out'];
    return [`the value is ${String(actual).length} characters long`, `keep it within ${bound}`];
  }
  return [`${String(actual)} is out of range`, `it must be ${small ? 'at least' : 'at most'} ${bound}`];
}

export function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let current = value;
  for (const part of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, part)) return undefined;
    current = (current as Record<PropertyKey, unknown>)[part];
  }
  return current;
}

/** The schema without optionality, defaults and transforms around it. */
function unwrapped(schema: Schema): Schema {
  let current = schema;
  for (;;) {
    const def = (current as z.core.$ZodTypes)._zod.def;
    if ('innerType' in def) current = def.innerType as Schema;
    else if (def.type === 'pipe') current = def.in as Schema;
    else return current;
  }
}

/** The schema of the part at `path`; undefined where there is none. */
function schemaAt(schema: Schema, path: readonly PropertyKey[]): Schema | undefined {
  let current: Schema | undefined = schema;
  for (const part of path) {
    const def: z.core.$ZodTypes['_zod']['def'] = (unwrapped(current) as z.core.$ZodTypes)._zod.def;
    if (def.type === 'object') current = def.shape[part as string];
    else if (def.type === 'array') current = def.element;
    else if (def.type === 'record') current = def.valueType;
    else return undefined;
    if (current === undefined) return undefined;
  }
  return current;
}

function factsOf(schema: Schema) {
  let current = schema;
  for (;;) {
    const facts = schemaFacts.get(current as z.ZodType);
    if (facts?.later !== undefined) return facts;
    const def = (current as z.core.$ZodTypes)._zod.def;
    if ('innerType' in def) current = def.innerType as Schema;
    else if (def.type === 'pipe') current = def.in as Schema;
    else return facts;
  }
}

function fieldsOf(schema: Schema): string[] {
  const def = (unwrapped(schema) as z.core.$ZodTypes)._zod.def;
  // `true` is another spelling of a field (see recovery.ts), and nobody's to write.
  return def.type === 'object' ? Object.keys(def.shape).filter((name) => name !== 'true') : [];
}
