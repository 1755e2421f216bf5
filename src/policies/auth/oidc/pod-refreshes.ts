/** The pod's refreshes of sessions, on the main thread: of all workers that come with one refresh token, one asks the provider. */
import type { ProviderFailure, Tokens } from './provider.ts';

/**
 * How long what a refresh has brought is given again to who comes with the old refresh token: a browser's other requests, which
 * were on their way already. Many providers take a refresh token once only (RFC 9700 section 4.14.2). Milliseconds.
 */
const GRACE = 10_000;
const MOST_KNOWN = 10_000;

/** What came of a refresh. It crosses by structured clone, and never leaves the process. */
export type RefreshOutcome = { readonly tokens: Tokens } | { readonly failure: ProviderFailure; readonly message: string };

interface Refresh {
  /** The worker that asks the provider. */
  readonly asker: number;
  /** Workers that wait for what comes of it. */
  readonly waiting: Set<number>;
  /** Undefined as long as it is under way. */
  readonly known: { readonly outcome: RefreshOutcome; readonly until: number } | undefined;
}

/**
 * Tells a worker what came of a refresh that it has claimed.
 * @param outcome undefined: it is for this worker to ask the provider, and to `settle`
 */
export type TellRefresh = (worker: number, key: string, outcome: RefreshOutcome | undefined) => void;

export class PodRefreshes {
  readonly #refreshes = new Map<string, Refresh>();
  readonly #tell: TellRefresh;
  readonly #now: () => number;

  /** @param now milliseconds, monotonic */
  constructor(tell: TellRefresh, now: () => number = () => performance.now()) {
    this.#tell = tell;
    this.#now = now;
  }

  /** A worker needs new tokens. It is told once, now or later. @param key of the provider and the refresh token */
  claim(worker: number, key: string): void {
    this.#forget(this.#now());
    const refresh = this.#refreshes.get(key);
    if (refresh === undefined) this.#begin(key, worker, new Set());
    else if (refresh.known === undefined) refresh.waiting.add(worker);
    else this.#tell(worker, key, refresh.known.outcome);
  }

  /** What the worker that was to ask has come to. A failure is nothing to give again. */
  settle(worker: number, key: string, outcome: RefreshOutcome): void {
    const refresh = this.#refreshes.get(key);
    if (refresh === undefined || refresh.known !== undefined || refresh.asker !== worker) return;
    this.#refreshes.delete(key);
    // Behind the others: those whose time is over first come first.
    if ('tokens' in outcome) this.#refreshes.set(key, { asker: worker, waiting: new Set(), known: { outcome, until: this.#now() + GRACE } });
    for (const one of refresh.waiting) this.#tell(one, key, outcome);
  }

  /** That worker died: what it was to ask, another one that waits does. */
  workerGone(worker: number): void {
    for (const [key, refresh] of [...this.#refreshes]) {
      refresh.waiting.delete(worker);
      if (refresh.known !== undefined || refresh.asker !== worker) continue;
      this.#refreshes.delete(key);
      const [next] = refresh.waiting;
      if (next === undefined) continue;
      refresh.waiting.delete(next);
      this.#begin(key, next, refresh.waiting);
    }
  }

  #begin(key: string, asker: number, waiting: Set<number>): void {
    this.#refreshes.set(key, { asker, waiting, known: undefined });
    this.#tell(asker, key, undefined);
  }

  /** Those whose time is over, and more where there are too many. What is under way stays. */
  #forget(now: number): void {
    for (const [key, { known }] of this.#refreshes) {
      if (known === undefined) continue;
      if (known.until > now && this.#refreshes.size < MOST_KNOWN) return;
      this.#refreshes.delete(key);
    }
  }
}
