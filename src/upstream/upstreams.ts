import type { Upstream, UpstreamKey } from '../snapshot/upstream.ts';
import type { SlottedEndpoint } from './endpoint-state.ts';
import { monotonicNow } from './health/monotonic-clock.ts';
import { type Availability, type UpstreamContext, UpstreamState } from './upstream-state.ts';

/** Upstreams that are new or changed, with all their endpoints. */
export interface UpstreamsPart {
  readonly upstreams: ReadonlyMap<UpstreamKey, Upstream>;
  readonly endpoints: ReadonlyMap<UpstreamKey, readonly SlottedEndpoint[]>;
  /** Places in the memory of breakers, of those that have a circuit breaker. */
  readonly breakerSlots?: ReadonlyMap<UpstreamKey, number>;
}

export type UpstreamsContext = Omit<UpstreamContext, 'availability' | 'random' | 'now'> & Partial<Pick<UpstreamContext, 'random' | 'now'>>;

const NONE: readonly SlottedEndpoint[] = [];

/** Every upstream of one worker. Those that a new snapshot still has keep their connections and counters. */
export class Upstreams {
  readonly availability: Availability = { version: 0 };
  readonly #context: UpstreamContext;
  readonly #states = new Map<UpstreamKey, UpstreamState>();

  /** @param context chance and clock may be given for tests */
  constructor(context: UpstreamsContext) {
    const { random = Math.random, now = monotonicNow } = context;
    this.#context = { ...context, random, now, availability: this.availability };
  }

  get(key: UpstreamKey): UpstreamState | undefined {
    return this.#states.get(key);
  }

  [Symbol.iterator](): IterableIterator<UpstreamState> {
    return this.#states.values();
  }

  /** Makes or updates upstreams. Call it before the routes are compiled that lead to them: they look their upstreams up. */
  put(part: UpstreamsPart): void {
    for (const [key, upstream] of part.upstreams) {
      const endpoints = part.endpoints.get(key) ?? NONE;
      const state = this.#states.get(key);
      const slot = part.breakerSlots?.get(key);
      if (state === undefined) this.#states.set(key, new UpstreamState(upstream, endpoints, this.#context, slot));
      else state.update(upstream, endpoints, slot);
    }
  }

  /** Once no route leads to them any more. */
  remove(keys: Iterable<UpstreamKey>): void {
    for (const key of keys) {
      this.#states.get(key)?.close();
      this.#states.delete(key);
    }
  }

  /** New endpoints of some upstreams; an empty list: it has none any more. Upstreams that are not known are passed over. */
  applyEndpoints(delta: ReadonlyMap<UpstreamKey, readonly SlottedEndpoint[]>): void {
    for (const [key, endpoints] of delta) this.#states.get(key)?.setEndpoints(endpoints);
  }

  /** Endpoints of these have turned; the others' have not. */
  healthChanged(keys: Iterable<UpstreamKey>): void {
    for (const key of keys) this.#states.get(key)?.healthChanged();
  }

  /** Closes the connections that wait for requests. */
  closeIdle(): void {
    for (const state of this.#states.values()) state.closeIdle();
  }

  /** Closes idle connections now, and the others once their requests are done. */
  close(): void {
    for (const state of this.#states.values()) state.close();
  }
}
