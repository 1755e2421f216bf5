import type { MetricFamily, MetricSample } from '../../telemetry/metric-family.ts';
import type { UpstreamState } from '../upstream-state.ts';
import type { BreakerState } from './circuit-breaker.ts';

const STATES: readonly BreakerState[] = ['closed', 'open', 'half_open'];

/**
 * The state of every circuit breaker, for a scrape. All workers see the same, so that of their gauges the highest is taken, not
 * the sum.
 * @param now `performance.now()`
 */
export function breakerFamilies(upstreams: Iterable<UpstreamState>, now: number): MetricFamily[] {
  const values: MetricSample[] = [];
  for (const { key, breaker } of upstreams) {
    if (breaker === undefined) continue;
    const current = breaker.state(now);
    for (const state of STATES) values.push({ labels: { upstream: key, state }, value: state === current ? 1 : 0 });
  }
  const help = 'Circuit breakers: 1 for the state that it is in, 0 for the others.';
  return [{ name: 'tidegate_circuit_breaker_state', help, type: 'gauge', aggregator: 'max', values }];
}
