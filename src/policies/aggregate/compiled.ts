/** An aggregate's expressions compiled, and what needs what. */
import type { Caller, Calls } from '../../exchange/calls.ts';
import { type ExpressionEnvironment, withCalls } from '../../expressions/environments.ts';
import { compileExpression, type Expression } from '../../expressions/expression.ts';
import { compileTarget, type Target } from '../../expressions/target.ts';
import type { Aggregate, AggregateCall, HeaderExpression } from '../../snapshot/aggregate.ts';

export interface CompiledHeader {
  readonly name: string;
  readonly value: Expression<string>;
}

export interface CompiledCall {
  readonly name: string;
  readonly caller: Caller;
  readonly method: string;
  readonly target: Expression<Target>;
  readonly headers: readonly CompiledHeader[];
  readonly body: Expression<unknown> | undefined;
  readonly when: Expression<boolean> | undefined;
  readonly onError: Expression<unknown> | undefined;
  /** How many calls it waits for, and indices of those that wait for it. */
  readonly needs: number;
  readonly dependents: readonly number[];
  /** Some expression reads the body of its answer. */
  readonly bodyIsRead: boolean;
}

export interface CompiledAggregate {
  readonly calls: readonly CompiledCall[];
  readonly status: Expression<number>;
  readonly headers: readonly CompiledHeader[];
  readonly body: Expression<unknown> | undefined;
  /** Some expression reads the request's body. */
  readonly requestBodyIsRead: boolean;
  /** Names of path segments that are read. */
  readonly segments: readonly string[];
  /** The answer may be kept, and says by this that it varies; empty: it does not. Undefined: it may not. */
  readonly vary: string | undefined;
}

/** What is compiled so far says of what is needed. */
class Uses {
  readonly fields = new Set<string>();
  readonly segments = new Set<string>();

  add<Result>(expression: Expression<Result>): Expression<Result> {
    for (const field of expression.uses.fields) this.fields.add(field);
    for (const segment of expression.uses.segments) this.segments.add(segment);
    return expression;
  }

  has(name: string, field: string): boolean {
    return this.fields.has(name) || this.fields.has(`${name}.${field}`);
  }

  /** Those of the names that any expression reads something of. */
  of(names: readonly string[]): string[] {
    return names.filter((name) => [...this.fields].some((field) => field === name || field.startsWith(`${name}.`)));
  }
}

export function compileAggregate({ calls, response, cachedBy }: Aggregate, targets: Calls): CompiledAggregate {
  const names = calls.map(({ name }) => name);
  const environment = withCalls(names);
  const all = new Uses();
  const drafts = calls.map((call) => compileCall(call, environment, all));
  const status = all.add(compileExpression(response.status, environment, 'int'));
  const headers = compileHeaders(response.headers, environment, all);
  const body = response.body === undefined ? undefined : all.add(compileExpression(response.body, environment, 'json'));
  const needed = drafts.map(({ uses }) => uses.of(names));
  return {
    calls: drafts.map(({ draft }, index) => ({
      ...draft,
      caller: targets.to((calls[index] as AggregateCall).target),
      needs: (needed[index] as string[]).length,
      dependents: needed.flatMap((others, other) => (others.includes(draft.name) ? [other] : [])),
      bodyIsRead: all.has(draft.name, 'body'),
    })),
    status,
    headers,
    body,
    requestBodyIsRead: all.has('request', 'body'),
    segments: [...all.segments],
    vary: cachedBy?.join(', '),
  };
}

type Draft = Omit<CompiledCall, 'caller' | 'needs' | 'dependents' | 'bodyIsRead'>;

function compileCall(call: AggregateCall, environment: ExpressionEnvironment, all: Uses): { readonly draft: Draft; readonly uses: Uses } {
  const uses = new Uses();
  const { body, when, onError } = call;
  const draft: Draft = {
    name: call.name,
    method: call.method,
    target: uses.add(compileTarget(call.path, environment)),
    headers: compileHeaders(call.headers, environment, uses),
    body: body === undefined ? undefined : uses.add(compileExpression(body, environment, 'json')),
    when: when === undefined ? undefined : uses.add(compileExpression(when, environment, 'bool')),
    onError: onError === undefined ? undefined : uses.add(compileExpression(onError, environment, 'json')),
  };
  for (const field of uses.fields) all.fields.add(field);
  for (const segment of uses.segments) all.segments.add(segment);
  return { draft, uses };
}

function compileHeaders(headers: readonly HeaderExpression[], environment: ExpressionEnvironment, uses: Uses): CompiledHeader[] {
  return headers.map(({ name, expression }) => ({ name, value: uses.add(compileExpression(passedOn(expression), environment, 'text')) }));
}

const LOOK_UP = /^\s*request\.(headers|query|cookies)(?:\[\s*(?:'([^'\\]*)'|"([^"\\]*)")\s*\]|\.([A-Za-z_][A-Za-z0-9_]*))\s*$/;

/** What of the client's is passed on alone is empty where the client has not sent it. */
function passedOn(source: string): string {
  const [, part, single, double, field] = LOOK_UP.exec(source) ?? [];
  const name = single ?? double ?? field;
  if (part === undefined || name === undefined) return source;
  const quoted = JSON.stringify(name);
  return `${quoted} in request.${part} ? request.${part}[${quoted}] : ""`;
}
