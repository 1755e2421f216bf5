import type { EndpointState } from '../endpoint-state.ts';

/** Keys are hashed to so many slots, and slots to endpoints. A power of two. */
const SLOTS = 65_536;

/** From so many endpoints on, the owner of each slot is remembered once it is known; with fewer it is found as fast. */
const REMEMBER_FROM = 8;

/**
 * Highest-random-weight hashing (Thaler and Ravishankar, 1998): each pair of slot and endpoint has a score, and the slot goes
 * to the endpoint with the highest. The result depends on the key and on the set of endpoints alone, so that workers and
 * replicas agree; removing one of n endpoints moves exactly its own keys, about 1/n of all, and spreads them over the others.
 *
 * Shares are even within sqrt(n / 65536): 1 % with 10 endpoints, 4 % with 100, where a ring with 160 points an endpoint has
 * 8 %. Nothing has to be built when endpoints change; with many of them, 128 KiB remember what has been looked up since.
 */
export class Rendezvous {
  #endpoints: readonly EndpointState[] = [];
  #seeds = new Int32Array(0);
  /** One more than the index of each slot's owner; 0 while it is not known. Made on first use. */
  #owners: Uint16Array | undefined = undefined;

  update(endpoints: readonly EndpointState[]): void {
    this.#endpoints = endpoints;
    this.#seeds = Int32Array.from(endpoints, (endpoint) => hashText(endpoint.name));
    if (endpoints.length < REMEMBER_FROM) this.#owners = undefined;
    else this.#owners?.fill(0);
  }

  /** @param avoid left out, so that its keys go where they would go without it */
  pick(key: string, avoid: EndpointState | undefined): EndpointState | undefined {
    const endpoints = this.#endpoints;
    const slot = hashText(key) & (SLOTS - 1);
    const owner = endpoints[endpoints.length < REMEMBER_FROM || endpoints.length >= SLOTS ? this.#ownerOf(slot, -1) : this.#knownOwnerOf(slot)];
    return owner === avoid && owner !== undefined && endpoints.length > 1 ? endpoints[this.#ownerOf(slot, endpoints.indexOf(owner))] : owner;
  }

  #knownOwnerOf(slot: number): number {
    this.#owners ??= new Uint16Array(SLOTS);
    const owners = this.#owners;
    const known = owners[slot] as number;
    if (known > 0) return known - 1;
    const owner = this.#ownerOf(slot, -1);
    owners[slot] = owner + 1;
    return owner;
  }

  /** The index of a slot's endpoint; -1 when there is none. @param without an index that does not count */
  #ownerOf(slot: number, without: number): number {
    const seeds = this.#seeds;
    const hash = mix(slot);
    let owner = -1;
    let highest = 0;
    for (let index = 0; index < seeds.length; index++) {
      if (index === without) continue;
      const score = mix(hash ^ (seeds[index] as number));
      // Equal scores go to the first in the snapshot's order, which is by address and port, hence the same everywhere.
      if (owner >= 0 && score <= highest) continue;
      owner = index;
      highest = score;
    }
    return owner;
  }
}

/** FNV-1a over UTF-16 units, finished by a mixer: its low bits alone are weak. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5 | 0;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return mix(hash);
}

/** The 32-bit finalizer of MurmurHash3: each bit of the input changes each bit of the output with probability one half. */
function mix(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
