/** All of the process's metrics in one scrape: those of every worker merged with the main thread's own. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { addDocumentMetrics, type DocumentMetrics } from './document-metrics.ts';
import { mergedText } from './merged-text.ts';
import type { MetricFamily, MetricSample } from './metric-family.ts';
import { addNameMetrics, type NameState } from './name-metrics.ts';
import { addSourceMetrics, type SourceState } from './source-metrics.ts';
import { addSpanMetrics } from './span-metrics.ts';
import { addStatusMetrics, type ReportingState } from './status-metrics.ts';
import type { SpanCounts } from './tracing/span-exporter.ts';

export const CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** What a scrape got from one worker. */
export interface WorkerScrape {
  readonly worker: number;
  readonly families: readonly MetricFamily[];
  /** Seconds, 99th percentile since the last scrape. */
  readonly eventLoopDelay: number;
}

/** Where the workers' figures come from. `WorkerPool` is one. */
export interface ScrapedWorkers {
  readonly restarts: number;
  readonly rateLimitOverflows: number;
  /** Stored answers of the pod. */
  readonly cache: { readonly bytes: number; readonly entries: number; readonly evicted: number };
  readonly documentCounts: readonly DocumentMetrics[];
  scrape(): Promise<{
    readonly workers: readonly WorkerScrape[];
    /** What workers had counted that are gone. */
    readonly buried: readonly MetricFamily[];
    /** Times that workers took to put something in force, since the last scrape. */
    readonly applySeconds: readonly number[];
  }>;
}

/** State of the configuration, read at each scrape. */
export interface ConfigState {
  /** Objects by kind and state (`valid`, `invalid`). */
  readonly objects: ReadonlyMap<string, { readonly valid: number; readonly invalid: number }>;
  /** Endpoints by upstream. */
  readonly endpoints: ReadonlyMap<string, EndpointCounts>;
}

/** Those that are terminating count as nothing else. */
export interface EndpointCounts {
  readonly healthy: number;
  readonly unhealthy: number;
  readonly ejected: number;
  readonly terminating: number;
}

export class Metrics {
  readonly #registry = new Registry();
  readonly #pool: ScrapedWorkers;
  readonly #config: () => ConfigState;
  readonly #apply: Histogram;
  readonly #delay: Gauge<'thread'>;
  readonly #restarts: Counter;
  readonly #overflows: Counter;
  readonly #cacheEvictions: Counter;

  /** @param cluster where objects come from one */
  constructor(
    pool: ScrapedWorkers,
    config: () => ConfigState,
    mainDelay: () => number,
    names: () => NameState,
    spans: (() => SpanCounts) | undefined,
    cluster?: { readonly sources: () => readonly SourceState[]; readonly reporting: ReportingState },
  ) {
    const registers = [this.#registry];
    this.#pool = pool;
    this.#config = config;
    addNameMetrics(this.#registry, names);
    addDocumentMetrics(this.#registry, () => pool.documentCounts);
    if (spans !== undefined) addSpanMetrics(this.#registry, spans);
    if (cluster !== undefined) {
      addSourceMetrics(this.#registry, cluster.sources);
      addStatusMetrics(this.#registry, cluster.reporting);
    }
    collectDefaultMetrics({ register: this.#registry });
    this.#apply = new Histogram({
      name: 'tidegate_snapshot_apply_seconds',
      help: 'Time that a worker took to put a snapshot or an endpoint change in force.',
      buckets: [0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1],
      registers,
    });
    this.#delay = new Gauge({
      name: 'tidegate_event_loop_delay_seconds',
      help: '99th percentile of the event loop delay of each thread since the last scrape.',
      labelNames: ['thread'],
      registers,
      collect: () => this.#delay.set({ thread: 'main' }, mainDelay()),
    });
    this.#restarts = new Counter({ name: 'tidegate_worker_restarts_total', help: 'Workers replaced because they died.', registers });
    const { cache } = pool;
    const gauge = (name: string, help: string, read: () => number): void => {
      const made: Gauge = new Gauge({ name, help, registers, collect: () => made.set(read()) });
    };
    gauge('tidegate_cache_bytes', 'Memory that stored answers take up, of what --cache-memory allows.', () => cache.bytes);
    gauge('tidegate_cache_entries', 'Stored answers.', () => cache.entries);
    this.#cacheEvictions = new Counter({ name: 'tidegate_cache_evictions_total', help: 'Stored answers that made room for others.', registers });
    this.#overflows = new Counter({
      name: 'tidegate_rate_limit_overflows_total',
      help: 'Requests judged by a bucket shared with other keys, because the memory for buckets was full.',
      registers,
    });
  }

  /** @returns the text of a scrape */
  async render(): Promise<string> {
    const { workers, buried, applySeconds } = await this.#pool.scrape();
    for (const seconds of applySeconds) this.#apply.observe(seconds);
    for (const scrape of workers) this.#delay.set({ thread: `worker-${scrape.worker}` }, scrape.eventLoopDelay);
    setTotal(this.#restarts, this.#pool.restarts);
    setTotal(this.#overflows, this.#pool.rateLimitOverflows);
    setTotal(this.#cacheEvictions, this.#pool.cache.evicted);
    const sets = [...workers.map((scrape) => scrape.families), buried, configFamilies(this.#config())];
    return `${mergedText(sets)}\n\n${await this.#registry.metrics()}`;
  }
}

function configFamilies({ objects, endpoints }: ConfigState): MetricFamily[] {
  const gauge = (name: string, help: string, values: readonly MetricSample[]): MetricFamily => ({ name, help, type: 'gauge', aggregator: 'sum', values });
  const ofObjects: MetricSample[] = [];
  for (const [kind, counts] of objects) {
    for (const state of ['valid', 'invalid'] as const) ofObjects.push({ labels: { kind, state }, value: counts[state] });
  }
  const ofEndpoints: MetricSample[] = [];
  for (const [upstream, counts] of endpoints) {
    for (const state of ENDPOINT_STATES) ofEndpoints.push({ labels: { upstream, state }, value: counts[state] });
  }
  return [
    gauge('tidegate_config_objects', 'Objects read, by kind and state.', ofObjects),
    gauge('tidegate_upstream_endpoints', 'Endpoints of each upstream, by state.', ofEndpoints),
  ];
}

const ENDPOINT_STATES = ['healthy', 'unhealthy', 'ejected', 'terminating'] as const;

/** For a counter that somebody else keeps. */
function setTotal(counter: Counter, total: number): void {
  counter.reset();
  counter.inc(total);
}
