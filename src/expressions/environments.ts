/**
 * Which variables, with which types, expressions have at each place of the API. What a place does not know is an error of the
 * expression there, when its object is read: a limit decides before there is a body, so `request.body` means nothing to it.
 */

/** `dyn` is looked at when the expression runs. */
export type FieldType = 'string' | 'int' | 'double' | 'bool' | 'dyn' | 'map<string, string>' | 'map<string, dyn>' | 'list<string>' | RecordType;

/** A value with a fixed set of fields. */
export interface RecordType {
  readonly name: string;
  readonly fields: Readonly<Record<string, FieldType>>;
}

export interface ExpressionEnvironment {
  readonly variables: ReadonlyMap<string, FieldType>;
  /** What evaluations may cost; see budget.ts. */
  readonly budget: number;
}

/** About 2 ms: evaluations of heads are many, and run while other requests wait. */
const HEAD_BUDGET = 40_000;
/** About 20 ms, and 60 ms at worst on a busy machine, for what is made of whole bodies: a list of ten thousand objects with fifty nodes for each. */
const BODY_BUDGET = 500_000;

const client: RecordType = { name: 'Client', fields: { ip: 'string' } };

const head = {
  method: 'string',
  /** Text; with names of path segments, as in `request.path.id`, what stood there. */
  path: 'dyn',
  host: 'string',
  scheme: 'string',
  headers: 'map<string, string>',
  query: 'map<string, string>',
  cookies: 'map<string, string>',
  client,
} as const;

const requestHeadType: RecordType = { name: 'RequestHead', fields: head };
const requestType: RecordType = { name: 'Request', fields: { ...head, body: 'dyn' } };

/** `subject` and `consumer` are null where there is none. */
const identityType: RecordType = {
  name: 'Identity',
  fields: { subject: 'dyn', claims: 'map<string, dyn>', consumer: 'dyn', groups: 'list<string>' },
};

const responseHeadType: RecordType = { name: 'ResponseHead', fields: { status: 'int', headers: 'map<string, string>' } };
const responseType: RecordType = { name: 'Response', fields: { ...responseHeadType.fields, body: 'dyn' } };

/** A call of an aggregate. */
const callType: RecordType = {
  name: 'Call',
  fields: { status: 'int', headers: 'map<string, string>', body: 'dyn', failed: 'bool', durationMs: 'int' },
};

function environment(variables: Readonly<Record<string, FieldType>>, budget: number): ExpressionEnvironment {
  return { variables: new Map(Object.entries(variables)), budget };
}

/** Before the request's body is there: limits, authorization, forwarded headers, request header modifiers. */
export const requestHead = environment({ request: requestHeadType, identity: identityType }, HEAD_BUDGET);

/** With the request's body: transforms of requests. */
export const wholeRequest = environment({ request: requestType, identity: identityType }, BODY_BUDGET);

/** On the head of an answer: response header modifiers. */
export const responseHead = environment({ request: requestHeadType, identity: identityType, response: responseHeadType }, HEAD_BUDGET);

/** With the answer's body: transforms of responses. */
export const wholeResponse = environment({ request: requestType, identity: identityType, response: responseType }, BODY_BUDGET);

/**
 * What the calls and the answer of an aggregate see.
 * @param calls names of the calls whose results are there; none of them the name of another variable
 */
export function withCalls(calls: Iterable<string>): ExpressionEnvironment {
  const variables = new Map<string, FieldType>(wholeRequest.variables);
  for (const name of calls) variables.set(name, callType);
  return { variables, budget: BODY_BUDGET };
}
