/** The filter `aggregate`: one call of a client, several calls of the gateway. */
import { z } from 'zod';
import { withCalls } from '../expressions/environments.ts';
import { compileExpression, type Wanted } from '../expressions/expression.ts';
import { ExpressionFault } from '../expressions/expression-error.ts';
import { lookAgain } from '../expressions/pattern-size.ts';
import { compileTarget } from '../expressions/target.ts';
import { circleOf } from './circle.ts';
import { duration, headerNameFlaw, method, quote } from './fields.ts';
import { hedgeSchema, retrySchema, serviceRef } from './recovery.ts';
import { type Flaw, flaws, strictObject } from './strict-object.ts';

const MAX_CALLS = 16;
const MAX_HEADERS = 32;
const MAX_EXPRESSION = 8192;

/** Fields that the connection owns, or by which a message is framed, and Host, which is the Service's. */
const OWNED = new Set(['connection', 'content-length', 'host', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade']);

/** Variables that every expression has, and words that CEL keeps for itself. */
const TAKEN = new Set(
  'request identity response true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
);

function expression(what: string) {
  return z.string().min(1).max(MAX_EXPRESSION).describe(what);
}

const headers = (what: string) =>
  z
    .record(z.string().min(1).max(256), expression('A CEL expression that gives a text.'))
    .superRefine(
      flaws((value) => {
        const found: Flaw[] = [];
        const seen = new Set<string>();
        if (Object.keys(value).length > MAX_HEADERS) found.push({ message: `there are more than ${MAX_HEADERS} headers`, hint: 'leave some out' });
        for (const name of Object.keys(value)) {
          const lower = name.toLowerCase();
          const flaw = headerNameFlaw(name);
          if (flaw !== undefined) found.push({ ...flaw, path: [name] });
          else if (OWNED.has(lower)) found.push({ message: `${quote(name)} is the gateway's own to write`, hint: 'leave it out', path: [name] });
          else if (seen.has(lower)) found.push({ message: `${quote(name)} is there twice`, hint: 'keep one of them', path: [name] });
          seen.add(lower);
        }
        return found;
      }),
    )
    .default({})
    .describe(what)
    .meta({ maxProperties: MAX_HEADERS });

const callName = z
  .string()
  .superRefine(
    flaws((value) => {
      if (!/^[A-Za-z][A-Za-z0-9_]{0,62}$/.test(value))
        return { message: `${quote(value)} cannot be a variable of an expression`, hint: 'write letters, digits and _, beginning with a letter' };
      return TAKEN.has(value) ? { message: `${quote(value)} has a meaning in expressions already`, hint: 'use another name' } : undefined;
    }),
  )
  .meta({ pattern: '^[A-Za-z][A-Za-z0-9_]*$', minLength: 1, maxLength: 63 });

const call = strictObject({
  name: callName.describe('What expressions call its result: NAME.status, NAME.headers, NAME.body, NAME.failed, NAME.durationMs.'),
  backendRef: serviceRef.describe('Where it goes.'),
  request: strictObject({
    method: method.default('GET').describe('Its method. Absent: GET.'),
    path: expression(
      "CEL for its path and query, which begins with a text or with request.path: '/users/' + request.path.id. Whatever is joined to texts is escaped, as one segment or one value of the query.",
    ),
    headers: headers(
      "CEL for its headers, by name. What is empty is left out, and so is a header, query parameter or cookie of the client that is passed on alone and that the client has not sent. The client's Authorization, the trace context and the request id go along unless they are written here.",
    ),
    body: expression('CEL for its body, which goes as JSON.').exactOptional(),
  })
    .superRefine(
      flaws((value) =>
        value.body !== undefined && (value.method === 'GET' || value.method === 'HEAD')
          ? { message: `a request with method ${value.method} has no body`, hint: 'write a method such as POST, or leave body out', path: ['body'] }
          : undefined,
      ),
    )
    .describe('What is asked.'),
  timeout: duration({ positive: true })
    .exactOptional()
    .describe('How long it may take, with all tries, until its answer is complete. Absent: as long as the aggregate.'),
  retry: retrySchema.exactOptional(),
  hedge: hedgeSchema.exactOptional(),
  when: expression('CEL for whether it is made at all. Where it is not: status 0, body null, failed false.').exactOptional(),
  onError: strictObject({ value: expression('CEL for what its body is then.') })
    .exactOptional()
    .describe(
      'What takes the place of its result when it fails: no answer in time, no connection, a status of 500 and up, a body that can not be read. Absent: the whole answer is 502 or 504.',
    ),
});

const written = strictObject({
  timeout: duration({ positive: true })
    .exactOptional()
    .describe("How long all calls may take together; those that are not done then have failed. Absent: the rule's timeouts.request."),
  calls: z
    .array(call)
    .min(1)
    .max(MAX_CALLS)
    .describe('Calls run at once; one whose expressions name another one waits for its result.')
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] }),
  response: strictObject({
    status: expression('CEL for its status. Absent: 200.').default('200'),
    headers: headers('CEL for its headers, by name. What is empty is left out.'),
    body: expression('CEL for its body, which goes as JSON. Absent: no body.').exactOptional(),
  }).describe('The answer.'),
});

