/**
 * One collection of an API server, kept up to date: a list, then a watch from where the list ended, for as long as it takes.
 * Whatever fails is tried again; what was read stays until the server says otherwise.
 *
 * https://kubernetes.io/docs/reference/using-api/api-concepts/ (efficient detection of changes, watch bookmarks, streaming lists)
 */
import type { ApiClient, Query, WatchEvent } from './api-client.ts';
import { Backoff, classOf } from './backoff.ts';
import { ApiError, ConnectionError, reasonOf } from './errors.ts';

export interface RawMetadata {
  readonly name?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An object as the API server sends it. */
export interface RawObject {
  readonly metadata?: RawMetadata;
}

/** Where objects go. */
export interface Sink {
  put(object: RawObject): void;
  remove(object: RawObject): void;
  /** A list is complete: what it did not hold is gone. @param keys as `keyOf` gives them */
  retain(keys: ReadonlySet<string>): void;
}

/** Counted since the start. */
export interface ReflectorCounts {
  readonly lists: number;
  readonly watches: number;
  readonly events: number;
  /** By reason. */
  readonly errors: ReadonlyMap<string, number>;
  /** Milliseconds on `now`'s clock; undefined before the first. */
  readonly lastSync: number | undefined;
  /** Of the last thing heard: an event, a bookmark, a list. */
  readonly lastHeard: number | undefined;
}

/** All of them as one: of times, the last sync of any, and the last thing heard by the one that heard least. */
export function summedCounts(all: readonly ReflectorCounts[]): ReflectorCounts {
  const errors = new Map<string, number>();
  for (const one of all) for (const [reason, count] of one.errors) errors.set(reason, (errors.get(reason) ?? 0) + count);
  const total = (count: (one: ReflectorCounts) => number): number => all.reduce((sum, one) => sum + count(one), 0);
  const syncs = all.flatMap(({ lastSync }) => (lastSync === undefined ? [] : [lastSync]));
  const heard = all.flatMap(({ lastHeard }) => (lastHeard === undefined ? [] : [lastHeard]));
  return {
    lists: total(({ lists }) => lists),
    watches: total(({ watches }) => watches),
    events: total(({ events }) => events),
    errors,
    lastSync: syncs.length === 0 ? undefined : Math.max(...syncs),
    lastHeard: heard.length === 0 ? undefined : Math.min(...heard),
  };
}

export interface Timings {
  /** A watch without a byte for this long (ms) is begun anew. A server sends a bookmark each minute at the latest. */
  readonly silence: number;
  /**
   * A watch is ended by the server after this long (s), and up to 1.4 times of it: before `silence`, which a resource that nobody
   * writes may keep for a while. Only a new watch finds out that a permission is gone.
   */
  readonly watchSeconds: number;
  /** How long (ms) a 403 or a 404 may be that of a server which has only just started. */
  readonly grace: number;
  /** How long (ms) a collection that was there must be gone until its objects are. */
  readonly vanish: number;
  /** Ends of watches that come sooner (ms) than this wait before the next; one that lasts as long works. */
  readonly shortWatch: number;
}

const TIMINGS: Timings = { silence: 90_000, watchSeconds: 60, grace: 3000, vanish: 30_000, shortWatch: 1000 };
const PAGE = 500;
/** https://kubernetes.io/docs/reference/using-api/api-concepts/ (metadata-only fetches) */
const METADATA_FORM = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';
const METADATA_LIST_FORM = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';
/** A page of a big list on a busy server. */
const LIST_TIMEOUT = 60_000;
const END_OF_LIST = 'k8s.io/initial-events-end';

/** 'denied' and 'absent' are settled: nothing is known, and nothing is to be expected for now. */
export type ReflectorState = 'waiting' | 'synced' | 'denied' | 'absent';

export interface ReflectorOptions {
  readonly client: Pick<ApiClient, 'request' | 'stream'>;
  /** Paths of the collection in the versions that it may be served in, the newest first. */
  readonly paths: readonly string[];
  /** Selectors. */
  readonly query?: Query;
  /** Objects come with nothing but their metadata. */
  readonly metadataOnly?: true;
  readonly sink: Sink;
  /** Called when `state` changed, after each failure, and after what succeeds when something failed before. */
  readonly onChange?: (failure?: unknown) => void;
  readonly timings?: Partial<Timings>;
  /** Milliseconds on a clock that only goes forward. */
  readonly now?: () => number;
  /** From 0 to 1. */
  readonly random?: () => number;
}

export function keyOf({ metadata }: RawObject): string {
  const name = metadata?.name ?? '';
  return metadata?.namespace === undefined || metadata.namespace === '' ? name : `${metadata.namespace}/${name}`;
}

export class Reflector {
  readonly #options: ReflectorOptions;
  readonly #timings: Timings;
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #backoff: Backoff;
  readonly #stop = new AbortController();
  #state: ReflectorState = 'waiting';
  #hasSynced = false;
  #failure: unknown;
  /** Of `paths`. */
  #version = 0;
  #streams = true;
  /** Where the next watch begins; undefined: a list comes first. */
  #resourceVersion: string | undefined;
  /** Since when (ms) it has been 403, or 404 in every version. */
  #refusedSince: { readonly failure: 'denied' | 'absent'; readonly at: number } | undefined;
  #lists = 0;
  #watches = 0;
  #events = 0;
  readonly #errors = new Map<string, number>();
  #lastSync: number | undefined;
  #lastHeard: number | undefined;
  #running: Promise<void> | undefined;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#timings = { ...TIMINGS, ...options.timings };
    this.#now = options.now ?? (() => performance.now());
    this.#random = options.random ?? Math.random;
    this.#backoff = new Backoff(this.#random);
  }

