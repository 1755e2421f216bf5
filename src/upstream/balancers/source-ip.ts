import type { EndpointState } from '../endpoint-state.ts';
import type { Balanced, Balancer } from './balancer.ts';
import { Rendezvous } from './rendezvous.ts';

/** Requests of one client address go to one endpoint, alike in all workers and replicas. */
export class SourceIp implements Balancer {
  readonly #rendezvous = new Rendezvous();

  update(endpoints: readonly EndpointState[]): void {
    this.#rendezvous.update(endpoints);
  }

  pick(request: Balanced, avoid: EndpointState | undefined): EndpointState | undefined {
    return this.#rendezvous.pick(request.clientAddress, avoid);
  }
}
