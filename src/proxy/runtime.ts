import type { PolicyContext } from '../policies/policy.ts';
import { compileRouter } from '../router/compile.ts';
import type { Router } from '../router/router.ts';
import type { WorkerMetrics } from '../telemetry/worker-metrics.ts';
import type { Upstreams } from '../upstream/upstreams.ts';
import type { PublishedSnapshot } from '../workers/messages.ts';
import { type CompiledRoute, compileRoute, FilterChains } from './compiled-route.ts';

/**
 * One worker's compiled form of a snapshot. An exchange keeps the runtime that it started with; upstreams (pools,
 * balancers, counters) outlive it, so that a reload changes nothing for connections that stay valid.
 */
export interface Runtime {
  readonly version: number;
  readonly router: Router<CompiledRoute>;
}

export function compileRuntime(snapshot: PublishedSnapshot, upstreams: Upstreams, context: PolicyContext, metrics: WorkerMetrics): Runtime {
  const chains = new FilterChains(context);
  return {
    version: snapshot.version,
    router: compileRouter(snapshot.routes, (route) => compileRoute(route, upstreams, chains, context, metrics)),
  };
}
