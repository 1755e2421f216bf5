import type { Caller, CallOutcome, CallRequest, Calls, RunningCall } from '../../exchange/calls.ts';
import type { Exchange } from '../../exchange/exchange.ts';
import type { CallTarget } from '../../snapshot/calls.ts';
import { ROUTE_TIMEOUTS } from '../../snapshot/defaults.ts';
import type { Backend, Route } from '../../snapshot/route.ts';
import { RouteMetrics } from '../../telemetry/route-metrics.ts';
import { BackendPicker } from '../../upstream/backend-picker.ts';
import type { Upstreams } from '../../upstream/upstreams.ts';
import type { CompiledRoute } from '../compiled-route.ts';
import type { Proxy } from '../proxy.ts';
import { compileRecovery } from '../recovery-plan.ts';
import { CallLife } from './call-life.ts';

/** What nobody collects: calls count for upstreams, their retries for the route of the exchange that they are for. */
const NO_METRICS = new RouteMetrics('');

/** Calls to the upstreams of one worker. */
export class UpstreamCalls implements Calls {
  readonly #proxy: Proxy;
  readonly #upstreams: Upstreams;

  constructor(proxy: Proxy, upstreams: Upstreams) {
    this.#proxy = proxy;
    this.#upstreams = upstreams;
  }

  to(target: CallTarget): Caller {
    return new UpstreamCaller(this.#proxy, routeTo(target, this.#upstreams));
  }
}

class UpstreamCaller implements Caller {
  readonly #proxy: Proxy;
  readonly #route: CompiledRoute;

  constructor(proxy: Proxy, route: CompiledRoute) {
    this.#proxy = proxy;
    this.#route = route;
  }

  call(origin: Exchange, request: CallRequest, onEnd: (outcome: CallOutcome) => void): RunningCall {
    const life = new CallLife(this.#proxy, origin, request, onEnd);
    life.run(this.#route);
    return life;
  }
}

/** What an exchange would need of a route: one backend, and no filters. No router knows it, and it is in no metric. */
function routeTo({ upstream, timeout, retry, hedge }: CallTarget, upstreams: Upstreams): CompiledRoute {
  const backend: Backend = { ...(upstream === undefined ? { unresolvedStatus: 500 as const } : { upstream }), weight: 1, backup: false };
  const route: Route = {
    ...{ id: '', kind: 'ApiRoute', namespace: '', name: '', rule: '', hosts: [], matches: [], rank: 0 },
    ...{ isDefaultBackend: false, httpsRedirect: false, filters: {}, backends: [backend] },
    timeouts: { request: timeout, backendRequest: Math.min(timeout, ROUTE_TIMEOUTS.backendRequest), idle: Math.min(timeout, ROUTE_TIMEOUTS.idle) },
    ...(retry === undefined ? {} : { retry }),
    ...(hedge === undefined ? {} : { hedge }),
  };
  return {
    route,
    paths: [],
    requestFilters: [],
    responseFilters: [],
    changesAnswers: false,
    picker: new BackendPicker(route.backends, upstreams),
    backends: [{ requestEdits: undefined, responseFilter: undefined }],
    metrics: NO_METRICS,
    recovery: compileRecovery(route, upstreams),
    mirror: undefined,
  };
}
