import { POLICY_COUNTERS, type PolicyCounter } from '../exchange/policy-counters.ts';
import type { MetricFamily, MetricSample } from './metric-family.ts';

interface Series extends PolicyCounter {
  readonly labels: Readonly<Record<string, string>>;
}

/** The counters of one worker's policies. */
export class PolicyCounters {
  readonly #series = new Map<string, Map<string, Series>>();

  /** The same one for the same name and labels, also over reloads. */
  counter(name: keyof typeof POLICY_COUNTERS, labels: Readonly<Record<string, string>>): PolicyCounter {
    let family = this.#series.get(name);
    if (family === undefined) {
      family = new Map();
      this.#series.set(name, family);
    }
    const key = JSON.stringify(labels);
    let series = family.get(key);
    if (series === undefined) {
      series = { labels, value: 0 };
      family.set(key, series);
    }
    return series;
  }

  families(): MetricFamily[] {
    return Object.entries(POLICY_COUNTERS).map(([name, help]) => {
      const values: MetricSample[] = [...(this.#series.get(name)?.values() ?? [])].filter(({ value }) => value > 0);
      return { name, help, type: 'counter', aggregator: 'sum', values };
    });
  }
}
