import type { Upstream, UpstreamKey } from '../snapshot/upstream.ts';
import { BREAKER_SLOTS, type BreakerMemory } from '../upstream/breaker/breaker-memory.ts';

/**
 * Gives every upstream with a circuit breaker its place in the shared memory of breakers. It keeps the place as long as it is
 * there, over reloads too, so that no reload closes a breaker or forgets what is held. A place that was freed goes to the end of
 * the queue, so that requests still counted on it are over before it is given away again.
 */
export class BreakerSlots {
  readonly #memory: BreakerMemory;
  readonly #most: number;
  readonly #slots = new Map<UpstreamKey, number>();
  readonly #free: number[] = [];
  #next = 0;

  constructor(memory: BreakerMemory, most = BREAKER_SLOTS) {
    this.#memory = memory;
    this.#most = most;
  }

  /** Places that were ever given. */
  get used(): number {
    return this.#next;
  }

  /** @returns those of them that have a breaker, and a place; beyond the number of places there is none */
  assign(upstreams: Iterable<Upstream>): Map<UpstreamKey, number> {
    const assigned = new Map<UpstreamKey, number>();
    for (const { key, circuitBreaker } of upstreams) {
      if (circuitBreaker === undefined) continue;
      const slot = this.#slots.get(key) ?? this.#take();
      if (slot === undefined) continue;
      this.#slots.set(key, slot);
      assigned.set(key, slot);
    }
    return assigned;
  }

  release(keys: Iterable<UpstreamKey>): void {
    for (const key of keys) {
      const slot = this.#slots.get(key);
      if (slot === undefined) continue;
      this.#slots.delete(key);
      this.#free.push(slot);
    }
  }

  #take(): number | undefined {
    if (this.#next < this.#most) return this.#next++;
    const slot = this.#free.shift();
    if (slot !== undefined) this.#memory.reset(slot);
    return slot;
  }
}
