import { Histogram, pushHistogram } from './histogram.ts';
import { counter, type MetricFamily } from './metric-family.ts';

/** What a worker counts of the store of global limits. The labels are fixed words. */
export class LimitStoreMetrics {
  readonly #duration = new Histogram();
  readonly #failures = new Map<string, number>();
  readonly #fallbacks = new Map<string, number>();

  /** A call that was answered, in time or not. */
  observe(seconds: number): void {
    this.#duration.observe(seconds);
  }

  /** Requests that were asked about without an answer. */
  countFailure(reason: string, requests: number): void {
    this.#failures.set(reason, (this.#failures.get(reason) ?? 0) + requests);
  }

  /** A request that was decided without the store. */
  countFallback(action: string): void {
    this.#fallbacks.set(action, (this.#fallbacks.get(action) ?? 0) + 1);
  }

  /** @param isUp whether this worker asks the store */
  families(isUp: boolean): MetricFamily[] {
    const seconds = 'tidegate_rate_limit_store_seconds';
    const durations: MetricFamily['values'][number][] = [];
    pushHistogram(durations, seconds, {}, this.#duration);
    const by = (label: string, counts: ReadonlyMap<string, number>) => [...counts].map(([word, value]) => ({ labels: { [label]: word }, value }));
    return [
      {
        name: seconds,
        help: 'Calls to the store of global rate limits, from the first request of a call to its answer.',
        type: 'histogram',
        aggregator: 'sum',
        values: durations,
      },
      counter('tidegate_rate_limit_store_failures_total', 'Requests that got no answer of the store, by reason.', by('reason', this.#failures)),
      counter('tidegate_rate_limit_store_fallbacks_total', 'Requests decided without the store, by what was done.', by('action', this.#fallbacks)),
      {
        name: 'tidegate_rate_limit_store_workers',
        help: 'Workers, by whether the store is up for them.',
        type: 'gauge',
        aggregator: 'sum',
        values: (['up', 'down'] as const).map((state) => ({ labels: { state }, value: (state === 'up') === isUp ? 1 : 0 })),
      },
    ];
  }
}
