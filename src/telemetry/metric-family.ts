/** Metrics on their way from the workers to a scrape. */

/** One sample. */
export interface MetricSample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName?: string;
}

/** A metric with its samples. */
export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly aggregator: 'sum' | 'max';
  readonly values: readonly MetricSample[];
}

export function counter(name: string, help: string, values: readonly MetricSample[]): MetricFamily {
  return { name, help, type: 'counter', aggregator: 'sum', values };
}

/** Counters and histograms of two sets of families added up, sample by sample; gauges say nothing once their worker is gone. */
export function addCounts(one: readonly MetricFamily[], other: readonly MetricFamily[]): MetricFamily[] {
  const sums = new Map<string, { readonly family: MetricFamily; readonly samples: Map<string, MetricSample> }>();
  for (const family of [...one, ...other]) {
    if (family.type === 'gauge') continue;
    const sum = sums.get(family.name) ?? { family, samples: new Map<string, MetricSample>() };
    sums.set(family.name, sum);
    for (const sample of family.values) {
      const key = JSON.stringify([sample.metricName, sample.labels]);
      sum.samples.set(key, { ...sample, value: sample.value + (sum.samples.get(key)?.value ?? 0) });
    }
  }
  return [...sums.values()].map(({ family, samples }) => ({ ...family, values: [...samples.values()] }));
}
