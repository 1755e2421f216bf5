/** What expressions read of the request: what an answer that is made of them depends on. Pure. */
import type { ASTNode } from '@marcbachmann/cel-js';
import { parseAndCheck } from './checked-source.ts';
import type { ExpressionEnvironment } from './environments.ts';

/** What is not in the request's URL, method or body. */
export interface RequestReads {
  /** Lower-case names of fields of the request. */
  readonly fields: Set<string>;
  /** What no field says, or nobody knows beforehand which: as expressions call it. */
  readonly others: Set<string>;
}

/**
 * @param reads what is found is added to it
 * @throws ExpressionFault
 */
export function addReads(source: string, environment: ExpressionEnvironment, reads: RequestReads): void {
  collect(parseAndCheck(source, environment).root, reads);
}

function collect(node: ASTNode, reads: RequestReads): void {
  const name = headerRead(node);
  if (name !== undefined) {
    reads.fields.add(name.toLowerCase());
    return;
  }
  const field = fieldOfRequest(node);
  if (field === 'headers') reads.others.add('request.headers, by names that are not written down');
  else if (field === 'cookies') reads.fields.add('cookie');
  else if (field === 'client') reads.others.add('request.client');
  if (field !== undefined) return;
  // A variable of a macro that is called so counts, too: better one thing too many.
  if (node.op === 'id' && (node.args === 'request' || node.args === 'identity')) reads.others.add(node.args);
  for (const part of parts(node.args)) collect(part, reads);
}

/** `request.headers['name']`, `request.headers.name` or `'name' in request.headers`. */
function headerRead(node: ASTNode): string | undefined {
  if (node.op === '.' && isHeaders(node.args[0])) return node.args[1];
  if (node.op === '[]' && isHeaders(node.args[0])) return literal(node.args[1]);
  return node.op === 'in' && isHeaders(node.args[1]) ? literal(node.args[0]) : undefined;
}

function isHeaders(node: ASTNode): boolean {
  return fieldOfRequest(node) === 'headers';
}

function fieldOfRequest(node: ASTNode): string | undefined {
  if (node.op !== '.' && node.op !== '[]') return undefined;
  const [receiver, field] = node.args;
  if (receiver.op !== 'id' || receiver.args !== 'request') return undefined;
  return typeof field === 'string' ? field : literal(field);
}

function literal(node: ASTNode): string | undefined {
  return node.op === 'value' && typeof node.args === 'string' ? node.args : undefined;
}

/** The nodes among the arguments of a node, whatever lists they are in. */
function parts(args: unknown): ASTNode[] {
  if (Array.isArray(args)) return args.flatMap(parts);
  return typeof args === 'object' && args !== null && 'op' in args ? [args as ASTNode] : [];
}
