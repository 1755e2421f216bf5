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

function headersOf(written: Readonly<Record<string, string>>): HeaderExpression[] {
  return Object.entries(written).map(([name, expression]) => ({ name: name.toLowerCase(), expression }));
}
