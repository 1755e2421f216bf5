/** The cache of an ApiRoute's rule: what its answers depend on, and what of other filters it can keep. */
import { createHash } from 'node:crypto';
import { requestHead } from '../expressions/environments.ts';
import { addReads, noReads, type RequestReads } from '../expressions/request-reads.ts';
import type { ApiRoute, ApiRouteRule } from '../resources/api-route.ts';
import type { Entry } from '../resources/resource-set.ts';
import type { CacheSpec, MadeHeader } from '../snapshot/cache.ts';
import type { HeaderEdit } from '../snapshot/filters.ts';
import { aggregateReads } from './aggregate.ts';
import type { RouteContext } from './routes.ts';

/** 128 bits of a digest. */
const DIGEST_LENGTH = 22;

/**
 * `guarded`: by a token or a certificate, so that who is let in is as good as an Authorization field (RFC 9111 section 3.5); `descriptors`: those
 * by which grpcJson answers.
 * @param field path of the cache in the object
 */
export function translateCache(
  entry: Entry<ApiRoute>,
  cache: NonNullable<ApiRouteRule['filters']['cache']>,
  rule: ApiRouteRule,
  { guarded, descriptors = '' }: { readonly guarded: boolean; readonly descriptors?: string | undefined },
  field: string,
  context: RouteContext,
): CacheSpec {
  const made = madeHeaders(rule);
  if (cache.varyOnQuery.length > 0) tellOfParameters(entry, cache.varyOnQuery, rule, field, context);
  // So is one that the gateway makes itself of what the client sends; an aggregate's answer says what it is made of.
  const authorized = guarded || (rule.filters.aggregate === undefined && made.some(({ name }) => name === 'authorization'));
  return { ...cache, asks: askedBy(rule, descriptors), ...(authorized ? { authorized } : {}), ...(made.length === 0 ? {} : { made }) };
}

/**
 * What the rule makes of a request for its backends, as a digest. An edit of it leaves behind what was answered to other questions.
 * How requests are shared out (weights, retries, policies of backends) is no part of it: the same is asked there.
 */
function askedBy({ matches, filters, backendRefs, fallback }: ApiRouteRule, descriptors: string): string {
  const { urlRewrite, requestHeaderModifier, aggregate, grpcJson } = filters;
  const asked = {
    // They say what a prefix is, and what the elements of a path are called.
    paths: matches.map(({ path }) => path),
    filters: { urlRewrite, requestHeaderModifier, aggregate, grpcJson },
    backends: backendRefs.map(({ namespace, name, port, filters: own }) => ({ namespace, name, port, filters: own })),
    // Its answers are kept as those of the others are.
    fallback: fallback?.backendRef,
  };
  return createHash('sha256').update(JSON.stringify(asked)).update(descriptors).digest('base64url').slice(0, DIGEST_LENGTH);
}

/** Some of those whom a cache leaves out are read all the same: their answers would be taken for each other. */
function tellOfParameters(entry: Entry<ApiRoute>, varyOnQuery: readonly string[], rule: ApiRouteRule, field: string, { issues }: RouteContext): void {
  const { aggregate } = rule.filters;
  const reads = noReads();
  for (const { expression } of editsOfRule(rule)) if (expression !== undefined) addReads(expression, requestHead, reads);
  const called = aggregate === undefined ? [] : aggregateReads(aggregate).parameters;
  const left = [...new Set([...reads.parameters, ...called])].filter((name) => name === undefined || !varyOnQuery.includes(name));
  if (left.length === 0) return;
  const names = left.some((name) => name === undefined) ? 'request.query, by names that are not written down' : left.sort().join(', ');
  issues.add(entry, 'told', {
    severity: 'warning',
    reason: 'UnsupportedValue',
    field: `${field}.varyOnQuery`,
    message: `expressions of the rule read parameters that are not listed here (${names}), so that answers to some are given to others`,
    hint: 'list them, or leave varyOnQuery out',
  });
}

/**
 * Whether the cache keeps what another filter of the rule answers; where it does not, that is told. A redirect or a fixed answer
 * costs less than a look into the cache, and a transform knows answers of the gateway from those of backends, which the cache does not.
 */
export function keepsReplies(entry: Entry<ApiRoute>, filters: ApiRouteRule['filters'], field: string, { issues }: RouteContext): boolean {
  const { cache, transform } = filters;
  const answering = (['requestRedirect', 'directResponse', 'aggregate', 'grpcJson'] as const).find((name) => filters[name] !== undefined);
  if (cache === undefined || answering === undefined) return false;
  const isMade = answering === 'aggregate' || answering === 'grpcJson';
  const { fields, others } = modifierReads(filters);
  // An aggregate's answer says what it varies by; that of a method can't.
  const isModified = answering === 'grpcJson' && fields.size + others.size > 0;
  if (isMade && transform?.response === undefined && !isModified) return true;
  const beside = isModified ? ' beside expressions of requestHeaderModifier that read headers or the client' : isMade ? ' beside transform.response' : '';
  const message = `answers of ${answering} are not cached${beside}`;
  issues.add(entry, 'told', { severity: 'warning', reason: 'UnsupportedValue', field: `${field}.cache`, message, hint: 'leave cache out' });
  return false;
}

/** What the expressions of a request header modifier read: they run behind the cache, and what is made of them may go on to calls. */
export function modifierReads({ requestHeaderModifier }: ApiRouteRule['filters']): RequestReads {
  const reads = noReads();
  for (const { expression } of editsOf(requestHeaderModifier)) if (expression !== undefined) addReads(expression, requestHead, reads);
  return reads;
}

/** The same for each header by itself, those of single backends first. */
function madeHeaders(rule: ApiRouteRule): MadeHeader[] {
  const made: MadeHeader[] = [];
  for (const { name, expression } of editsOfRule(rule)) {
    if (expression === undefined) continue;
    const reads = noReads();
    addReads(expression, requestHead, reads);
    if (reads.others.size > 0) made.push({ name: name.toLowerCase() });
    else if (reads.fields.size > 0) made.push({ name: name.toLowerCase(), of: [...reads.fields].sort() });
  }
  return made;
}

/** Of request headers; those of single backends first. */
function editsOfRule({ filters, backendRefs }: ApiRouteRule): readonly HeaderEdit[] {
  return [...backendRefs.map((ref) => ref.filters.requestHeaderModifier), filters.requestHeaderModifier].flatMap(editsOf);
}

function editsOf(modifier: ApiRouteRule['filters']['requestHeaderModifier']): readonly HeaderEdit[] {
  return [...(modifier?.set ?? []), ...(modifier?.add ?? [])];
}
