/** All of the process's metrics in one scrape: those of every worker merged with the main thread's own. */
import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { WorkerPool } from '../workers/worker-pool.ts';
import type { MetricFamily } from './worker-metrics.ts';

export const CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** State of the configuration, read at each scrape. */
export interface ConfigState {
  /** Objects by kind and state (`valid`, `invalid`). */
  readonly objects: ReadonlyMap<string, { readonly valid: number; readonly invalid: number }>;
  /** Endpoints by upstream. */
  readonly endpoints: ReadonlyMap<string, { readonly ready: number; readonly terminating: number }>;
}

export class Metrics {
  readonly #registry = new Registry();
  readonly #pool: WorkerPool;
  readonly #config: () => ConfigState;
  readonly #objects: Gauge<'kind' | 'state'>;
  readonly #endpoints: Gauge<'upstream' | 'state'>;
  readonly #apply: Histogram;
  readonly #delay: Gauge<'thread'>;
  readonly #restarts: Gauge;
  readonly translations: Histogram;
  readonly sourceErrors: Counter;

  constructor(pool: WorkerPool, config: () => ConfigState, mainDelay: () => number) {
    const registers = [this.#registry];
    this.#pool = pool;
    this.#config = config;
    collectDefaultMetrics({ register: this.#registry });
    this.#objects = new Gauge({ name: 'tidegate_config_objects', help: 'Objects read, by kind and state.', labelNames: ['kind', 'state'], registers });
    this.#endpoints = new Gauge({ name: 'tidegate_upstream_endpoints', help: 'Endpoints of each upstream.', labelNames: ['upstream', 'state'], registers });
    this.#apply = new Histogram({
      name: 'tidegate_snapshot_apply_seconds',
      help: 'Time that a worker took to put a snapshot or an endpoint change in force.',
      buckets: [0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1],
      registers,
    });
    this.translations = new Histogram({
      name: 'tidegate_translate_seconds',
      help: 'Time that a translation took.',
      buckets: [0.001, 0.01, 0.05, 0.1, 0.5, 1, 5],
      registers,
    });
    this.sourceErrors = new Counter({ name: 'tidegate_source_errors_total', help: 'Times that a source could not be read.', registers });
    this.#delay = new Gauge({
      name: 'tidegate_event_loop_delay_seconds',
      help: '99th percentile of the event loop delay of each thread since the last scrape.',
      labelNames: ['thread'],
      registers,
      collect: () => this.#delay.set({ thread: 'main' }, mainDelay()),
    });
    this.#restarts = new Gauge({
      name: 'tidegate_worker_restarts',
      help: 'Workers replaced because they died.',
      registers,
      collect: () => this.#restarts.set(this.#pool.restarts),
    });
  }

  /** @returns the text of a scrape */
  async render(): Promise<string> {
    const { workers, buried, applySeconds } = await this.#pool.scrape();
    for (const seconds of applySeconds) this.#apply.observe(seconds);
    for (const scrape of workers) this.#delay.set({ thread: `worker-${scrape.worker}` }, scrape.eventLoopDelay);
    const { objects, endpoints } = this.#config();
    this.#objects.reset();
    for (const [kind, { valid, invalid }] of objects) {
      this.#objects.set({ kind, state: 'valid' }, valid);
      this.#objects.set({ kind, state: 'invalid' }, invalid);
    }
    this.#endpoints.reset();
    for (const [upstream, { ready, terminating }] of endpoints) {
      this.#endpoints.set({ upstream, state: 'ready' }, ready);
      this.#endpoints.set({ upstream, state: 'terminating' }, terminating);
    }
    const merged = AggregatorRegistry.aggregate([...workers.map((scrape) => scrape.families), ...buried].map(aggregatable));
    return `${await merged.metrics()}\n${await this.#registry.metrics()}`;
  }
}

/** prom-client's types ask for instances of its own metrics; what it reads of them is what a family holds. */
function aggregatable(families: readonly MetricFamily[]): never {
  return families as never;
}
