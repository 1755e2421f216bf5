import { withCalls } from '../expressions/environments.ts';
import { addReads, noReads, type RequestReads } from '../expressions/request-reads.ts';
import type { WrittenAggregate } from '../resources/aggregate.ts';
import type { ApiRoute, ApiRouteRule } from '../resources/api-route.ts';
import type { Entry } from '../resources/resource-set.ts';
import type { Aggregate, AggregateCall, HeaderExpression } from '../snapshot/aggregate.ts';
import { ROUTE_TIMEOUTS } from '../snapshot/defaults.ts';
import { resolveRef } from './api-route-recovery.ts';
import type { RouteContext } from './routes.ts';

/** A call whose reference leads nowhere is one that fails; that is told. @param field path of the aggregate in the object */
export function translateAggregate(
  entry: Entry<ApiRoute>,
  { timeout, calls, response }: WrittenAggregate,
  timeouts: ApiRouteRule['timeouts'],
  field: string,
  context: RouteContext,
): Aggregate {
  // What 0s stands for elsewhere, no bound, makes no sense for a call: the default holds.
  const longest = timeout ?? (timeouts.request || ROUTE_TIMEOUTS.request);
  return {
    ...(timeout === undefined ? {} : { timeout }),
    calls: calls.map((call, index): AggregateCall => {
      const upstream = resolveRef(entry, call.backendRef, `${field}.calls[${index}].backendRef`, context);
      const { name, request, when, onError, retry, hedge } = call;
      return {
        name,
        target: {
          ...(upstream === undefined ? {} : { upstream }),
          timeout: Math.min(call.timeout ?? longest, longest),
          ...(retry === undefined ? {} : { retry }),
          ...(hedge === undefined ? {} : { hedge }),
        },
        method: request.method,
        path: request.path,
        headers: headersOf(request.headers),
        ...(request.body === undefined ? {} : { body: request.body }),
        ...(when === undefined ? {} : { when }),
        ...(onError === undefined ? {} : { onError: onError.value }),
      };
    }),
    response: { status: response.status, headers: headersOf(response.headers), ...(response.body === undefined ? {} : { body: response.body }) },
  };
}

/** What the expressions of calls and of the answer read. */
export function aggregateReads({ calls, response }: WrittenAggregate): RequestReads {
  const environment = withCalls(calls.map(({ name }) => name));
  const reads = noReads();
  for (const source of sourcesOf(calls, response)) addReads(source, environment, reads);
  return reads;
}

/**
 * What the answers are kept by, where the rule has a cache: as the fields that expressions read are known, nobody has to write
 * `Vary`. An answer that depends on what no field says is nobody else's, which is told.
 * @param modified what is read of the request to make headers of it, before the aggregate sees them @param field path of the cache in the object
 */
export function cachedBy(
  entry: Entry<ApiRoute>,
  aggregate: WrittenAggregate,
  modified: RequestReads,
  field: string,
  { issues }: RouteContext,
): Pick<Aggregate, 'cachedBy'> {
  const own = aggregateReads(aggregate);
  const others = new Set([...own.others, ...modified.others]);
  if (others.size === 0) return { cachedBy: [...new Set([...own.fields, ...modified.fields])].sort() };
  issues.add(entry, 'told', {
    severity: 'warning',
    reason: 'UnsupportedValue',
    field,
    message: `answers of this aggregate are not cached, because they depend on ${[...others].sort().join(' and ')}`,
    hint: 'leave cache out, or read headers by their names and nothing of the client',
  });
  return {};
}

function sourcesOf(calls: WrittenAggregate['calls'], response: WrittenAggregate['response']): string[] {
  const optional = (source: string | undefined): string[] => (source === undefined ? [] : [source]);
  return [
    ...calls.flatMap(({ request, when, onError }) => [
      request.path,
      ...Object.values(request.headers),
      ...optional(request.body),
      ...optional(when),
      ...optional(onError?.value),
    ]),
    ...[response.status, ...Object.values(response.headers)],
    ...optional(response.body),
  ];
}

function headersOf(written: Readonly<Record<string, string>>): HeaderExpression[] {
  return Object.entries(written).map(([name, expression]) => ({ name: name.toLowerCase(), expression }));
}
