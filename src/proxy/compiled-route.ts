import { HeaderEdits } from '../policies/header-edits.ts';
import { policies } from '../policies/index.ts';
import type { Filter, Policy, PolicyContext } from '../policies/policy.ts';
import { responseHeaderModifier } from '../policies/response-header-modifier.ts';
import type { RouteFilters } from '../snapshot/filters.ts';
import type { PathMatch } from '../snapshot/match.ts';
import type { Backend, Route } from '../snapshot/route.ts';
import type { RouteMetrics } from '../telemetry/route-metrics.ts';
import type { WorkerMetrics } from '../telemetry/worker-metrics.ts';
import { BackendPicker } from '../upstream/backend-picker.ts';
import type { UpstreamState } from '../upstream/upstream-state.ts';
import type { Upstreams } from '../upstream/upstreams.ts';
import { compileRecovery, type RecoveryPlan } from './recovery-plan.ts';

/** What belongs to one backendRef of a route, by its index. */
export interface CompiledBackend {
  /** Not a filter: they are for the request that this backend gets, not for the exchange, which may go to another one. */
  readonly requestEdits: HeaderEdits | undefined;
  readonly responseFilter: Filter | undefined;
}

/** A route as one worker runs it: its filters made, its backends bound to the worker's upstreams. */
export interface CompiledRoute {
  readonly route: Route;
  /** Path parts of `route.matches`, by match index. */
  readonly paths: readonly PathMatch[];
  /** Those that have a request step, in order of execution. */
  readonly requestFilters: readonly Filter[];
  /** Those that have a response step, in their order of execution: the registry's, backwards. */
  readonly responseFilters: readonly Filter[];
  /** One of them may change bodies, so that answers go through a pipe (bodies/answer-pipe.ts). */
  readonly changesAnswers: boolean;
  readonly picker: BackendPicker;
  readonly backends: readonly CompiledBackend[];
  readonly metrics: RouteMetrics;
  /** Absent for most. */
  readonly recovery: RecoveryPlan | undefined;
  /** Where copies of its requests go. */
  readonly mirror: UpstreamState | undefined;
}

/** @param context what filters may use; one per worker */
export function compileRoute(route: Route, upstreams: Upstreams, chains: FilterChains, context: PolicyContext, metrics: WorkerMetrics): CompiledRoute {
  const { requestFilters, responseFilters, changesAnswers } = chains.of(route.filters);
  return {
    route,
    paths: route.matches.map((match) => match.path),
    requestFilters,
    responseFilters,
    changesAnswers,
    picker: new BackendPicker(route.backends, upstreams),
    backends: route.backends.map((backend) => compileBackend(backend, context)),
    metrics: metrics.route(route.id),
    recovery: compileRecovery(route, upstreams),
    mirror: route.filters.mirror && upstreams.get(route.filters.mirror.upstream),
  };
}

export type FilterChain = Pick<CompiledRoute, 'requestFilters' | 'responseFilters' | 'changesAnswers'>;

/** The filter chains of a snapshot: routes that share their specification share the filters, which keep nothing of an exchange. */
export class FilterChains {
  readonly #context: PolicyContext;
  readonly #chains = new Map<RouteFilters, FilterChain>();

  constructor(context: PolicyContext) {
    this.#context = context;
  }

  of(specification: RouteFilters): FilterChain {
    let chain = this.#chains.get(specification);
    if (chain === undefined) {
      const filters = compileFilters(specification, this.#context);
      chain = {
        requestFilters: filters.filter((filter) => filter.onRequest !== undefined),
        responseFilters: filters.filter((filter) => filter.onResponse !== undefined || filter.onResponseBody !== undefined).reverse(),
        changesAnswers: filters.some((filter) => filter.onResponseBody !== undefined),
      };
      this.#chains.set(specification, chain);
    }
    return chain;
  }
}

/** The filters of a route in order of execution, which is the registry's. */
export function compileFilters(specification: RouteFilters, context: PolicyContext): Filter[] {
  const filters: Filter[] = [];
  for (const policy of policies as readonly Policy[]) {
    const spec = specification[policy.name];
    if (spec !== undefined) filters.push(policy.compile(spec, context));
  }
  return filters;
}

function compileBackend(backend: Backend, context: PolicyContext): CompiledBackend {
  return {
    requestEdits: backend.requestHeaderModifier && new HeaderEdits('request', backend.requestHeaderModifier, context.counter),
    responseFilter: backend.responseHeaderModifier && responseHeaderModifier.compile(backend.responseHeaderModifier, context),
  };
}
