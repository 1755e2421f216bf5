import type { PolicyContext } from '../policies/policy.ts';
import { RouterBuilder } from '../router/compile.ts';
import type { Router } from '../router/router.ts';
import type { Route } from '../snapshot/route.ts';
import type { WorkerMetrics } from '../telemetry/worker-metrics.ts';
import type { Upstreams } from '../upstream/upstreams.ts';
import type { ChangeEnd, ChangePart } from '../workers/messages.ts';
import { type CompiledRoute, compileRoute, FilterChains } from './compiled-route.ts';

/**
 * One worker's compiled form of a snapshot. An exchange keeps the runtime that it started with; upstreams (pools,
 * balancers, counters) outlive it, so that a reload changes nothing for connections that stay valid.
 */
export interface Runtime {
  readonly version: number;
  readonly router: Router<CompiledRoute>;
}

/** Makes runtimes one after the other: what a change leaves alone is not compiled again. */
export class RuntimeBuilder {
  readonly #router = new RouterBuilder<CompiledRoute>();
  readonly #upstreams: Upstreams;
  readonly #context: PolicyContext;
  readonly #metrics: WorkerMetrics;

  constructor(upstreams: Upstreams, context: PolicyContext, metrics: WorkerMetrics) {
    this.#upstreams = upstreams;
    this.#context = context;
    this.#metrics = metrics;
  }

  /** The next runtime, in steps. Upstreams are brought up to date on the way. */
  *change(parts: Iterable<ChangePart>, end: ChangeEnd): Generator<void, Runtime> {
    const chains = new FilterChains(this.#context);
    const compile = (route: Route): CompiledRoute => compileRoute(route, this.#upstreams, chains, this.#context, this.#metrics);
    const routes: Route[] = [];
    for (const part of parts) {
      this.#upstreams.put(part);
      this.#upstreams.applyEndpoints(part.endpoints);
      routes.push(...part.routes);
      yield;
    }
    const router = yield* this.#router.change(end.removedRoutes, routes, compile);
    return { version: end.version, router };
  }
}
