import type { EndpointState } from '../endpoint-state.ts';
import type { Balanced, Balancer, BalancerContext } from './balancer.ts';

/** Any of them, all as likely. */
export class Random implements Balancer {
  readonly #random: () => number;
  #endpoints: readonly EndpointState[] = [];

  constructor(context: Pick<BalancerContext, 'random'>) {
    this.#random = context.random;
  }

  update(endpoints: readonly EndpointState[]): void {
    this.#endpoints = endpoints;
  }

  pick(_request: Balanced, avoid: EndpointState | undefined): EndpointState | undefined {
    const endpoints = this.#endpoints;
    const count = endpoints.length;
    const index = Math.floor(this.#random() * count);
    const endpoint = endpoints[index];
    if (endpoint !== avoid || count < 2) return endpoint;
    // Any of the others, all as likely.
    return endpoints[(index + 1 + Math.floor(this.#random() * (count - 1))) % count];
  }
}
