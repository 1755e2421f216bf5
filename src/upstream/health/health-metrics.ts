import type { MetricFamily } from '../../telemetry/metric-family.ts';
import type { HealthCounts } from './health-monitor.ts';

/** What a scrape is told of health checks. */
export function healthFamilies(counts: readonly HealthCounts[]): MetricFamily[] {
  return [
    {
      name: 'tidegate_health_checks_total',
      help: 'Active health checks, by upstream and result.',
      type: 'counter',
      aggregator: 'sum',
      values: counts.flatMap(({ upstream, passed, failed }) => [
        { labels: { upstream, result: 'passed' }, value: passed },
        { labels: { upstream, result: 'failed' }, value: failed },
      ]),
    },
    {
      name: 'tidegate_endpoint_ejections_total',
      help: 'Endpoints taken out of use because requests failed there, by upstream.',
      type: 'counter',
      aggregator: 'sum',
      values: counts.map(({ upstream, ejections }) => ({ labels: { upstream }, value: ejections })),
    },
  ];
}
