/** Names of path segments in expressions of rules and policies: what no path names is never there when the expression runs. */
import { type ExpressionEnvironment, requestHead, responseHead, wholeRequest, wholeResponse } from '../expressions/environments.ts';
import { compileExpression, type Wanted } from '../expressions/expression.ts';
import { ExpressionFault } from '../expressions/expression-error.ts';
import { lookAgain } from '../expressions/pattern-size.ts';
import type { AuthPolicy } from './auth-policy.ts';
import type { RateLimitPolicy } from './rate-limit-policy.ts';
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

/** A segment that an expression of a policy names. */
export interface NamedSegment {
  readonly name: string;
  /** Path of the field within the object. */
  readonly field: string;
}

export function segmentsOfAuthPolicy({ spec }: AuthPolicy): NamedSegment[] {
  return [
    ...spec.authorization.flatMap((rule, index) => named(rule.expression, 'bool', `spec.authorization[${index}].expression`)),
    ...Object.entries(spec.forward.headers).flatMap(([name, source]) => named(source, 'text', `spec.forward.headers.${name}`)),
  ];
}

export function segmentsOfRateLimitPolicy({ spec }: RateLimitPolicy): NamedSegment[] {
  return spec.limits.flatMap(({ key, when, cost }, index) => {
    const field = `spec.limits[${index}]`;
    return [
      ...key.flatMap(({ expression }, place) => named(expression, 'textOrNull', `${field}.key[${place}].expression`)),
      ...named(when, 'bool', `${field}.when`),
      ...named(cost, 'int', `${field}.cost`),
    ];
  });
}

function named(source: string | undefined, wanted: Wanted, field: string): NamedSegment[] {
  if (source === undefined || !source.includes('path')) return [];
  return [...segmentsOf(source, requestHead, wanted)].map((name) => ({ name, field }));
}

/** Of the segments that a path names. */
export function segmentsOfPath(value: string): ReadonlySet<string> {
  return new Set([...value.matchAll(/\/\{([^{}/]+)\}/g)].map(([, name]) => name as string));
}

/** Of an expression that is bad, which is told elsewhere, none. */
function segmentsOf(source: string, environment: ExpressionEnvironment, wanted: Wanted): Iterable<string> {
  try {
    return lookAgain(() => compileExpression(source, environment, wanted)).uses.segments;
  } catch (error) {
    if (error instanceof ExpressionFault) return [];
    throw error;
  }
}
