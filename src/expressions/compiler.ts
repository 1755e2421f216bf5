/** Makes functions of a checked expression: one for each node, which gives the node's value for a frame. */
import type { ASTNode } from '@marcbachmann/cel-js';
import { position, recordTypeOf } from './checked-source.ts';
import type { ExpressionEnvironment } from './environments.ts';
import { ERROR_COST, ExpressionError, ExpressionFault } from './expression-error.ts';
import { compare, type ExpressionFunction, GLOBAL_FUNCTIONS, METHODS } from './functions.ts';
import { compileMacro, MACROS } from './macros.ts';
import type { Evaluate, NodeCompiler } from './node-compiler.ts';
import { arithmetic, contains } from './operators.ts';
import { Pattern, PatternTooBig } from './regex.ts';
import { boolean, fieldOf, isEqual, typeName } from './values.ts';

/** Of a node within another one; a chain of operators is one, too. */
const MAX_DEPTH = 400;

/** What the expression uses that has to be there first. */
export interface Uses {
  /** Fields of variables, as `request.body`; a variable as a whole by its name. */
  readonly fields: Set<string>;
  /** Names of path segments. */
  readonly segments: Set<string>;
}

export class Compiler implements NodeCompiler {
  readonly uses: Uses = { fields: new Set(), segments: new Set() };
  readonly #source: string;
  readonly #environment: ExpressionEnvironment;
  /** Variables of the macros around the node, innermost last; each has the slot of its index. */
  readonly #locals: string[] = [];
  #depth = 0;
  #nodes = 0;
  #hasMacros = false;

  constructor(source: string, environment: ExpressionEnvironment) {
    this.#source = source;
    this.#environment = environment;
  }

  get nodes(): number {
    return this.#nodes;
  }

  /** Whether frames need slots. */
  get hasMacros(): boolean {
    return this.#hasMacros;
  }

  compile(node: ASTNode): Evaluate {
    this.#nodes++;
    if (++this.#depth > MAX_DEPTH) throw new ExpressionFault('the expression is nested too deeply', 'split it, or compute less');
    const compiled = this.#compile(node);
    this.#depth--;
    return compiled;
  }

  within<T>(variable: string, compile: () => T): { readonly slot: number; readonly compiled: T } {
    this.#hasMacros = true;
    const slot = this.#locals.push(variable) - 1;
    const compiled = compile();
    this.#locals.pop();
    return { slot, compiled };
  }

  isRecord(node: ASTNode): boolean {
    return recordTypeOf(node, this.#environment, this.#locals) !== undefined;
  }

  fault(node: ASTNode, message: string, hint: string): ExpressionFault {
    return new ExpressionFault(`${message} (${position(this.#source, node.start)})`, hint);
  }

  #compile(node: ASTNode): Evaluate {
    switch (node.op) {
      case 'value':
        return this.#literal(node, node.args);
      case 'id':
        return this.#variable(node, node.args);
      case '.':
        return this.#select(node, node.args[0], node.args[1]);
      case '[]':
        return this.#index(node.args[0], node.args[1]);
      case 'call':
        return this.#call(node, node.args[0], undefined, node.args[1]);
      case 'rcall':
        return this.#call(node, node.args[0], node.args[1], node.args[2]);
      case 'list':
        return this.#list(node.args);
      case 'map':
        return this.#map(node.args);
      case '?:':
        return this.#conditional(node.args);
      case '&&':
      case '||':
        return this.#logical(node.args, node.op === '||');
      case '!_': {
        const operand = this.compile(node.args);
        return (frame) => !boolean(operand(frame));
      }
      case '-_': {
        const operand = this.compile(node.args);
        return (frame) => negate(operand(frame));
      }
      case '==':
      case '!=':
        return this.#equality(node.args, node.op === '==');
      case '<':
      case '<=':
      case '>':
      case '>=':
        return this.#order(node.args, node.op);
      case 'in': {
        const [left, right] = this.#both(node.args);
        return (frame) => contains(frame, left(frame), right(frame));
      }
      case '+':
      case '-':
      case '*':
      case '/':
      case '%': {
        const [left, right] = this.#both(node.args);
        const compute = arithmetic(node.op);
        return (frame) => compute(frame, left(frame), right(frame));
      }
      default:
        throw this.fault(node, `${node.op} is not supported`, 'use has() for what may be missing');
    }
  }

  #literal(node: ASTNode, value: unknown): Evaluate {
    if (typeof value === 'object' && value !== null && !(value instanceof Uint8Array)) {
      throw this.fault(node, 'unsigned numbers are not supported', 'leave out the u');
    }
    return () => value;
  }

