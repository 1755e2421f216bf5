/**
 * The text of an expression, parsed and type-checked by cel-js. Its evaluator is not used: it has no bound on cost, runs regular
 * expressions of users on a backtracking engine, and takes keys such as `constructor` for JavaScript's own.
 */
import { createRequire } from 'node:module';
import type { ASTNode, Environment } from '@marcbachmann/cel-js';
import type { ExpressionEnvironment, FieldType, RecordType } from './environments.ts';
import { ExpressionFault } from './expression-error.ts';
import { MORE_OPERATORS, MORE_SIGNATURES } from './functions.ts';

/** Characters of an expression. */
export const MAX_EXPRESSION_LENGTH = 8192;
const MAX_NODES = 2000;
/** Of an expression within another; evaluation goes as deep. */
const MAX_DEPTH = 100;

const HINT = 'write a CEL expression';

/** By the library's codes. */
const HINTS: Readonly<Record<string, string>> = {
  no_such_key: 'name a field that the variable has here',
  no_such_overload: 'compare and compute with values of one type; string(), int() and double() convert',
  no_matching_overload: 'call a function that there is, with arguments of its types',
  incompatible_ternary_branches: 'write dyn() around one of them',
};

export interface CheckedSource {
  readonly root: ASTNode;
  /** As CEL names it: `bool`, `string`, `list<int>`, `dyn`. */
  readonly type: string;
}

interface Cel {
  readonly library: typeof import('@marcbachmann/cel-js');
  /** What all environments have. */
  readonly base: Environment;
}

let loaded: Cel | undefined;

/** Loaded with the first expression, and at once, for a snapshot is compiled in steps that do not wait: a worker without expressions does without. */
function cel(): Cel {
  loaded ??= load();
  return loaded;
}

function load(): Cel {
  const library: Cel['library'] = createRequire(import.meta.url)('@marcbachmann/cel-js');
  const base = new library.Environment({
    homogeneousAggregateLiterals: false,
    limits: { maxAstNodes: MAX_NODES, maxDepth: MAX_DEPTH, maxListElements: 500, maxMapEntries: 500, maxCallArguments: 8 },
  });
  const declared = () => undefined;
  for (const signature of MORE_SIGNATURES) base.registerFunction(signature, declared);
  for (const operator of MORE_OPERATORS) base.registerOperator(operator, declared);
  return { library, base };
}

const environments = new WeakMap<ExpressionEnvironment, Environment>();

function celEnvironment(environment: ExpressionEnvironment): Environment {
  let made = environments.get(environment);
  if (made === undefined) {
    made = cel().base.clone();
    const known = new Set<string>();
    for (const [name, type] of environment.variables) made.registerVariable(name, celType(made, type, known));
    environments.set(environment, made);
  }
  return made;
}

/** Declares records where they are met first. */
function celType(environment: Environment, type: FieldType, known: Set<string>): string {
  if (typeof type === 'string') return type;
  if (!known.has(type.name)) {
    known.add(type.name);
    const fields = Object.fromEntries(Object.entries(type.fields).map(([name, field]) => [name, celType(environment, field, known)]));
    environment.registerType(type.name, { fields });
  }
  return type.name;
}

/** @throws ExpressionFault */
export function parseAndCheck(source: string, environment: ExpressionEnvironment): CheckedSource {
  if (source.length > MAX_EXPRESSION_LENGTH) {
    throw new ExpressionFault(`the expression is ${source.length} characters long`, `keep it within ${MAX_EXPRESSION_LENGTH}`);
  }
  try {
    const parsed = celEnvironment(environment).parse(source);
    const { valid, type, error } = parsed.check();
    if (!valid || type === undefined) throw error ?? new Error('no type');
    return { root: parsed.ast, type };
  } catch (error) {
    throw faultOf(error, source, environment);
  }
}

function faultOf(error: unknown, source: string, environment: ExpressionEnvironment): ExpressionFault {
  const { ParseError, TypeError: TypeFault } = cel().library;
  if (error instanceof ParseError || error instanceof TypeFault) {
    const { code, summary, range } = error;
    if (code === 'limit_exceeded') return new ExpressionFault(`the expression is too big: ${summary}`, 'split it, or compute less');
    const where = range === undefined ? '' : ` (${position(source, range.start)})`;
    const hint = code === 'unknown_variable' ? `the variables here are ${[...environment.variables.keys()].join(', ')}` : (HINTS[code] ?? HINT);
    return new ExpressionFault(`the expression ${error instanceof ParseError ? 'does not parse' : 'does not check'}: ${summary}${where}`, hint);
  }
  // What is nested so deeply that the parser, or its judge, runs out of stack.
  if (error instanceof RangeError) return new ExpressionFault('the expression is nested too deeply', 'split it, or compute less');
  throw error;
}

/** `column 5`, or `line 2, column 5` where there are several. */
export function position(source: string, offset: number): string {
  const before = source.slice(0, offset);
  const lineStart = before.lastIndexOf('\n') + 1;
  const column = `column ${offset - lineStart + 1}`;
  return source.includes('\n') ? `line ${before.split('\n').length}, ${column}` : column;
}

/** The type of `variable.field.field`, where it is one of fixed fields. */
export function recordTypeOf(node: ASTNode, environment: ExpressionEnvironment, hidden: readonly string[]): RecordType | undefined {
  if (node.op === 'id') return hidden.includes(node.args) ? undefined : asRecord(environment.variables.get(node.args));
  if (node.op !== '.') return undefined;
  const [receiver, field] = node.args;
  return asRecord(recordTypeOf(receiver, environment, hidden)?.fields[field]);
}

function asRecord(type: FieldType | undefined): RecordType | undefined {
  return typeof type === 'object' ? type : undefined;
}
