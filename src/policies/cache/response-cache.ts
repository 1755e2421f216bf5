import { performance } from 'node:perf_hooks';
import { SHARED_OFFSET } from '../../exchange/shared-clock.ts';
import { CacheMemory } from './cache-memory.ts';
import type { Flight } from './flight.ts';
import type { Returns, Waiter } from './waiter.ts';

/** What the cache did with the requests of one route, for `tidegate_cache_requests_total`. */
export interface CacheResults {
  /** Served from memory. */
  hit: number;
  /** The same, though not fresh any more. */
  stale: number;
  /** Served from memory after the backend said that it is still good. */
  revalidated: number;
  /** Served from what a backend gave to another request at the same time. */
  collapsed: number;
  /** Asked of a backend. */
  miss: number;
  /** Not the cache's business: method, body, no-store, or a URL that is not certain. */
  bypass: number;
}

/** What workers tell each other of requests to backends that others wait for. */
export interface CacheNews {
  readonly type: 'over';
  readonly key: string;
  /** again: it is stored by now, or nobody asks any more. alone: it is good for one request alone. */
  readonly outcome: 'again' | 'alone';
}

/** Requests that wait for another worker. */
interface Awaited {
  readonly worker: number;
  readonly waiters: Set<{ readonly waiter: Waiter; readonly returns: Returns }>;
}

/** How long answers to a key that could not be stored keep requests for it from waiting for each other, in milliseconds. */
const ALONE_FOR = 10_000;
/** The same where they are too long, which they stay: of those who share one, the slowest reader sets the pace. */
const TOO_LONG_FOR = 600_000;
const MAX_ALONE = 4096;

/** One worker's side of the cache: the memory that all have in common, and what is on its way from backends. */
export class ResponseCache {
  readonly memory: CacheMemory;
  /** By key: those that others may wait for. */
  readonly flights = new Map<string, Flight>();
  /** Bytes of answers that are on their way into memory. */
  filling = 0;
  /** What they may come to. */
  readonly maxFilling: number;
  /** Counters of a route, the same for the same id. */
  readonly results: (routeId: string) => CacheResults;
  /** Tells all other workers. */
  readonly tell: (news: CacheNews) => void;
  readonly #awaited = new Map<string, Awaited>();
  /** Keys whose last answer could not be stored, and until when that counts. */
  readonly #alone = new Map<string, number>();

  constructor(memory: CacheMemory, maxFilling: number, results: (routeId: string) => CacheResults, tell: (news: CacheNews) => void) {
    this.memory = memory;
    this.maxFilling = maxFilling;
    this.results = results;
    this.tell = tell;
  }

  /** Milliseconds, read alike by all threads; no clock of the wall. */
  now(): number {
    return performance.now() + SHARED_OFFSET;
  }

  /** Gives a claim back, of which nothing came. */
  release(url: string, key: string): void {
    if (this.memory.unclaim(url, key)) this.tell({ type: 'over', key, outcome: 'again' });
  }

  /** The request waits until that worker has its answer. */
  awaitOther(worker: number, key: string, waiter: Waiter, returns: Returns): void {
    let awaited = this.#awaited.get(key);
    if (awaited === undefined) {
      awaited = { worker, waiters: new Set() };
      this.#awaited.set(key, awaited);
    }
    const entry = { waiter, returns };
    const { waiters } = awaited;
    waiters.add(entry);
    waiter.exchange.onAbandoned = () => {
      waiters.delete(entry);
      if (waiters.size === 0 && this.#awaited.get(key)?.waiters === waiters) this.#awaited.delete(key);
    };
  }

  onNews({ key, outcome }: CacheNews): void {
    const awaited = this.#awaited.get(key);
    if (awaited === undefined) return;
    this.#awaited.delete(key);
    if (outcome === 'alone') this.notShared(key);
    for (const { waiter, returns } of awaited.waiters) {
      waiter.exchange.onAbandoned = undefined;
      if (outcome === 'alone') returns.alone(waiter);
      else returns.again(waiter);
    }
  }

  /** Nothing comes of what that worker asked for. */
  workerGone(worker: number): void {
    for (const [key, awaited] of [...this.#awaited]) if (awaited.worker === worker) this.onNews({ type: 'over', key, outcome: 'again' });
  }

  /** Nobody is to wait for the answer to that key for a while: the last one was good for one request alone, or too long. */
  notShared(key: string, isTooLong = false): void {
    if (this.#alone.size >= MAX_ALONE) for (const [oldest] of this.#alone) if (this.#alone.delete(oldest)) break;
    this.#alone.delete(key);
    this.#alone.set(key, this.now() + (isTooLong ? TOO_LONG_FOR : ALONE_FOR));
  }

  shared(key: string): void {
    if (this.#alone.size > 0) this.#alone.delete(key);
  }

  isShared(key: string): boolean {
    if (this.#alone.size === 0) return true;
    const until = this.#alone.get(key);
    if (until === undefined) return true;
    if (until > this.now()) return false;
    this.#alone.delete(key);
    return true;
  }

  /** For those who compile filters and serve nobody. */
  static unused(): ResponseCache {
    const none: CacheResults = { hit: 0, stale: 0, revalidated: 0, collapsed: 0, miss: 0, bypass: 0 };
    return new ResponseCache(
      new CacheMemory(CacheMemory.allocate(0), 0),
      0,
      () => none,
      () => {},
    );
  }
}