  #variable(node: ASTNode, name: string): Evaluate {
    const slot = this.#locals.lastIndexOf(name);
    if (slot >= 0) return (frame) => frame.slots[slot];
    if (!this.#environment.variables.has(name)) {
      throw this.fault(node, `${name} is no variable`, `the variables here are ${[...this.#environment.variables.keys()].join(', ')}`);
    }
    this.uses.fields.add(name);
    return (frame) => frame.variables[name];
  }

  #select(node: ASTNode, receiver: ASTNode, field: string): Evaluate {
    const found = this.selectOrUndefined(node, receiver, field);
    return (frame) => {
      const value = found(frame);
      if (value === undefined) throw new ExpressionError(`there is no ${field}`);
      return value;
    };
  }

  selectOrUndefined(node: ASTNode, receiver: ASTNode, field: string): Evaluate {
    if (this.#isRequestPath(receiver)) {
      this.uses.segments.add(field);
      return (frame) => (frame.variables as { request: { segment(name: string): string | undefined } }).request.segment(field);
    }
    const type = recordTypeOf(receiver, this.#environment, this.#locals);
    if (type === undefined) {
      const from = this.compile(receiver);
      return (frame) => fieldOf(from(frame), field);
    }
    if (!Object.hasOwn(type.fields, field)) {
      throw this.fault(node, `No such key: ${field}`, `the fields here are ${Object.keys(type.fields).join(', ')}`);
    }
    if (receiver.op === 'id') {
      const name = receiver.args;
      this.#nodes++;
      this.uses.fields.add(`${name}.${field}`);
      return (frame) => (frame.variables[name] as Record<string, unknown>)[field];
    }
    const from = this.compile(receiver);
    return (frame) => (from(frame) as Record<string, unknown>)[field];
  }

  /** `request.path`, whose own fields are the segments that the route's path names. */
  #isRequestPath(node: ASTNode): boolean {
    if (node.op !== '.' || node.args[1] !== 'path') return false;
    const [receiver] = node.args;
    return receiver.op === 'id' && receiver.args === 'request' && !this.#locals.includes('request');
  }

  #index(receiver: ASTNode, key: ASTNode): Evaluate {
    if (key.op === 'value' && typeof key.args === 'string' && (this.#isRequestPath(receiver) || this.isRecord(receiver))) {
      return this.#select(key, receiver, key.args);
    }
    const from = this.compile(receiver);
    const by = this.compile(key);
    return (frame) => {
      const holder = from(frame);
      const at = by(frame);
      const value = fieldOf(holder, at);
      if (value !== undefined) return value;
      // The key may come from the request, and has no place in a log.
      throw new ExpressionError(Array.isArray(holder) ? 'a list has no element of that index' : 'a map has no such key');
    };
  }

  #call(node: ASTNode, name: string, receiver: ASTNode | undefined, args: readonly ASTNode[]): Evaluate {
    if (MACROS.has(name)) {
      const macro = compileMacro(this, node, name, receiver, args);
      if (macro !== undefined) return macro;
    }
    const called = (receiver === undefined ? GLOBAL_FUNCTIONS : METHODS).get(name);
    if (called === undefined) throw this.fault(node, `the function ${name} is not supported`, 'use another one');
    const nodes = receiver === undefined ? args : [receiver, ...args];
    const regex = this.#regex(node, name, nodes);
    if (regex !== undefined) return regex;
    const operands = nodes.map((operand) => this.compile(operand));
    return calling(called, operands);
  }

  /** With a literal as its pattern, which is compiled once. */
  #regex(node: ASTNode, name: string, nodes: readonly ASTNode[]): Evaluate | undefined {
    const [textNode, patternNode] = nodes;
    if (name !== 'matches' && name !== 'find' && name !== 'findAll') return undefined;
    if (textNode === undefined || patternNode?.op !== 'value' || typeof patternNode.args !== 'string') return undefined;
    let pattern: Pattern;
    try {
      pattern = new Pattern(patternNode.args);
    } catch (error) {
      const hint = error instanceof PatternTooBig ? error.hint : 'use RE2 syntax: no lookaround, no backreferences';
      throw this.fault(node, `${(error as Error).message}`, hint);
    }
    const text = this.compile(textNode);
    return (frame) => {
      const value = text(frame);
      if (typeof value !== 'string') throw new ExpressionError(`${typeName(value)} stands where a string is needed`);
      return pattern[name](frame, value);
    };
  }

  #list(nodes: readonly ASTNode[]): Evaluate {
    const elements = nodes.map((element) => this.compile(element));
    return (frame) => elements.map((element) => element(frame));
  }

  #map(nodes: readonly (readonly [ASTNode, ASTNode])[]): Evaluate {
    const entries = nodes.map(([key, value]) => {
      if (key.op === 'value' && typeof key.args !== 'string') throw this.fault(key, 'a key of a map is no string', 'write it in quotes');
      return [this.compile(key), this.compile(value)] as const;
    });
    return (frame) => {
      const map = new Map<string, unknown>();
      for (const [key, value] of entries) {
        const name = key(frame);
        if (typeof name !== 'string') throw new ExpressionError(`keys of maps are strings, not ${typeName(name)}`);
        if (map.has(name)) throw new ExpressionError('a map has the same key twice');
        map.set(name, value(frame));
      }
      return map;
    };
  }

  #conditional([conditionNode, yesNode, noNode]: readonly [ASTNode, ASTNode, ASTNode]): Evaluate {
    const condition = this.compile(conditionNode);
    const yes = this.compile(yesNode);
    const no = this.compile(noNode);
    return (frame) => (boolean(condition(frame)) ? yes(frame) : no(frame));
  }

  /** Either side may settle it, even when the other one fails (CEL, "Logical Operators"). */
  #logical(nodes: readonly [ASTNode, ASTNode], settles: boolean): Evaluate {
    const [left, right] = this.#both(nodes);
    return (frame) => {
      let failure: ExpressionError | undefined;
      try {
        if (boolean(left(frame)) === settles) return settles;
      } catch (error) {
        if (!(error instanceof ExpressionError) || error.reason === 'expression_too_costly') throw error;
        frame.charge(ERROR_COST);
        failure = error;
      }
      if (boolean(right(frame)) === settles) return settles;
      if (failure !== undefined) throw failure;
      return !settles;
    };
  }

  #equality(nodes: readonly [ASTNode, ASTNode], wanted: boolean): Evaluate {
    const [left, right] = this.#both(nodes);
    const constant = nodes[1].op === 'value' ? nodes[1].args : undefined;
    if (typeof constant === 'string' || constant === null) return (frame) => (left(frame) === constant) === wanted;
    return (frame) => isEqual(frame, left(frame), right(frame)) === wanted;
  }

  #order(nodes: readonly [ASTNode, ASTNode], operator: '<' | '<=' | '>' | '>='): Evaluate {
    const [left, right] = this.#both(nodes);
    switch (operator) {
      case '<':
        return (frame) => compare(frame, left(frame), right(frame)) < 0;
      case '<=':
        return (frame) => compare(frame, left(frame), right(frame)) <= 0;
      case '>':
        return (frame) => compare(frame, left(frame), right(frame)) > 0;
      case '>=':
        return (frame) => compare(frame, left(frame), right(frame)) >= 0;
    }
  }

  #both([left, right]: readonly [ASTNode, ASTNode]): [Evaluate, Evaluate] {
    return [this.compile(left), this.compile(right)];
  }
}

function calling(called: ExpressionFunction, operands: readonly Evaluate[]): Evaluate {
  const [first, second] = operands;
  if (operands.length === 1 && first !== undefined) return (frame) => called(frame, [first(frame)]);
  if (operands.length === 2 && first !== undefined && second !== undefined) return (frame) => called(frame, [first(frame), second(frame)]);
  return (frame) =>
    called(
      frame,
      operands.map((operand) => operand(frame)),
    );
}

function negate(value: unknown): number | bigint {
  if (typeof value === 'number') return -value;
  if (typeof value === 'bigint' && value !== -(2n ** 63n)) return -value;
  throw new ExpressionError(`${typeName(value)} can't be negated`);
}
