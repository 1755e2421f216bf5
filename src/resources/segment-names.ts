/** Names of path segments in expressions of a rule: what no path of the rule names is never there when the expression runs. */
import { type ExpressionEnvironment, requestHead, responseHead, wholeRequest, wholeResponse } from '../expressions/environments.ts';
import { compileExpression, type Wanted } from '../expressions/expression.ts';
import { ExpressionFault } from '../expressions/expression-error.ts';
import type { Flaw } from './strict-object.ts';

type Path = readonly (string | number)[];

interface Edits {
  readonly set: readonly { readonly expression?: string }[];
  readonly add: readonly { readonly expression?: string }[];
}

interface HeaderModifiers {
  readonly requestHeaderModifier?: Edits;
  readonly responseHeaderModifier?: Edits;
}

interface Transform {
  readonly request?: { readonly body: string };
  readonly response?: { readonly body?: string; readonly status?: string; readonly headers: readonly { readonly name: string; readonly expression: string }[] };
}

interface Rule {
  readonly filters: HeaderModifiers & { readonly transform?: Transform };
  readonly backendRefs: readonly { readonly filters?: HeaderModifiers }[];
}

interface Placed {
  readonly source: string | undefined;
  readonly environment: ExpressionEnvironment;
  readonly wanted: Wanted;
  readonly path: Path;
}

function ofModifiers({ requestHeaderModifier, responseHeaderModifier }: HeaderModifiers, at: Path): Placed[] {
  const placed = (edits: Edits | undefined, environment: ExpressionEnvironment, name: string): Placed[] =>
    (['set', 'add'] as const).flatMap((list) =>
      (edits?.[list] ?? []).map(({ expression }, index) => ({
        ...{ source: expression, environment, wanted: 'textOrNull' as const },
        path: [...at, name, list, index, 'expression'],
      })),
    );
  return [...placed(requestHeaderModifier, requestHead, 'requestHeaderModifier'), ...placed(responseHeaderModifier, responseHead, 'responseHeaderModifier')];
}

function ofTransform({ request, response }: Transform, at: Path): Placed[] {
  return [
    { source: request?.body, environment: wholeRequest, wanted: 'json', path: [...at, 'request', 'body'] },
    { source: response?.body, environment: wholeResponse, wanted: 'json', path: [...at, 'response', 'body'] },
    { source: response?.status, environment: wholeResponse, wanted: 'int', path: [...at, 'response', 'status'] },
    ...(response?.headers ?? []).map(({ name, expression }): Placed => {
      return { source: expression, environment: wholeResponse, wanted: 'textOrNull', path: [...at, 'response', 'headers', name] };
    }),
  ];
}

/** Of header modifiers and transforms. @param segments names that any path of the rule has */
export function unnamedSegments({ filters, backendRefs }: Rule, segments: ReadonlySet<string>): Flaw[] {
  const all = [
    ...ofModifiers(filters, ['filters']),
    ...(filters.transform === undefined ? [] : ofTransform(filters.transform, ['filters', 'transform'])),
    ...backendRefs.flatMap((ref, index) => (ref.filters === undefined ? [] : ofModifiers(ref.filters, ['backendRefs', index, 'filters']))),
  ];
  const found: Flaw[] = [];
  for (const { source, environment, wanted, path } of all) {
    if (source === undefined || !source.includes('path')) continue;
    for (const name of segmentsOf(source, environment, wanted)) {
      if (!segments.has(name)) found.push({ message: `no path of the rule has a segment {${name}}`, hint: `name it, as in /users/{${name}}`, path });
    }
  }
  return found;
}

/** Of an expression that is bad, which is told elsewhere, none. */
function segmentsOf(source: string, environment: ExpressionEnvironment, wanted: Wanted): Iterable<string> {
  try {
    return compileExpression(source, environment, wanted).uses.segments;
  } catch (error) {
    if (error instanceof ExpressionFault) return [];
    throw error;
  }
}
