/** The health thread, as the main thread sees it: started when something is to be checked, replaced when it dies. */
import { Worker } from 'node:worker_threads';
import type { MetricFamily } from '../telemetry/metric-family.ts';
import type { CheckedUpstream } from '../upstream/health/health-monitor.ts';
import type { FromHealthThread, HealthSettings, ToHealthThread } from './messages.ts';
import type { CheckedChange } from './publication.ts';
import type { PoolLog } from './worker-pool.ts';

/** How long a scrape waits before the last known figures are taken. */
const SCRAPE_TIMEOUT = 2000;
/** Until it is replaced; what is ejected or unhealthy stays so meanwhile. */
const RESTART_DELAY = 200;

export class HealthThread {
  readonly #settings: HealthSettings;
  readonly #everything: () => readonly CheckedUpstream[];
  readonly #log: PoolLog;
  #thread: Worker | undefined;
  #stopping = false;
  #scrapes = 0;
  readonly #scrapeReplies = new Map<number, () => void>();
  #lastScrape: readonly MetricFamily[] = [];

  /** @param everything that is to be checked now, for a thread that takes the place of another */
  constructor(settings: HealthSettings, everything: () => readonly CheckedUpstream[], log: PoolLog) {
    this.#settings = settings;
    this.#everything = everything;
    this.#log = log;
  }

  update({ set, removed }: CheckedChange): void {
    if (set.length === 0 && removed.length === 0) return;
    this.#thread ??= this.#start();
    this.#post({ type: 'upstreams', set, removed, keep: false });
  }

  async scrape(): Promise<readonly MetricFamily[]> {
    if (this.#thread !== undefined) {
      const id = ++this.#scrapes;
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#scrapeReplies.set(id, resolve);
        timer = setTimeout(resolve, SCRAPE_TIMEOUT);
        this.#post({ type: 'collectMetrics', id });
      });
      clearTimeout(timer);
      this.#scrapeReplies.delete(id);
    }
    return this.#lastScrape;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#thread?.terminate();
  }

  #start(): Worker {
    const entry = import.meta.url.endsWith('.ts') ? './health.ts' : './health.js';
    const thread = new Worker(new URL(entry, import.meta.url), { workerData: this.#settings, name: 'health' });
    let cause: unknown;
    thread.on('error', (error) => {
      cause = error;
    });
    thread.on('message', (message: FromHealthThread) => this.#receive(message));
    thread.on('exit', (code) => this.#bury(code, cause));
    return thread;
  }

  #receive(message: FromHealthThread): void {
    if (message.type === 'log') {
      this.#log(message.level, message.message, message.fields);
      return;
    }
    this.#lastScrape = message.families;
    this.#scrapeReplies.get(message.id)?.();
  }

  #bury(code: number, cause: unknown): void {
    if (this.#stopping) return;
    this.#log('error', 'health thread died', { code, error: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause ?? '') });
    // Its counters begin anew, as those of a process that was replaced.
    this.#lastScrape = [];
    for (const resolve of this.#scrapeReplies.values()) resolve();
    setTimeout(() => {
      if (this.#stopping) return;
      this.#thread = this.#start();
      this.#post({ type: 'upstreams', set: this.#everything(), removed: [], keep: true });
    }, RESTART_DELAY);
  }

  #post(message: ToHealthThread): void {
    this.#thread?.postMessage(message);
  }
}
