/** What is written as a function and is none: has(), cel.bind(), and the macros over lists and the keys of maps. */
import type { ASTNode } from '@marcbachmann/cel-js';
import type { Frame } from './budget.ts';
import { ERROR_COST, ExpressionError } from './expression-error.ts';
import type { Evaluate, NodeCompiler } from './node-compiler.ts';
import { boolean, isMap, keysOf, typeName } from './values.ts';

export const MACROS: ReadonlySet<string> = new Set(['has', 'bind', 'all', 'exists', 'exists_one', 'map', 'filter']);

/** @returns undefined where the name is not used as a macro */
export function compileMacro(
  compiler: NodeCompiler,
  node: ASTNode,
  name: string,
  receiver: ASTNode | undefined,
  args: readonly ASTNode[],
): Evaluate | undefined {
  if (name === 'has') return receiver === undefined ? compileHas(compiler, node, args) : undefined;
  if (receiver === undefined) return undefined;
  if (name === 'bind') return receiver.op === 'id' && receiver.args === 'cel' ? compileBind(compiler, node, args) : undefined;
  return compileLoop(compiler, node, name, receiver, args);
}

/** Of what is before the last dot, a missing field is an error, as in CEL. */
function compileHas(compiler: NodeCompiler, node: ASTNode, [argument]: readonly ASTNode[]): Evaluate {
  if (argument?.op !== '.') throw compiler.fault(node, 'has() takes a field', 'write has(a.b)');
  const select = compiler.selectOrUndefined(argument, argument.args[0], argument.args[1]);
  // Fields of records are always there, and null when they are not set.
  if (compiler.isRecord(argument.args[0])) return (frame) => (select(frame) ?? null) !== null;
  return (frame) => select(frame) !== undefined;
}

function variableOf(compiler: NodeCompiler, node: ASTNode | undefined, call: ASTNode): string {
  if (node?.op !== 'id') throw compiler.fault(call, 'the first argument of a macro is no name', 'write a name, as in list.map(item, item.id)');
  return node.args;
}

function compileBind(compiler: NodeCompiler, node: ASTNode, [nameNode, valueNode, bodyNode]: readonly ASTNode[]): Evaluate {
  const name = variableOf(compiler, nameNode, node);
  if (valueNode === undefined || bodyNode === undefined) throw compiler.fault(node, 'cel.bind() takes three arguments', 'write cel.bind(name, value, body)');
  const value = compiler.compile(valueNode);
  const { slot, compiled: body } = compiler.within(name, () => compiler.compile(bodyNode));
  return (frame) => {
    frame.slots[slot] = value(frame);
    return body(frame);
  };
}

function compileLoop(compiler: NodeCompiler, node: ASTNode, name: string, receiver: ASTNode, args: readonly ASTNode[]): Evaluate {
  const over = compiler.compile(receiver);
  const variable = variableOf(compiler, args[0], node);
  const before = compiler.nodes;
  const { slot, compiled } = compiler.within(variable, () => args.slice(1).map((arg) => compiler.compile(arg)));
  /** What each round costs by itself; macros within it pay for their own rounds. */
  const cost = 1 + compiler.nodes - before;
  const [first, second] = compiled;
  if (first === undefined) throw compiler.fault(node, `${name}() needs an expression`, `write list.${name}(item, expression)`);
  return (frame) => {
    const elements = rangeOf(frame, over(frame));
    return LOOPS[name as keyof typeof LOOPS](frame, elements, slot, cost, first, second);
  };
}

function rangeOf(frame: Frame, value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  if (!isMap(value)) throw new ExpressionError(`${typeName(value)} is neither a list nor a map`);
  const keys = keysOf(value);
  frame.charge(keys.length);
  return keys;
}

type Loop = (
  frame: Parameters<Evaluate>[0],
  elements: readonly unknown[],
  slot: number,
  cost: number,
  first: Evaluate,
  second: Evaluate | undefined,
) => unknown;

/** An element that settles it counts, even when the predicate fails for others (CEL, "Macros"). */
function quantifier(settles: boolean): Loop {
  return (frame, elements, slot, cost, predicate) => {
    let failure: ExpressionError | undefined;
    for (const element of elements) {
      frame.charge(cost);
      frame.slots[slot] = element;
      try {
        if (boolean(predicate(frame)) === settles) return settles;
      } catch (error) {
        if (!(error instanceof ExpressionError) || error.reason === 'expression_too_costly') throw error;
        frame.charge(ERROR_COST);
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
    return !settles;
  };
}

const LOOPS: Readonly<Record<'all' | 'exists' | 'exists_one' | 'map' | 'filter', Loop>> = {
  all: quantifier(false),
  exists: quantifier(true),
  exists_one(frame, elements, slot, cost, predicate) {
    let count = 0;
    for (const element of elements) {
      frame.charge(cost);
      frame.slots[slot] = element;
      if (boolean(predicate(frame))) count++;
    }
    return count === 1;
  },
  map(frame, elements, slot, cost, first, second) {
    const made: unknown[] = [];
    for (const element of elements) {
      frame.charge(cost);
      frame.slots[slot] = element;
      if (second === undefined) made.push(first(frame));
      else if (boolean(first(frame))) made.push(second(frame));
    }
    return made;
  },
  filter(frame, elements, slot, cost, predicate) {
    const kept: unknown[] = [];
    for (const element of elements) {
      frame.charge(cost);
      frame.slots[slot] = element;
      if (boolean(predicate(frame))) kept.push(element);
    }
    return kept;
  },
};