  get state(): ReflectorState {
    return this.#state;
  }

  /** A list was complete at least once. */
  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** Why it is not up to date; undefined while it is. */
  get failure(): unknown {
    return this.#failure;
  }

  get counts(): ReflectorCounts {
    return {
      lists: this.#lists,
      watches: this.#watches,
      events: this.#events,
      errors: this.#errors,
      lastSync: this.#lastSync,
      lastHeard: this.#lastHeard,
    };
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Nothing reaches the sink after it. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      let wait: number;
      try {
        const began = this.#now();
        const isWatch = this.#resourceVersion !== undefined;
        if (isWatch || this.#streams) await this.#stream();
        else await this.#list();
        if (!isWatch || this.#now() - began >= this.#timings.shortWatch) continue;
        wait = this.#backoff.next('short');
      } catch (error) {
        if (signal.aborted) return;
        wait = this.#fail(error);
      }
      if (wait > 0) await pause(wait, signal);
    }
  }

  /** A list that ends as a watch where there is nothing to go on from; else a watch. Returns when the server ends it. */
  async #stream(): Promise<void> {
    const { client, query } = this.#options;
    const listed = this.#resourceVersion === undefined ? new Set<string>() : undefined;
    const begin = listed === undefined ? { resourceVersion: this.#resourceVersion } : { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' };
    const timeoutSeconds = Math.ceil(this.#timings.watchSeconds * (1 + 0.4 * this.#random()));
    let settled: NodeJS.Timeout | undefined;
    // A server that has only just started sends nothing at all of a resource that nobody writes, not even bookmarks. One that
    // does not know the version any more says so at once.
    const onOpen = (): void => {
      settled = setTimeout(() => this.#recovered(), this.#timings.shortWatch);
    };
    const events = client.stream({
      path: this.#path,
      query: { ...query, ...begin, watch: true, allowWatchBookmarks: true, timeoutSeconds },
      signal: this.#stop.signal,
      idleTimeout: this.#timings.silence,
      ...(this.#options.metadataOnly ? { accept: METADATA_FORM } : {}),
      ...(listed === undefined ? { onOpen } : {}),
    });
    if (listed === undefined) this.#watches++;
    else this.#lists++;
    let list = listed;
    try {
      for await (const event of events) {
        if (this.#stop.signal.aborted) return;
        list = this.#take(event, list);
      }
    } finally {
      clearTimeout(settled);
    }
    if (list !== undefined) throw new ConnectionError('Cut', `${this.#path}: the list ended before it was complete`);
  }

  /** @returns the list under way, if it is not complete by this event */
  #take({ type, object }: WatchEvent, list: Set<string> | undefined): Set<string> | undefined {
    const raw = object as RawObject;
    this.#lastHeard = this.#now();
    if (type === 'BOOKMARK') {
      if (list !== undefined && raw.metadata?.annotations?.[END_OF_LIST] !== 'true') return list;
      this.#resourceVersion = raw.metadata?.resourceVersion ?? this.#resourceVersion;
      if (list !== undefined) this.#complete(list);
      else this.#progress();
      return undefined;
    }
    this.#events++;
    if (type === 'DELETED') {
      list?.delete(keyOf(raw));
      this.#options.sink.remove(raw);
    } else {
      list?.add(keyOf(raw));
      this.#options.sink.put(raw);
    }
    if (list !== undefined) return list;
    this.#resourceVersion = raw.metadata?.resourceVersion ?? this.#resourceVersion;
    this.#progress();
    return undefined;
  }

  async #list(): Promise<void> {
    const { client, query, sink } = this.#options;
    const keys = new Set<string>();
    this.#lists++;
    let next: string | undefined;
    let resourceVersion: string | undefined;
    do {
      const page: ListPage = await client.request<ListPage>({
        method: 'GET',
        path: this.#path,
        query: { ...query, limit: PAGE, ...(next === undefined ? {} : { continue: next }) },
        ...(this.#options.metadataOnly ? { accept: METADATA_LIST_FORM } : {}),
        signal: this.#stop.signal,
        timeout: LIST_TIMEOUT,
      });
      if (!Array.isArray(page?.items)) throw new ConnectionError('Malformed', `${this.#path}: the answer is no list`);
      this.#lastHeard = this.#now();
      for (const object of page.items) {
        keys.add(keyOf(object));
        sink.put(object);
      }
      next = page.metadata?.continue === '' ? undefined : page.metadata?.continue;
      resourceVersion = page.metadata?.resourceVersion;
    } while (next !== undefined);
    if (resourceVersion === undefined) throw new ConnectionError('Malformed', `${this.#path}: the list has no resourceVersion`);
    this.#resourceVersion = resourceVersion;
    this.#complete(keys);
  }

  #complete(keys: ReadonlySet<string>): void {
    this.#options.sink.retain(keys);
    this.#lastSync = this.#now();
    this.#hasSynced = true;
    this.#enter('synced');
    this.#recovered();
  }

  /** @returns how long (ms) to wait */
  #fail(error: unknown): number {
    const listing = this.#resourceVersion === undefined;
    // The server does not know streaming lists, or has them turned off.
    if (listing && this.#streams && error instanceof ApiError && (error.status === 400 || error.status === 422)) {
      this.#streams = false;
      return 0;
    }
    // A server, or something in between, that takes the request and never comes to the end of the list.
    if (listing && this.#streams && error instanceof ConnectionError && (error.fault === 'TimedOut' || error.fault === 'Malformed')) this.#streams = false;
    const reason = reasonOf(error);
    this.#errors.set(reason, (this.#errors.get(reason) ?? 0) + 1);
    const failure = classOf(error);
    if (failure === 'expired') this.#resourceVersion = undefined;
    this.#failure = error;
    if (failure === 'denied') this.#refuse('denied');
    else if (failure === 'absent') {
      this.#resourceVersion = undefined;
      this.#version = (this.#version + 1) % this.#options.paths.length;
      this.#refuse('absent');
      this.#options.onChange?.(error);
      // Only once all versions are missing there is something to wait for.
      return this.#version === 0 ? this.#backoff.next(this.#state === 'synced' ? 'vanished' : 'absent') : 0;
    } else this.#refusedSince = undefined;
    this.#options.onChange?.(error);
    return this.#backoff.next(failure, error instanceof ApiError ? error.retryAfter : undefined);
  }

  #refuse(failure: 'denied' | 'absent'): void {
    const now = this.#now();
    if (this.#refusedSince?.failure !== failure) this.#refusedSince = { failure, at: now };
    const lasted = now - this.#refusedSince.at;
    if (!this.#hasSynced) {
      if (lasted >= this.#timings.grace) this.#enter(failure);
      return;
    }
    // A permission that is taken away takes no object away. A collection that stays away does.
    if (failure === 'denied' || lasted < this.#timings.vanish) return;
    this.#options.sink.retain(new Set());
    this.#enter('absent');
  }

  /** A list alone is none: lists that succeed and watches that expire take turns, ever more slowly. */
  #progress(): void {
    this.#backoff.reset();
    this.#recovered();
  }

  #recovered(): void {
    this.#refusedSince = undefined;
    if (this.#failure === undefined) return;
    this.#failure = undefined;
    this.#options.onChange?.();
  }

  #enter(state: ReflectorState): void {
    if (this.#state === state) return;
    this.#state = state;
    if (this.#failure === undefined) this.#options.onChange?.();
  }

  get #path(): string {
    return this.#options.paths[this.#version] as string;
  }
}

interface ListPage {
  readonly items?: readonly RawObject[] | null;
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
}

/** Resolves after a while, or as soon as the signal aborts. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}