export type WrittenAggregate = z.output<typeof written>;
type WrittenCall = WrittenAggregate['calls'][number];

export const aggregateSchema = written
  .superRefine(flaws(aggregateFlaws))
  .describe('Answers from the answers of several Services, which are asked at once, or one after another where one needs the result of another.');

interface Placed {
  readonly source: string;
  readonly wanted: Wanted | 'target';
  readonly path: readonly (string | number)[];
}

function expressionsOfCall({ request, when, onError }: WrittenCall, at: readonly (string | number)[]): Placed[] {
  return [
    { source: request.path, wanted: 'target', path: [...at, 'request', 'path'] },
    ...Object.entries(request.headers).map(([name, source]): Placed => ({ source, wanted: 'text', path: [...at, 'request', 'headers', name] })),
    ...(request.body === undefined ? [] : [{ source: request.body, wanted: 'json' as const, path: [...at, 'request', 'body'] }]),
    ...(when === undefined ? [] : [{ source: when, wanted: 'bool' as const, path: [...at, 'when'] }]),
    ...(onError === undefined ? [] : [{ source: onError.value, wanted: 'json' as const, path: [...at, 'onError', 'value'] }]),
  ];
}

function expressionsOfResponse({ status, headers: fields, body }: WrittenAggregate['response']): Placed[] {
  return [
    { source: status, wanted: 'int', path: ['response', 'status'] },
    ...Object.entries(fields).map(([name, source]): Placed => ({ source, wanted: 'text', path: ['response', 'headers', name] })),
    ...(body === undefined ? [] : [{ source: body, wanted: 'json' as const, path: ['response', 'body'] }]),
  ];
}

function aggregateFlaws(value: WrittenAggregate): Flaw[] {
  const found: Flaw[] = [];
  const names = new Set<string>();
  for (const [index, { name }] of value.calls.entries()) {
    if (names.has(name))
      found.push({ message: `the call ${quote(name)} is there twice`, hint: 'give each call a name of its own', path: ['calls', index, 'name'] });
    names.add(name);
  }
  // Without good names there are no variables to check expressions against.
  if (found.length > 0 || [...names].some((name) => !callName.safeParse(name).success)) return found;
  const environment = withCalls(names);
  const judge = ({ source, wanted, path }: Placed): readonly string[] => {
    try {
      const { uses } = wanted === 'target' ? compileTarget(source, environment) : compileExpression(source, environment, wanted);
      return [...uses.fields].map((field) => field.split('.')[0] as string).filter((name) => names.has(name));
    } catch (error) {
      if (!(error instanceof ExpressionFault)) throw error;
      found.push({ message: error.message, hint: error.hint, path });
      return [];
    }
  };
  const needs = new Map(value.calls.map((one, index) => [one.name, new Set(expressionsOfCall(one, ['calls', index]).flatMap(judge))]));
  for (const placed of expressionsOfResponse(value.response)) judge(placed);
  const circle = circleOf(needs);
  if (circle !== undefined) {
    const index = value.calls.findIndex(({ name }) => name === circle[0]);
    found.push({
      message: circle.length === 2 ? `the call ${circle[0]} needs its own result` : `calls wait for each other: ${circle.join(' needs ')}`,
      hint: 'let one of them do without the other',
      path: ['calls', index],
    });
  }
  return found;
}

/**
 * Segments that expressions name and paths do not; of an aggregate that is good by itself.
 * @param segments of each match of the rule the names that its path has
 */
export function segmentFlaws(value: WrittenAggregate, segments: readonly ReadonlySet<string>[]): Flaw[] {
  const environment = withCalls(value.calls.map(({ name }) => name));
  const all = [...value.calls.flatMap((one, index) => expressionsOfCall(one, ['calls', index])), ...expressionsOfResponse(value.response)];
  const found: Flaw[] = [];
  for (const { source, wanted, path } of all) {
    for (const name of segmentsOf(source, wanted, environment)) {
      const index = segments.findIndex((names) => !names.has(name));
      if (index >= 0) found.push({ message: `the path of match ${index} has no segment {${name}}`, hint: 'name it in every match of the rule', path });
    }
  }
  return found;
}

/** Of an expression that is bad, which is told elsewhere, none. */
function segmentsOf(source: string, wanted: Placed['wanted'], environment: ReturnType<typeof withCalls>): Iterable<string> {
  try {
    return lookAgain(() => (wanted === 'target' ? compileTarget(source, environment) : compileExpression(source, environment, wanted))).uses.segments;
  } catch (error) {
    if (error instanceof ExpressionFault) return [];
    throw error;
  }
}
