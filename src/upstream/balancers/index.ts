import type { LoadBalancer } from '../../snapshot/upstream.ts';
import type { Balancer, BalancerContext, CreateBalancer } from './balancer.ts';
import { ConsistentHash } from './consistent-hash.ts';
import { LeastRequest } from './least-request.ts';
import { PeakEwma } from './peak-ewma.ts';
import { Random } from './random.ts';
import { RoundRobin } from './round-robin.ts';
import { SourceIp } from './source-ip.ts';

/** Every balancer by its name in BackendPolicy. */
export const balancers: Readonly<Record<LoadBalancer['type'], CreateBalancer>> = {
  RoundRobin: (_settings, context) => new RoundRobin(context),
  LeastRequest: (_settings, context) => new LeastRequest(context),
  Random: (_settings, context) => new Random(context),
  PeakEWMA: (_settings, context) => new PeakEwma(context),
  SourceIP: () => new SourceIp(),
  ConsistentHash: (settings, context) => new ConsistentHash(settings.consistentHash ?? { type: 'SourceIP' }, context),
};

export function createBalancer(settings: LoadBalancer, context: BalancerContext): Balancer {
  return balancers[settings.type](settings, context);
}

export function sameLoadBalancer(one: LoadBalancer, other: LoadBalancer): boolean {
  return one.type === other.type && one.consistentHash?.type === other.consistentHash?.type && one.consistentHash?.name === other.consistentHash?.name;
}
