import type { MetricSample } from './metric-family.ts';

/** Upper bounds of the duration histograms, in seconds. */
export const DURATION_BUCKETS: readonly number[] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export class Histogram {
  /** One more than there are bounds: the last is +Inf. */
  readonly counts = new Float64Array(DURATION_BUCKETS.length + 1);
  sum = 0;

  /** @param seconds the value observed */
  observe(seconds: number): void {
    let bucket = 0;
    while (bucket < DURATION_BUCKETS.length && seconds > (DURATION_BUCKETS[bucket] as number)) bucket++;
    this.counts[bucket] = (this.counts[bucket] as number) + 1;
    this.sum += seconds;
  }
}

export function pushHistogram(samples: MetricSample[], name: string, labels: Record<string, string>, histogram: Histogram): void {
  let total = 0;
  for (let bucket = 0; bucket <= DURATION_BUCKETS.length; bucket++) {
    total += histogram.counts[bucket] as number;
    samples.push({ labels: { ...labels, le: DURATION_BUCKETS[bucket] ?? '+Inf' }, value: total, metricName: `${name}_bucket` });
  }
  samples.push({ labels, value: histogram.sum, metricName: `${name}_sum` }, { labels, value: total, metricName: `${name}_count` });
}
