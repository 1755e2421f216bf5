/** The pod's documents, on the main thread: fetched when a snapshot names them, again before they are stale, and published to the workers. */
import type { DocumentKind, DocumentRequest } from '../snapshot/documents.ts';
import { documentKey } from '../snapshot/documents.ts';
import { type DocumentFailure, type DocumentState, sharedNow } from './document-state.ts';
import { type FetchAnswer, FetchError, type FetchRequest } from './fetcher.ts';

/** Of the time that a document is fresh, what goes by before it is fetched again, so that a slow server makes nothing stale. */
const REFRESH_AT = 0.8;
/** Give or take that share, so that replicas do not ask together. */
const JITTER = 0.05;
/** After a failure; doubled with each further one (ms). */
const FIRST_RETRY = 1000;
const LONGEST_RETRY = 15_000;
/** What workers miss in a document is fetched at most that often, whatever tokens name (ms). */
export const REFETCH_INTERVAL = 30_000;
/** How long a document is kept that no snapshot names any more: workers may still be on their way to the newest one (ms). */
const KEPT_UNUSED = 60_000;
const LONGEST_TIMER = 2 ** 31 - 1;

export type DocumentLog = (level: 'info' | 'warn', message: string, fields: Readonly<Record<string, unknown>>) => void;

export interface DocumentFetcher {
  fetch(request: FetchRequest): Promise<FetchAnswer>;
}

export interface PodDocumentsOptions {
  readonly fetcher: DocumentFetcher;
  readonly log: DocumentLog;
  /** To all workers: after each try, whatever came of it. */
  publish(state: DocumentState): void;
  /** To all workers: nobody needs it any more. */
  forget(key: string): void;
  /** From 0 to 1, for jitter; chance where it is not given. */
  readonly random?: () => number;
  /** Milliseconds; `sharedNow` where it is not given. */
  readonly now?: () => number;
}

/** For metrics. */
export interface DocumentCounts {
  readonly kind: DocumentKind;
  readonly fresh: number;
  /** Past the time that they are fresh for; they serve on for a while. */
  readonly stale: number;
  readonly missing: number;
  /** Tries so far, by result: `ok`, or why they failed. */
  readonly fetches: ReadonlyMap<string, number>;
}

interface Kept {
  request: DocumentRequest;
  state: DocumentState;
  isFetching: boolean;
  /** Failures in a row. */
  failures: number;
  /** When workers' asking last made a try begin. */
  refetchedAt: number;
  timer: NodeJS.Timeout | undefined;
  /** Runs while no snapshot names it. */
  farewell: NodeJS.Timeout | undefined;
}

export class PodDocuments {
  readonly #options: PodDocumentsOptions;
  readonly #kept = new Map<string, Kept>();
  readonly #fetches = new Map<DocumentKind, Map<string, number>>();
  readonly #closed = new AbortController();
  readonly #now: () => number;

  constructor(options: PodDocumentsOptions) {
    this.#options = options;
    this.#now = options.now ?? sharedNow;
  }

