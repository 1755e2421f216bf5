/**
 * Expressions that give the target of a request: its path and query. Literals are what they say; every value that is joined to
 * them is escaped as one segment or one value of a query, so that none of it can begin another segment, a query or a parameter.
 */
import type { ASTNode } from '@marcbachmann/cel-js';
import { normalizePath } from '../exchange/path.ts';
import { Frame } from './budget.ts';
import { parseAndCheck } from './checked-source.ts';
import { Compiler } from './compiler.ts';
import type { ExpressionEnvironment } from './environments.ts';
import type { Expression } from './expression.ts';
import { ExpressionError, ExpressionFault } from './expression-error.ts';
import type { Evaluate } from './node-compiler.ts';
import { boolean, typeName } from './values.ts';

export interface Target {
  /** Normalised as a request's. */
  readonly path: string;
  /** With its `?`; empty: none. */
  readonly query: string;
}

/** A longer target is one that no server takes. */
const MAX_TARGET = 16 * 1024;

const HINT = "begin with a path in quotes, as in '/users/' + request.path.id";

/**
 * `request.path` alone stands for the whole path of the request, as it is.
 * @throws ExpressionFault
 */
export function compileTarget(source: string, environment: ExpressionEnvironment): Expression<Target> {
  const { root, type } = parseAndCheck(source, environment);
  if (type !== 'string' && !type.startsWith('dyn')) throw new ExpressionFault(`the expression gives ${type}, not a path`, HINT);
  const compiler = new Compiler(source, environment);
  const run = join(compiler, root, true);
  const { uses } = compiler;
  return {
    source,
    uses,
    evaluate(variables) {
      try {
        return targetOf(run(new Frame(variables, environment.budget)) as string);
      } catch (error) {
        if (error instanceof ExpressionError) throw error;
        throw new ExpressionError(`the expression failed: ${(error as Error).name}`);
      }
    },
  };
}

/** @param isFirst the target begins with it */
function join(compiler: Compiler, node: ASTNode, isFirst: boolean): Evaluate {
  if (node.op === 'value' && typeof node.args === 'string') return literal(compiler, node, node.args, isFirst);
  if (node.op === '+') {
    const left = join(compiler, node.args[0], isFirst);
    const right = join(compiler, node.args[1], false);
    return (frame) => {
      const text = (left(frame) as string) + (right(frame) as string);
      frame.chargeNewText(text.length);
      return text;
    };
  }
  if (node.op === '?:') {
    const condition = compiler.compile(node.args[0]);
    const yes = join(compiler, node.args[1], isFirst);
    const no = join(compiler, node.args[2], isFirst);
    return (frame) => (boolean(condition(frame)) ? yes(frame) : no(frame));
  }
  const value = compiler.compile(node);
  if (isFirst) {
    if (!isRequestPath(node)) throw compiler.fault(node, 'the path does not begin with a text that is written out', HINT);
    return value;
  }
  return (frame) => escaped(value(frame));
}

function literal(compiler: Compiler, node: ASTNode, text: string, isFirst: boolean): Evaluate {
  if (isFirst && !text.startsWith('/')) throw compiler.fault(node, 'the path does not begin with /', HINT);
  if (/[#\\]|%(?![0-9A-Fa-f]{2})/.test(text)) {
    throw compiler.fault(node, 'the path has a #, a backslash, or a % that escapes nothing', 'write a path and a query alone, %25 for a percent sign');
  }
  const written = text.toWellFormed().replace(/[^\x21-\x7e]+/g, encodeURIComponent);
  return () => written;
}

function isRequestPath(node: ASTNode): boolean {
  if (node.op !== '.' || node.args[1] !== 'path') return false;
  const [receiver] = node.args;
  return receiver.op === 'id' && receiver.args === 'request';
}

function escaped(value: unknown): string {
  if (typeof value !== 'string') throw new ExpressionError(`+ has no meaning between string and ${typeName(value)}`);
  if (!value.isWellFormed()) throw new ExpressionError('a value in a path is no Unicode text');
  return encodeURIComponent(value);
}

/** A value may be `..`, or hold what no path may have, which a server might read as more than one segment. */
function targetOf(text: string): Target {
  if (text.length > MAX_TARGET) throw new ExpressionError('the path is too long');
  const mark = text.indexOf('?');
  const written = mark < 0 ? text : text.slice(0, mark);
  const path = /\/\.{1,2}(\/|$)/.test(written) ? undefined : normalizePath(written);
  if (path === undefined) throw new ExpressionError('a value is no segment of a path', 'unsafe_path');
  return { path, query: mark < 0 ? '' : text.slice(mark) };
}
