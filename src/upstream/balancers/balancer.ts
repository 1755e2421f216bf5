import type { LoadBalancer } from '../../snapshot/upstream.ts';
import type { EndpointState } from '../endpoint-state.ts';

/** What a balancer may look at of a request. `Exchange` is one. */
export interface Balanced {
  readonly clientAddress: string;
  /** Normalised, without the query. */
  readonly path: string;
  readonly requestFields: {
    /** The first value of that name. @param name lower-case */
    get(name: string): string | undefined;
  };
  cookie(name: string): string | undefined;
  queryParam(name: string): string | undefined;
}

/** Chooses among the endpoints of one upstream, in one worker. */
export interface Balancer {
  /**
   * The endpoints to choose from now on: all usable, no two alike. Called before the first `pick`, at each change, and with
   * the same list when the parts that they get (`weight`, `grown`) are others.
   */
  update(endpoints: readonly EndpointState[]): void;
  /**
   * @param avoid an endpoint that has just failed: returned only when there is no other
   * @returns undefined only when there is no endpoint at all
   */
  pick(request: Balanced, avoid: EndpointState | undefined): EndpointState | undefined;
}

export interface BalancerContext {
  /** At least 0, below 1. */
  readonly random: () => number;
  /** Milliseconds on a monotonic clock. */
  readonly now: () => number;
}

export type CreateBalancer = (settings: LoadBalancer, context: BalancerContext) => Balancer;
