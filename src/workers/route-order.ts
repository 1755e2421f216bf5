/** Routes as workers have them, and what is to be sent so that they have others. */
import { isDeepStrictEqual } from 'node:util';
import type { Route } from '../snapshot/snapshot.ts';

export interface RouteChange {
  /** Ids. */
  readonly removed: readonly string[];
  /** New, or in the place of one by the same id. */
  readonly set: readonly Route[];
}

/**
 * Gives routes ranks that last. A snapshot ranks its routes by their place, so that one that comes or goes moves all behind it;
 * here they keep theirs, with room in between, so that a change of one route is a change of one route.
 */
export class RouteOrder {
  /** As they were sent, with the ranks that they were sent with. */
  #sent: ReadonlyMap<string, Route> = new Map();

  /** All that was sent and is in force. */
  get routes(): Iterable<Route> {
    return this.#sent.values();
  }

  /** @param routes in order of rank */
  change(routes: readonly Route[]): RouteChange {
    const kept = this.#inOrder(routes);
    const ranks = ranksBetween(routes, kept);
    const next = new Map<string, Route>();
    const set: Route[] = [];
    for (const [index, route] of routes.entries()) {
      const before = this.#sent.get(route.id);
      const rank = ranks[index] as number;
      if (before !== undefined && before.rank === rank && sameButRank(before, route)) {
        next.set(route.id, before);
        continue;
      }
      const sent = route.rank === rank ? route : { ...route, rank };
      next.set(route.id, sent);
      set.push(sent);
    }
    const removed = [...this.#sent.keys()].filter((id) => !next.has(id));
    this.#sent = next;
    return { removed, set };
  }

  /** By place in `routes`, the ranks of as many as possible that can keep theirs. */
  #inOrder(routes: readonly Route[]): Map<number, number> {
    const ranked: (readonly [place: number, rank: number])[] = [];
    for (const [place, { id }] of routes.entries()) {
      const rank = this.#sent.get(id)?.rank;
      if (rank !== undefined) ranked.push([place, rank]);
    }
    if (ranked.every(([, rank], index) => index === 0 || rank > (ranked[index - 1]?.[1] as number))) return new Map(ranked);
    return new Map(longestRising(ranked));
  }
}

/** Longest subsequence whose ranks rise, in n log n. */
function longestRising(ranked: readonly (readonly [place: number, rank: number])[]): (readonly [place: number, rank: number])[] {
  /** Index of the smallest rank that a rising subsequence of this length + 1 ends with. */
  const ends: number[] = [];
  const before: (number | undefined)[] = [];
  const rankAt = (index: number): number => ranked[index]?.[1] as number;
  for (let index = 0; index < ranked.length; index++) {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rankAt(ends[middle] as number) < rankAt(index)) low = middle + 1;
      else high = middle;
    }
    before[index] = ends[low - 1];
    ends[low] = index;
  }
  const rising: (readonly [number, number])[] = [];
  for (let index = ends.at(-1); index !== undefined; index = before[index]) rising.push(ranked[index] as readonly [number, number]);
  return rising.reverse();
}

/** Ranks of all routes: those that are kept, and others evenly in between; places where there is no room any more. */
function ranksBetween(routes: readonly Route[], kept: ReadonlyMap<number, number>): readonly number[] {
  const places = routes.map((_, place) => place);
  if (kept.size === 0) return places;
  const ranks: number[] = [];
  for (let place = 0; place < routes.length; ) {
    const own = kept.get(place);
    if (own !== undefined) {
      ranks.push(own);
      place++;
      continue;
    }
    let end = place;
    while (end < routes.length && !kept.has(end)) end++;
    const low = ranks.at(-1) ?? (kept.get(end) ?? 0) - (end - place + 1);
    const high = kept.get(end) ?? low + (end - place + 1);
    const step = (high - low) / (end - place + 1);
    for (let index = 1; place < end; place++, index++) ranks.push(low + step * index);
  }
  const rise = ranks.every((rank, index) => index === 0 || rank > (ranks[index - 1] as number));
  return rise ? ranks : places;
}

function sameButRank(one: Route, other: Route): boolean {
  // Routes of objects that did not change are made of the very same parts.
  if ((Object.keys(one) as (keyof Route)[]).every((part) => part === 'rank' || one[part] === other[part])) return true;
  return isDeepStrictEqual(one.rank === other.rank ? one : { ...one, rank: other.rank }, other);
}
