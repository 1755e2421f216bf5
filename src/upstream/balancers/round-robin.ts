import type { EndpointState } from '../endpoint-state.ts';
import type { Balanced, Balancer, BalancerContext } from './balancer.ts';

/**
 * Each in turn, counted per worker. Where endpoints have different weights it is nginx's smooth weighted round-robin: in
 * every step each endpoint gains its weight, and the richest is picked and pays the sum of all.
 */
export class RoundRobin implements Balancer {
  readonly #random: () => number;
  #endpoints: readonly EndpointState[] = [];
  /** Index of the next one; -1 before the first update. */
  #next = -1;
  /** What each has gained, where weights differ. */
  #credits: Float64Array | undefined = undefined;

  constructor(context: Pick<BalancerContext, 'random'>) {
    this.#random = context.random;
  }

  update(endpoints: readonly EndpointState[]): void {
    const before = this.#endpoints;
    const credits = this.#credits;
    this.#endpoints = endpoints;
    // Workers and replicas begin at different places, so that few requests to each don't all go to the first endpoint.
    if (this.#next < 0 && endpoints.length > 0) this.#next = Math.floor(this.#random() * endpoints.length);
    const first = endpoints[0];
    const weighted = first !== undefined && endpoints.some((endpoint) => endpoint.weight !== first.weight || endpoint.grown !== first.grown);
    if (weighted && before === endpoints && credits !== undefined) return;
    this.#credits = weighted ? new Float64Array(endpoints.length) : undefined;
    if (this.#credits === undefined || credits === undefined) return;
    // Those that stay keep what they have gained: else frequent changes would favour the heaviest.
    for (let index = 0; index < endpoints.length; index++) {
      const old = before.indexOf(endpoints[index] as EndpointState);
      if (old >= 0) this.#credits[index] = credits[old] as number;
    }
  }

  pick(_request: Balanced, avoid: EndpointState | undefined): EndpointState | undefined {
    const endpoints = this.#endpoints;
    const count = endpoints.length;
    if (count === 0) return undefined;
    if (this.#credits !== undefined) return this.#pickWeighted(this.#credits, avoid);
    let index = this.#next < count ? this.#next : 0;
    if (endpoints[index] === avoid) index = index + 1 < count ? index + 1 : 0;
    this.#next = index + 1;
    return endpoints[index];
  }

  #pickWeighted(credits: Float64Array, avoid: EndpointState | undefined): EndpointState | undefined {
    const endpoints = this.#endpoints;
    let total = 0;
    let best = -1;
    for (let index = 0; index < endpoints.length; index++) {
      const endpoint = endpoints[index] as EndpointState;
      if (endpoint === avoid) continue;
      const weight = endpoint.weight * endpoint.grown;
      total += weight;
      credits[index] = (credits[index] as number) + weight;
      if (best < 0 || (credits[index] as number) > (credits[best] as number)) best = index;
    }
    credits[best] = (credits[best] as number) - total;
    return endpoints[best];
  }
}
