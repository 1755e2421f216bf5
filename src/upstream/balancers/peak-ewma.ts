import type { EndpointState } from '../endpoint-state.ts';
import { PeakLatency } from '../peak-latency.ts';
import type { BalancerContext } from './balancer.ts';
import { TwoChoices } from './two-choices.ts';

/**
 * Of two, the one where a request is likely to be answered first: latency as this worker has seen it, times the requests
 * that the whole pod has under way there.
 */
export class PeakEwma extends TwoChoices {
  readonly #now: () => number;

  constructor(context: BalancerContext) {
    super(context);
    this.#now = context.now;
  }

  override update(endpoints: readonly EndpointState[]): void {
    super.update(endpoints);
    for (const endpoint of endpoints) endpoint.latency ??= new PeakLatency(this.#now);
  }

  protected override load(endpoint: EndpointState, inFlight: number): number {
    return (endpoint.latency as PeakLatency).load(inFlight);
  }
}
