/** What a rule of an ApiRoute says about trouble: retry, hedge, fallback, and the mirror. */
import type { ApiRoute, ApiRouteRule } from '../resources/api-route.ts';
import type { Entry } from '../resources/resource-set.ts';
import type { Mirror } from '../snapshot/filters.ts';
import type { Route } from '../snapshot/route.ts';
import type { UpstreamKey } from '../snapshot/upstream.ts';
import type { RouteContext } from './routes.ts';

/** RFC 9110 section 9.2.2; what is sent once more must be among them. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

type WrittenRef = NonNullable<ApiRouteRule['filters']['mirror']>['backendRef'];

export function translateRecovery(
  entry: Entry<ApiRoute>,
  rule: ApiRouteRule,
  field: string,
  context: RouteContext,
): Pick<Route, 'retry' | 'hedge' | 'fallback'> {
  const { retry, hedge, fallback, matches } = rule;
  if (hedge !== undefined && matches.every(({ methods }) => methods.length > 0 && methods.every((method) => !IDEMPOTENT.has(method)))) {
    context.issues.add(entry, 'told', {
      severity: 'warning',
      reason: 'UnsupportedValue',
      field: `${field}.hedge`,
      message: 'the rule takes no request that is hedged: all its methods are such that a second try could act twice',
      hint: 'leave hedge out, or match GET, HEAD, OPTIONS, PUT or DELETE, too',
    });
  }
  if (fallback === undefined) return { ...(retry === undefined ? {} : { retry }), ...(hedge === undefined ? {} : { hedge }) };
  const { on, backendRef, response } = fallback;
  const upstream = backendRef && resolveRef(entry, backendRef, `${field}.fallback.backendRef`, context);
  return {
    ...(retry === undefined ? {} : { retry }),
    ...(hedge === undefined ? {} : { hedge }),
    fallback: { on, ...(upstream === undefined ? {} : { upstream }), ...(response === undefined ? {} : { response }) },
  };
}

/** @returns undefined also for one that leads nowhere, which is told: the requests themselves are served, as in Gateway API */
export function translateMirror(entry: Entry<ApiRoute>, mirror: ApiRouteRule['filters']['mirror'], field: string, context: RouteContext): Mirror | undefined {
  if (mirror === undefined) return undefined;
  const upstream = resolveRef(entry, mirror.backendRef, `${field}.backendRef`, context);
  return upstream === undefined ? undefined : { upstream, percent: mirror.percent };
}

/** @param ref path of the reference in the object */
export function resolveRef(entry: Entry<ApiRoute>, { namespace, name, port }: WrittenRef, ref: string, { upstreams }: RouteContext): UpstreamKey | undefined {
  const fields = { namespace: `${ref}.namespace`, name: `${ref}.name`, port: `${ref}.port` };
  return upstreams.resolve(entry, { namespace: namespace ?? entry.namespace, name, port }, fields);
}
