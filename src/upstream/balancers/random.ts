import type { EndpointState } from '../endpoint-state.ts';
import type { Balanced, Balancer, BalancerContext } from './balancer.ts';

/** Where the only one with a full share is avoided, nobody might be taken. */
const MOST_DRAWS = 50;

/** Any of them, all as likely, but for those in slow start. */
export class Random implements Balancer {
  readonly #random: () => number;
  #endpoints: readonly EndpointState[] = [];
  #growing = false;

  constructor(context: Pick<BalancerContext, 'random'>) {
    this.#random = context.random;
  }

  update(endpoints: readonly EndpointState[]): void {
    this.#endpoints = endpoints;
    this.#growing = endpoints.some(({ grown }) => grown < 1);
  }

  pick(_request: Balanced, avoid: EndpointState | undefined): EndpointState | undefined {
    // Whoever is drawn is turned down as often as is missing from its share; somebody's is always full, so this ends.
    for (let draws = 0; this.#growing && draws < MOST_DRAWS; draws++) {
      const endpoint = this.#draw(avoid);
      if (endpoint === undefined || endpoint.grown === 1 || this.#random() < endpoint.grown) return endpoint;
    }
    return this.#draw(avoid);
  }

  #draw(avoid: EndpointState | undefined): EndpointState | undefined {
    const endpoints = this.#endpoints;
    const count = endpoints.length;
    const index = Math.floor(this.#random() * count);
    const endpoint = endpoints[index];
    if (endpoint !== avoid || count < 2) return endpoint;
    // Any of the others, all as likely.
    return endpoints[(index + 1 + Math.floor(this.#random() * (count - 1))) % count];
  }
}