  /** @param requests of the newest snapshot; several may name the same document */
  use(requests: readonly DocumentRequest[]): void {
    const wanted = new Map<string, DocumentRequest>();
    for (const request of requests) {
      const key = documentKey(request);
      const other = wanted.get(key);
      if (other === undefined || request.cacheFor < other.cacheFor) wanted.set(key, request);
    }
    for (const [key, kept] of this.#kept) if (!wanted.has(key)) kept.farewell ??= setTimeout(() => this.#drop(key, kept), KEPT_UNUSED).unref();
    for (const [key, request] of wanted) this.#want(key, request);
  }

  /** As far as anything is known of them, for a worker that starts. */
  get states(): readonly DocumentState[] {
    return [...this.#kept.values()].map(({ state }) => state).filter(isTried);
  }

  /** A worker misses a key in it. It gets the outcome of a new try, or hears at once that it is too early for one. */
  refetch(key: string): void {
    const kept = this.#kept.get(key);
    if (kept === undefined || kept.isFetching) return;
    const now = this.#now();
    if (now < kept.state.refetchFrom) {
      if (isTried(kept.state)) this.#options.publish(kept.state);
      return;
    }
    kept.refetchedAt = now;
    this.#fetch(kept);
  }

  get counts(): readonly DocumentCounts[] {
    const kinds: readonly DocumentKind[] = ['jwks', 'discovery'];
    const now = this.#now();
    return kinds.map((kind) => {
      const all = [...this.#kept.values()].filter(({ request, farewell }) => request.kind === kind && farewell === undefined);
      const missing = all.filter(({ state }) => state.revision === 0).length;
      const fresh = all.filter(({ request, state }) => state.revision !== 0 && now < state.fetchedAt + request.cacheFor).length;
      return { kind, fresh, stale: all.length - missing - fresh, missing, fetches: this.#fetches.get(kind) ?? new Map() };
    });
  }

  /** Nothing is fetched or published after it. */
  close(): void {
    this.#closed.abort();
    for (const [key, kept] of this.#kept) this.#forget(key, kept);
  }

  #want(key: string, request: DocumentRequest): void {
    const known = this.#kept.get(key);
    if (known !== undefined) {
      clearTimeout(known.farewell);
      known.farewell = undefined;
      const isSooner = request.cacheFor < known.request.cacheFor;
      known.request = request;
      if (isSooner && !known.isFetching && known.failures === 0) this.#plan(known);
      return;
    }
    const kept: Kept = {
      request,
      state: { key, text: undefined, revision: 0, fetchedAt: 0, failure: undefined, refetchFrom: Number.NEGATIVE_INFINITY },
      isFetching: false,
      failures: 0,
      refetchedAt: Number.NEGATIVE_INFINITY,
      timer: undefined,
      farewell: undefined,
    };
    this.#kept.set(key, kept);
    this.#fetch(kept);
  }

  #drop(key: string, kept: Kept): void {
    this.#forget(key, kept);
    this.#options.forget(key);
  }

  #forget(key: string, kept: Kept): void {
    clearTimeout(kept.timer);
    clearTimeout(kept.farewell);
    if (this.#kept.get(key) === kept) this.#kept.delete(key);
  }

  /** Never rejects. */
  #fetch(kept: Kept): void {
    clearTimeout(kept.timer);
    kept.isFetching = true;
    const begunAt = this.#now();
    void this.#read(kept.request).then((outcome) => {
      kept.isFetching = false;
      if (this.#closed.signal.aborted || this.#kept.get(kept.state.key) !== kept) return;
      this.#take(kept, begunAt, outcome);
    });
  }

  #take(kept: Kept, begunAt: number, { text, failure, detail }: Outcome): void {
    const { request, state: before } = kept;
    const refetchFrom = kept.refetchedAt + REFETCH_INTERVAL;
    const { kind } = request;
    const fetches = this.#fetches.get(kind) ?? new Map<string, number>();
    this.#fetches.set(kind, fetches.set(failure ?? 'ok', (fetches.get(failure ?? 'ok') ?? 0) + 1));
    // A query may hold a secret; the log needs none to say which document it is.
    const told = { kind, url: request.url.replace(/[?#].*$/s, '') };
    if (failure !== undefined) {
      kept.failures++;
      kept.state = { ...before, failure, refetchFrom };
      // Once for each new trouble.
      if (before.failure !== failure)
        this.#options.log('warn', 'a document can not be fetched', { ...told, reason: failure, detail, inForce: before.revision > 0 });
    } else {
      kept.failures = 0;
      const revision = text === before.text ? before.revision : before.revision + 1;
      kept.state = { key: before.key, text, revision, fetchedAt: begunAt, failure: undefined, refetchFrom };
      if (before.failure !== undefined) this.#options.log('info', 'a document can be fetched again', told);
    }
    this.#plan(kept);
    this.#options.publish(kept.state);
  }

  #plan(kept: Kept): void {
    clearTimeout(kept.timer);
    const { random = Math.random } = this.#options;
    const { failures, request, state } = kept;
    const around = 1 + JITTER * (2 * random() - 1);
    const wait =
      failures > 0
        ? Math.min(FIRST_RETRY * 2 ** (failures - 1), LONGEST_RETRY) * around
        : Math.max(FIRST_RETRY, state.fetchedAt + request.cacheFor * REFRESH_AT * around - this.#now());
    kept.timer = setTimeout(() => this.#fetch(kept), Math.min(wait, LONGEST_TIMER)).unref();
  }

  async #read({ kind, url }: DocumentRequest): Promise<Outcome> {
    try {
      const headers = { accept: kind === 'jwks' ? 'application/jwk-set+json, application/json' : 'application/json' };
      const { status, headers: fields, body } = await this.#options.fetcher.fetch({ url, headers, signal: this.#closed.signal });
      if (status >= 300 && status < 400) return { failure: 'redirected', detail: `status ${status}; name the URL where it really is` };
      if (status !== 200) return { failure: 'bad_status', detail: `status ${status}` };
      if ((fields['content-encoding'] ?? 'identity') !== 'identity') return { failure: 'bad_content', detail: 'is encoded, which nobody asked for' };
      return judge(kind, body);
    } catch (error) {
      if (error instanceof FetchError) return { failure: error.reason, detail: error.message };
      return { failure: 'broken', detail: String(error) };
    }
  }
}

type Outcome =
  | { readonly text: string; readonly failure?: undefined; readonly detail?: undefined }
  | { readonly text?: undefined; readonly failure: DocumentFailure; readonly detail: string };

/** Of a document that is none, the last good one stays in force. */
function judge(kind: DocumentKind, body: Buffer): Outcome {
  let text: string;
  let content: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
    content = JSON.parse(text);
  } catch {
    return { failure: 'bad_content', detail: 'is no JSON' };
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) return { failure: 'bad_content', detail: 'is no JSON object' };
  const isGood = kind === 'jwks' ? Array.isArray((content as { keys?: unknown }).keys) : typeof (content as { issuer?: unknown }).issuer === 'string';
  return isGood ? { text } : { failure: 'bad_content', detail: kind === 'jwks' ? 'has no list "keys"' : 'has no text "issuer"' };
}

function isTried({ revision, failure }: DocumentState): boolean {
  return revision > 0 || failure !== undefined;
}
