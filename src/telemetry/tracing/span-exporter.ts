/** Sends spans to an OpenTelemetry collector: OTLP over HTTP in protobuf, in batches, with as many tries as a busy collector asks for. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { Span } from './span.ts';

/** Spans that wait; beyond them the newest are dropped. */
const MOST_WAITING = 8192;
const BATCH = 512;
/** Milliseconds. */
const TIMEOUT = 10_000;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;
/** Answers after which the same spans are sent again (OTLP specification, "Retryable Response Codes"). */
const BUSY: ReadonlySet<number> = new Set([429, 502, 503, 504]);

export interface SpanCounts {
  readonly exported: number;
  /** By reason: `queue_full`, `refused`, `stopped`. */
  readonly dropped: ReadonlyMap<string, number>;
}

export interface SpanExporterOptions {
  /** Of the collector, such as `http://collector:4318`; spans go to its `/v1/traces`, unless it names a path itself. */
  readonly endpoint: string;
  readonly encode: (spans: readonly Span[]) => Uint8Array;
  readonly log: (level: 'info' | 'warn', message: string, fields: Readonly<Record<string, unknown>>) => void;
  /** From 0 to 1, for jitter. */
  readonly random?: () => number;
  /** Milliseconds before the first other try. */
  readonly firstWait?: number;
}

export class SpanExporter {
  readonly #options: SpanExporterOptions;
  readonly #url: string;
  readonly #agent = new Agent({ connect: { timeout: TIMEOUT }, headersTimeout: TIMEOUT, bodyTimeout: TIMEOUT, connections: 1 });
  readonly #stop = new AbortController();
  readonly #dropped = new Map<string, number>();
  #waiting: Span[] = [];
  #exported = 0;
  #running: Promise<void> | undefined;
  #isTroubled = false;
  #isClosing = false;

  constructor(options: SpanExporterOptions) {
    this.#options = options;
    const url = new URL(options.endpoint);
    if (url.pathname === '/' || url.pathname === '') url.pathname = '/v1/traces';
    this.#url = url.href;
  }

  get counts(): SpanCounts {
    return { exported: this.#exported, dropped: this.#dropped };
  }

  add(spans: readonly Span[]): void {
    const room = Math.max(0, MOST_WAITING - this.#waiting.length);
    if (spans.length > room) this.#drop('queue_full', spans.length - room);
    this.#waiting.push(...(spans.length > room ? spans.slice(0, room) : spans));
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Sends what waits, for as long at most (ms); the rest is dropped and counted. */
  async close(within: number): Promise<void> {
    this.#isClosing = true;
    const limit = setTimeout(() => this.#stop.abort(), within);
    await this.#running;
    clearTimeout(limit);
    if (this.#waiting.length > 0) this.#drop('stopped', this.#waiting.length);
    this.#waiting = [];
    await this.#agent.close().catch(() => {});
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#stop.signal.aborted) {
      const batch = this.#waiting.splice(0, BATCH);
      const result = await this.#send(this.#options.encode(batch));
      if (result === 'sent') this.#exported += batch.length;
      else this.#drop(result, batch.length);
    }
  }

  async #send(body: Uint8Array): Promise<'sent' | 'refused' | 'stopped'> {
    const { random = Math.random, firstWait = FIRST_WAIT } = this.#options;
    for (let wait = firstWait; ; wait = Math.min(LONGEST_WAIT, wait * 2)) {
      const outcome = await this.#try(body);
      if (outcome === 'sent' || outcome === 'refused') return outcome;
      if (this.#isClosing || this.#stop.signal.aborted) return 'stopped';
      await sleep(Math.max(wait * (0.5 + random() / 2), outcome), undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  /** @returns how long the collector asks to be left alone (ms), where there is to be another try */
  async #try(body: Uint8Array): Promise<'sent' | 'refused' | number> {
    try {
      const { signal } = this.#stop;
      const headers = { 'content-type': 'application/x-protobuf' };
      const answer = await request(this.#url, { method: 'POST', headers, body, dispatcher: this.#agent, signal });
      await answer.body.dump();
      const status = answer.statusCode;
      if (status >= 200 && status < 300) {
        this.#recovered();
        return 'sent';
      }
      this.#troubled(`status ${status}`);
      if (!BUSY.has(status)) return 'refused';
      return Math.min(LONGEST_WAIT, (Number(answer.headers['retry-after']) || 0) * 1000);
    } catch (error) {
      this.#troubled((error as NodeJS.ErrnoException).code ?? String(error));
      return 0;
    }
  }

  #troubled(reason: string): void {
    if (!this.#isTroubled) this.#options.log('warn', 'spans can not be exported', { endpoint: this.#url, reason });
    this.#isTroubled = true;
  }

  #recovered(): void {
    if (this.#isTroubled) this.#options.log('info', 'spans are exported again', { endpoint: this.#url });
    this.#isTroubled = false;
  }

  #drop(reason: string, count: number): void {
    this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + count);
  }
}
