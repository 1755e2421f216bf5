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
  /** Names of parameters of the query; undefined among them: any of them may be read. */
  readonly parameters: Set<string | undefined>;
}

export function noReads(): RequestReads {
  return { fields: new Set(), others: new Set(), parameters: new Set() };
}

/**
 * @param reads what is found is added to it
 * @throws ExpressionFault
 */
export function addReads(source: string, environment: ExpressionEnvironment, reads: RequestReads): void {
  collect(parseAndCheck(source, environment).root, reads);
}

function collect(node: ASTNode, reads: RequestReads): void {
  const name = memberRead(node, 'headers');
  if (name !== undefined) {
    reads.fields.add(name.toLowerCase());
    return;
  }
  const parameter = memberRead(node, 'query');
  if (parameter !== undefined) {
    reads.parameters.add(parameter);
    return;
  }
  const field = fieldOfRequest(node);
  if (field === 'headers') reads.others.add('request.headers, by names that are not written down');
  else if (field === 'cookies') reads.fields.add('cookie');
  else if (field === 'client') reads.others.add('request.client');
  else if (field === 'query') reads.parameters.add(undefined);
  if (field !== undefined) return;
  // A variable of a macro that is called so counts, too: better one thing too many.
  if (node.op === 'id' && (node.args === 'request' || node.args === 'identity')) reads.others.add(node.args);
  if (node.op === 'id' && node.args === 'request') reads.parameters.add(undefined);
  for (const part of parts(node.args)) collect(part, reads);
}

/** Of `headers`: `request.headers['name']`, `request.headers.name` or `'name' in request.headers`. */
function memberRead(node: ASTNode, field: 'headers' | 'query'): string | undefined {
  if (node.op === '.' && fieldOfRequest(node.args[0]) === field) return node.args[1];
  if (node.op === '[]' && fieldOfRequest(node.args[0]) === field) return literal(node.args[1]);
  return node.op === 'in' && fieldOfRequest(node.args[1]) === field ? literal(node.args[0]) : undefined;
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
