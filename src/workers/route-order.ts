/** Routes as workers have them, and what is to be sent so that they have others. */
import { isDeepStrictEqual } from 'node:util';
import type { Route } from '../snapshot/route.ts';

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
  readonly #sent = new Map<string, Route>();
  /** As they were given last. */
  #last: readonly Route[] = [];

  /** All that was sent and is in force. */
  get routes(): Iterable<Route> {
    return this.#sent.values();
  }

  /** @param routes in order of rank */
  change(routes: readonly Route[]): RouteChange {
    const last = this.#last;
    this.#last = routes;
    const [start, behind] = sameEnds(last, routes);
    return this.#changeWithin(last, routes, start, behind) ?? this.#changeWithin(last, routes, 0, 0, true);
  }

  /**
   * Looks at what is between `start` routes from the front and `behind` from the back, which are the same as before.
   * @returns undefined where the ranks around it leave no room
   */
  #changeWithin(last: readonly Route[], routes: readonly Route[], start: number, behind: number): RouteChange | undefined;
  #changeWithin(last: readonly Route[], routes: readonly Route[], start: number, behind: number, isWhole: true): RouteChange;
  #changeWithin(
    last: readonly Route[],
    routes: readonly Route[],
    start: number,
    behind: number,
    isWhole = start === 0 && behind === 0,
  ): RouteChange | undefined {
    // With the neighbours on both sides, whose ranks stay.
    const from = isWhole ? 0 : Math.max(0, start - 1);
    const to = isWhole ? routes.length : Math.min(routes.length, routes.length - behind + 1);
    const ranks = new Float64Array(to - from);
    for (let place = from; place < to; place++) ranks[place - from] = this.#sent.get((routes[place] as Route).id)?.rank ?? UNRANKED;
    const [low, high] = [ranks[0], ranks.at(-1)];
    keepRising(ranks);
    fill(ranks);
    if (!isWhole && ((start > 0 && ranks[0] !== low) || (behind > 0 && ranks.at(-1) !== high))) return undefined;
    const set: Route[] = [];
    for (let place = from; place < to; place++) {
      const route = routes[place] as Route;
      const before = this.#sent.get(route.id);
      const rank = ranks[place - from] as number;
      if (before === route || (before !== undefined && before.rank === rank && sameButRank(before, route))) continue;
      const sent = route.rank === rank ? route : { ...route, rank };
      this.#sent.set(route.id, sent);
      set.push(sent);
    }
    const present = new Set<string>();
    for (let place = start; place < routes.length - behind; place++) present.add((routes[place] as Route).id);
    const removed: string[] = [];
    for (let place = start; place < last.length - behind; place++) {
      const { id } = last[place] as Route;
      if (!present.has(id) && this.#sent.delete(id)) removed.push(id);
    }
    return { removed, set };
  }
}

/** @returns how many routes at the front are the very same ones, and how many of the others at the back */
function sameEnds(one: readonly Route[], other: readonly Route[]): [number, number] {
  const shorter = Math.min(one.length, other.length);
  let front = 0;
  while (front < shorter && one[front] === other[front]) front++;
  let back = 0;
  while (back < shorter - front && one[one.length - 1 - back] === other[other.length - 1 - back]) back++;
  return [front, back];
}

/** In place of a rank that a route does not have, or can't keep. */
const UNRANKED = Number.NaN;

/** Leaves the ranks of as many routes as possible that rise with their places; the others become UNRANKED. */
function keepRising(ranks: Float64Array): void {
  let last = Number.NEGATIVE_INFINITY;
  let rises = true;
  for (const rank of ranks) {
    if (Number.isNaN(rank)) continue;
    rises &&= rank > last;
    last = rank;
  }
  if (rises) return;
  const kept = longestRising(ranks);
  ranks.forEach((_, place) => {
    if (!kept.has(place)) ranks[place] = UNRANKED;
  });
}

/** @returns places of the longest subsequence whose ranks rise, in n log n */
function longestRising(ranks: Float64Array): Set<number> {
  /** Place of the smallest rank that a rising subsequence of this length + 1 ends with. */
  const ends: number[] = [];
  const before: (number | undefined)[] = [];
  const rankAt = (place: number): number => ranks[place] as number;
  for (const [place, rank] of ranks.entries()) {
    if (Number.isNaN(rank)) continue;
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rankAt(ends[middle] as number) < rank) low = middle + 1;
      else high = middle;
    }
    before[place] = ends[low - 1];
    ends[low] = place;
  }
  const rising = new Set<number>();
  for (let place = ends.at(-1); place !== undefined; place = before[place]) rising.add(place);
  return rising;
}

/** Gives each UNRANKED place a rank evenly between its neighbours'; where there is no room any more, all get new ones. */
function fill(ranks: Float64Array): void {
  for (let place = 0; place < ranks.length; place++) {
    if (!Number.isNaN(ranks[place])) continue;
    let end = place;
    while (end < ranks.length && Number.isNaN(ranks[end])) end++;
    const count = end - place + 1;
    const low = place > 0 ? (ranks[place - 1] as number) : end < ranks.length ? (ranks[end] as number) - count : -1;
    const high = end < ranks.length ? (ranks[end] as number) : low + count;
    const step = (high - low) / count;
    for (let index = 1; place < end; place++, index++) ranks[place] = low + step * index;
  }
  const rises = ranks.every((rank, place) => place === 0 || rank > (ranks[place - 1] as number));
  if (!rises) for (let place = 0; place < ranks.length; place++) ranks[place] = place;
}

function sameButRank(one: Route, other: Route): boolean {
  // Routes of objects that did not change are made of the very same parts.
  let same = true;
  for (const part in one) same &&= part === 'rank' || one[part as keyof Route] === other[part as keyof Route];
  return same || isDeepStrictEqual(one.rank === other.rank ? one : { ...one, rank: other.rank }, other);
}
