import type { EndpointState } from '../endpoint-state.ts';
import type { Balanced, Balancer, BalancerContext } from './balancer.ts';

/**
 * Power of two choices: of two endpoints drawn at random the less loaded one, which is nearly as good as the least loaded
 * of all and does not send everybody to the same one (Mitzenmacher, 2001).
 */
export abstract class TwoChoices implements Balancer {
  readonly #random: () => number;
  #endpoints: readonly EndpointState[] = [];

  constructor(context: Pick<BalancerContext, 'random'>) {
    this.#random = context.random;
  }

  protected abstract load(endpoint: EndpointState): number;

  update(endpoints: readonly EndpointState[]): void {
    this.#endpoints = endpoints;
  }

  pick(_request: Balanced, avoid: EndpointState | undefined): EndpointState | undefined {
    const endpoints = this.#endpoints;
    const listed = endpoints.length;
    // Indexes are drawn as if the avoided one were not in the list, and those from its place on are moved by one.
    let hole = avoid === undefined || listed < 2 ? -1 : endpoints.indexOf(avoid);
    const count = hole < 0 ? listed : listed - 1;
    if (hole < 0) hole = listed;
    if (count < 2) return endpoints[hole === 0 && listed > 1 ? 1 : 0];
    let first = Math.floor(this.#random() * count);
    let second = Math.floor(this.#random() * (count - 1));
    if (second >= first) second++;
    if (first >= hole) first++;
    if (second >= hole) second++;
    const one = endpoints[first] as EndpointState;
    const other = endpoints[second] as EndpointState;
    return this.load(other) < this.load(one) ? other : one;
  }
}
