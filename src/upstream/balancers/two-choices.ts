import type { EndpointState } from '../endpoint-state.ts';
import type { Balanced, Balancer, BalancerContext } from './balancer.ts';

/** Where the only one with a full share is avoided, nobody might be taken. */
const MOST_DRAWS = 50;

/**
 * Power of two choices: of two endpoints drawn at random the less loaded one, which is nearly as good as the least loaded
 * of all and does not send everybody to the same one (Mitzenmacher, 2001).
 */
export abstract class TwoChoices implements Balancer {
  readonly #random: () => number;
  #endpoints: readonly EndpointState[] = [];
  #growing = false;

  constructor(context: Pick<BalancerContext, 'random'>) {
    this.#random = context.random;
  }

  /** @param inFlight requests under way there, in slow start as many more as is missing from the endpoint's share */
  protected abstract load(endpoint: EndpointState, inFlight: number): number;

  update(endpoints: readonly EndpointState[]): void {
    this.#endpoints = endpoints;
    this.#growing = endpoints.some(({ grown }) => grown < 1);
  }

  /**
   * In slow start the first of the two is turned down as often as is missing from its share, and the second is not looked at
   * as often: so each gets its part of what it would get, whether it would be preferred or not.
   */
  pick(_request: Balanced, avoid: EndpointState | undefined): EndpointState | undefined {
    const endpoints = this.#endpoints;
    const listed = endpoints.length;
    // Indexes are drawn as if the avoided one were not in the list, and those from its place on are moved by one.
    let hole = avoid === undefined || listed < 2 ? -1 : endpoints.indexOf(avoid);
    const count = hole < 0 ? listed : listed - 1;
    if (hole < 0) hole = listed;
    if (count < 2) return endpoints[hole === 0 && listed > 1 ? 1 : 0];
    let first = this.#draw(count);
    for (let draws = 1; this.#growing && draws < MOST_DRAWS; draws++) {
      if (this.#accepts(endpoints[first < hole ? first : first + 1] as EndpointState)) break;
      first = this.#draw(count);
    }
    let second = this.#draw(count - 1);
    if (second >= first) second++;
    if (first >= hole) first++;
    if (second >= hole) second++;
    const one = endpoints[first] as EndpointState;
    const other = endpoints[second] as EndpointState;
    if (this.#growing && !this.#accepts(other)) return one;
    return this.#load(other) < this.#load(one) ? other : one;
  }

  #draw(count: number): number {
    return Math.floor(this.#random() * count);
  }

  #accepts(endpoint: EndpointState): boolean {
    return endpoint.grown === 1 || this.#random() < endpoint.grown;
  }

  #load(endpoint: EndpointState): number {
    return this.load(endpoint, endpoint.inFlight / endpoint.grown);
  }
}
