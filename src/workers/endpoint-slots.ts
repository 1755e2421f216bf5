import type { Endpoint, UpstreamKey } from '../snapshot/upstream.ts';
import type { PublishedEndpoint, PublishedEndpoints } from './messages.ts';

/** Endpoints that can be counted at once; 4 bytes a worker each. */
export const ENDPOINT_SLOTS = 65_536;

/**
 * A cell has a new owner; called before anybody hears of it.
 * @param isNew it has come to others; false: it is among the first that are known of its upstream, and may be of any age
 */
export type OnSlotTaken = (slot: number, isNew: boolean) => void;

/**
 * Gives every endpoint its cell in the shared in-flight counters and in shared health. An address keeps its cell as long as it is known, over
 * reloads too. A cell that was freed goes to the end of the queue, so that requests still counted on it are over before it
 * is given away again. Cell 0 is shared by all that are beyond the number of cells.
 */
export class EndpointSlots {
  readonly #byUpstream = new Map<UpstreamKey, Map<string, number>>();
  readonly #free: number[] = [];
  #next = 1;
  #freed = 0;
  readonly #onTaken: OnSlotTaken;

  constructor(onTaken: OnSlotTaken = () => {}) {
    this.#onTaken = onTaken;
  }

  /** @param endpoints those of some upstreams; the others keep theirs. An empty list: they are gone */
  assign(endpoints: ReadonlyMap<UpstreamKey, readonly Endpoint[]>): PublishedEndpoints {
    const published = new Map<UpstreamKey, readonly PublishedEndpoint[]>();
    for (const [key, list] of endpoints) {
      this.#release(key, list);
      const isNew = this.#byUpstream.has(key);
      const slots = this.#byUpstream.get(key) ?? new Map<string, number>();
      if (list.length > 0) this.#byUpstream.set(key, slots);
      published.set(
        key,
        list.map((endpoint) => {
          const name = addressOf(endpoint);
          let slot = slots.get(name);
          if (slot === undefined) {
            slot = this.#take();
            slots.set(name, slot);
            this.#onTaken(slot, isNew);
          }
          return { ...endpoint, slot };
        }),
      );
    }
    return published;
  }

  /** @returns undefined when that upstream has no such endpoint */
  slotOf(key: UpstreamKey, endpoint: Endpoint): number | undefined {
    return this.#byUpstream.get(key)?.get(addressOf(endpoint));
  }

  #take(): number {
    if (this.#next < ENDPOINT_SLOTS) return this.#next++;
    if (this.#freed < this.#free.length) {
      const slot = this.#free[this.#freed++] as number;
      if (this.#freed > 1024) {
        this.#free.splice(0, this.#freed);
        this.#freed = 0;
      }
      return slot;
    }
    return 0;
  }

  #release(key: UpstreamKey, kept: readonly Endpoint[]): void {
    const slots = this.#byUpstream.get(key);
    if (slots === undefined) return;
    const names = new Set(kept.map(addressOf));
    for (const [name, slot] of slots) {
      if (names.has(name)) continue;
      slots.delete(name);
      if (slot !== 0) this.#free.push(slot);
    }
    if (slots.size === 0) this.#byUpstream.delete(key);
  }
}

function addressOf(endpoint: Endpoint): string {
  return `${endpoint.address} ${endpoint.port}`;
}
