/** What the compilers of nodes and of macros have in common. */
import type { ASTNode } from '@marcbachmann/cel-js';
import type { Frame } from './budget.ts';
import type { ExpressionFault } from './expression-error.ts';

/** Values of variables by name; those of a record are asked for field by field. */
export type Variables = Readonly<Record<string, unknown>>;

/** A node compiled. @throws ExpressionError */
export type Evaluate = (frame: Frame<Variables>) => unknown;

/** What macros need of the compiler around them. */
export interface NodeCompiler {
  /** Nodes compiled so far. */
  readonly nodes: number;
  /** @throws ExpressionFault */
  compile(node: ASTNode): Evaluate;
  /** Compiles what is within a macro. @returns the slot of the macro's variable, and what `compile` made */
  within<T>(variable: string, compile: () => T): { readonly slot: number; readonly compiled: T };
  /** As `receiver.field`, but undefined where there is no such field; so for has(). */
  selectOrUndefined(node: ASTNode, receiver: ASTNode, field: string): Evaluate;
  /** Whether the node's value has a fixed set of fields. */
  isRecord(node: ASTNode): boolean;
  fault(node: ASTNode, message: string, hint: string): ExpressionFault;
}
