import type { LoadBalancer } from '../../snapshot/upstream.ts';
import type { EndpointState } from '../endpoint-state.ts';
import type { Balanced, Balancer, BalancerContext } from './balancer.ts';
import { Rendezvous } from './rendezvous.ts';
import { RoundRobin } from './round-robin.ts';

type HashKey = NonNullable<LoadBalancer['consistentHash']>;

/**
 * Requests with the same key go to one endpoint, alike in all workers and replicas. Requests without the key (no such
 * header, or an empty one) are spread in turn, as nginx does: one endpoint for all of them would be overrun.
 */
export class ConsistentHash implements Balancer {
  readonly #key: HashKey;
  readonly #rendezvous = new Rendezvous();
  readonly #keyless: RoundRobin;

  constructor(key: HashKey, context: Pick<BalancerContext, 'random'>) {
    this.#key = key;
    this.#keyless = new RoundRobin(context);
  }

  update(endpoints: readonly EndpointState[]): void {
    this.#rendezvous.update(endpoints);
    this.#keyless.update(endpoints);
  }

  pick(request: Balanced, avoid: EndpointState | undefined): EndpointState | undefined {
    const value = this.#value(request);
    return value === undefined || value === '' ? this.#keyless.pick(request, avoid) : this.#rendezvous.pick(value, avoid);
  }

  #value(request: Balanced): string | undefined {
    const { type, name = '' } = this.#key;
    switch (type) {
      case 'SourceIP':
        return request.clientAddress;
      case 'Header':
        return request.requestFields.get(name);
      case 'Cookie':
        return request.cookie(name);
      case 'QueryParam':
        return request.queryParam(name);
      case 'Path':
        return request.path;
    }
  }
}
