/** Expressions as the rest of the gateway uses them: checked when an object is read, compiled once per snapshot, evaluated for requests. */
import { Frame } from './budget.ts';
import { parseAndCheck } from './checked-source.ts';
import { Compiler, type Uses } from './compiler.ts';
import type { ExpressionEnvironment } from './environments.ts';
import { ExpressionError, ExpressionFault } from './expression-error.ts';
import type { Variables } from './node-compiler.ts';
import { textOf, typeName } from './values.ts';

/** What a place of the API wants of an expression. */
export interface Results {
  bool: boolean;
  /** A whole number within 2^53; doubles that are whole count, for the numbers of JSON are doubles. */
  int: number;
  /** A text: strings, numbers and truth values. */
  text: string;
  /** As text; null where there is nothing. */
  textOrNull: string | null;
  /** Anything, for `writeJson`. */
  json: unknown;
}

export type Wanted = keyof Results;

export interface Expression<Result> {
  readonly source: string;
  /** What has to be there before it can be evaluated. */
  readonly uses: Uses;
  /**
   * @param variables those of the environment that `uses` names
   * @throws ExpressionError, and nothing else
   */
  evaluate(variables: Variables): Result;
}

/** Static types that fit; `dyn` is looked at when the expression runs. */
const TYPES: Readonly<Record<Exclude<Wanted, 'json'>, readonly string[]>> = {
  bool: ['bool', 'dyn'],
  int: ['int', 'dyn'],
  text: ['string', 'int', 'double', 'bool', 'dyn'],
  textOrNull: ['string', 'int', 'double', 'bool', 'null', 'dyn'],
};

const NAMES: Readonly<Record<Wanted, string>> = { bool: 'bool', int: 'int', text: 'a string or a number', textOrNull: 'a string or a number', json: 'JSON' };

const HINTS: Readonly<Record<Wanted, string>> = {
  bool: 'write a condition, such as request.method == "POST"',
  int: 'write a whole number, or make one with int()',
  text: 'make a text of it, as with string() or join()',
  textOrNull: 'make a text of it, as with string() or join()',
  json: 'name the fields that are wanted',
};

const NO_SLOTS: unknown[] = [];

/** @throws ExpressionFault */
export function compileExpression<const Name extends Wanted>(source: string, environment: ExpressionEnvironment, wanted: Name): Expression<Results[Name]> {
  const { root, type } = parseAndCheck(source, environment);
  if (!fits(type, environment, wanted)) throw new ExpressionFault(`the expression gives ${type}, not ${NAMES[wanted]}`, HINTS[wanted]);
  const compiler = new Compiler(source, environment);
  const run = compiler.compile(root);
  const convert = CONVERT[wanted] as (value: unknown) => Results[Name];
  const { uses, hasMacros } = compiler;
  const { budget } = environment;
  return {
    source,
    uses,
    evaluate(variables) {
      try {
        return convert(run(new Frame(variables, budget, hasMacros ? [] : NO_SLOTS)));
      } catch (error) {
        if (error instanceof ExpressionError) throw error;
        // Out of stack or memory for a text: nothing else is thrown by what the compiler makes.
        throw new ExpressionError(`the expression failed: ${(error as Error).name}`);
      }
    },
  };
}

/**
 * Judges an expression that stands in a manifest.
 * @returns what is wrong with it and what would be right; undefined when it is good
 */
export function checkExpression(source: string, environment: ExpressionEnvironment, wanted: Wanted): { message: string; hint: string } | undefined {
  try {
    compileExpression(source, environment, wanted);
    return undefined;
  } catch (error) {
    if (error instanceof ExpressionFault) return { message: error.message, hint: error.hint };
    throw error;
  }
}

function fits(type: string, environment: ExpressionEnvironment, wanted: Wanted): boolean {
  if (wanted !== 'json') return type.startsWith('dyn<') || TYPES[wanted].includes(type);
  if (type === 'type' || type.startsWith('google.protobuf.')) return false;
  for (const variable of environment.variables.values()) if (typeof variable === 'object' && variable.name === type) return false;
  return true;
}

const CONVERT: Readonly<Record<Wanted, (value: unknown) => unknown>> = {
  bool(value) {
    if (typeof value === 'boolean') return value;
    throw new ExpressionError(`the expression gave ${typeName(value)}, not bool`);
  },
  int(value) {
    const number = typeof value === 'bigint' ? Number(value) : value;
    if (typeof number === 'number' && Number.isSafeInteger(number)) return number;
    throw new ExpressionError(`the expression gave ${typeName(value)} that is no whole number within 53 bits`);
  },
  text,
  textOrNull: (value) => (value === null ? null : text(value)),
  json: (value) => value,
};

function text(value: unknown): string {
  if (typeof value === 'object') throw new ExpressionError(`the expression gave ${typeName(value)}, which is no text`);
  return textOf(value);
}
