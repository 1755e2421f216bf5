import type { EndpointState } from '../endpoint-state.ts';

/**
 * Highest-random-weight hashing (Thaler and Ravishankar, 1998): each pair of key and endpoint has a score, and the key goes
 * to the endpoint with the highest. The result depends on the key and on the set of endpoints alone, so that workers and
 * replicas agree; removing one of n endpoints moves exactly its own keys, about 1/n of all, and spreads them over the others;
 * keys are spread as evenly as the hash is random, which no ring with few points per endpoint is.
 *
 * A pick costs about a nanosecond an endpoint, and nothing has to be built but one number each. A table by slots would make
 * it constant, at the price of megabytes and milliseconds at each change where there are many upstreams.
 */
export class Rendezvous {
  #endpoints: readonly EndpointState[] = [];
  #seeds = new Int32Array(0);

  update(endpoints: readonly EndpointState[]): void {
    this.#endpoints = endpoints;
    this.#seeds = Int32Array.from(endpoints, (endpoint) => hashText(endpoint.name));
  }

  /** @param avoid left out, so that its keys go where they would go without it */
  pick(key: string, avoid: EndpointState | undefined): EndpointState | undefined {
    const endpoints = this.#endpoints;
    const seeds = this.#seeds;
    const hash = hashText(key);
    const hole = avoid === undefined || endpoints.length < 2 ? -1 : endpoints.indexOf(avoid);
    let best = -1;
    let bestScore = 0;
    for (let index = 0; index < seeds.length; index++) {
      const score = mix(hash ^ (seeds[index] as number));
      // Equal scores go to the first in the snapshot's order, which is by address and port, hence the same everywhere.
      if (index !== hole && (best < 0 || score > bestScore)) {
        best = index;
        bestScore = score;
      }
    }
    return endpoints[best];
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
