/** Why a request goes where it goes: the match that wins, those that fit too, and those that fail by little. */
import type { Match } from '../snapshot/match.ts';
import type { Route } from '../snapshot/route.ts';
import { describeHost } from '../snapshot/words.ts';
import { hostFits, Judge, type Mismatch, PARTS } from './judge.ts';
import { compareFits, decisionBetween, type Fit, fits } from './oracle.ts';
import type { Routable } from './router.ts';

/** A route that fits as well, by its best match. */
export interface Outranked {
  readonly fit: Fit;
  /** Why the winner goes first, such as `path /a/b is longer than /a`: what the winner has comes first. */
  readonly decidedBy: string;
}

/** A route of which no match fits, by the one that comes nearest. */
export interface NearMiss {
  readonly route: Route;
  readonly matchIndex: number;
  readonly mismatch: Mismatch;
}

export interface Explanation {
  readonly winner: Fit | undefined;
  /** In the order in which they would take the request. */
  readonly outranked: readonly Outranked[];
  /** Nearest first: those of a host level that fits, the later their failing part the nearer; then those of other hosts. */
  readonly nearMisses: readonly NearMiss[];
}

/**
 * Looks at every match of every route, as the oracle does.
 * @param limit at most so many outranked routes, and so many near misses
 */
export function explain(routes: readonly Route[], request: Routable, limit = 10): Explanation {
  const judge = new Judge();
  const bestOfRoute = new Map<Route, Fit>();
  for (const fit of fits(routes, request, judge)) {
    const other = bestOfRoute.get(fit.route);
    if (other === undefined || compareFits(fit, other) < 0) bestOfRoute.set(fit.route, fit);
  }
  const [winner, ...others] = [...bestOfRoute.values()].sort(compareFits);
  const outranked = winner === undefined ? [] : others.slice(0, limit).map((fit) => ({ fit, decidedBy: decisionBetween(winner, fit) }));
  const misses = routes.filter((route) => !bestOfRoute.has(route)).map((route) => nearestMatch(route, request, judge));
  misses.sort((a, b) => compareDistances(a.distance, b.distance));
  return { winner, outranked, nearMisses: misses.slice(0, limit).map(({ miss }) => miss) };
}

interface Measured {
  readonly miss: NearMiss;
  /** Compared number by number; smaller is nearer. */
  readonly distance: readonly number[];
}

function nearestMatch(route: Route, request: Routable, judge: Judge): Measured {
  const hostOrders = route.hosts.filter((host) => hostFits(host, request.host)).map((host) => (host.type === 'Exact' ? 0 : host.type === 'Any' ? 2 : 1));
  const hostFailure: Mismatch | undefined =
    hostOrders.length > 0 ? undefined : { part: 'host', expected: route.hosts.map(describeHost).join(' or '), got: request.host };
  const measured = route.matches.map((match, matchIndex): Measured => {
    const rest = judge.mismatch(match, request);
    // Of a route none of whose matches fits, either the host or one of the other parts fails.
    const mismatch = hostFailure ?? (rest as Mismatch);
    const distance = [
      -PARTS.indexOf(mismatch.part),
      hostFailure === undefined ? Math.min(...hostOrders) : -sharedLabels(route, request.host),
      rest === undefined ? -PARTS.length : -PARTS.indexOf(rest.part),
      -sharedElements(match, request.path),
      route.isDefaultBackend ? 1 : 0,
      route.rank,
      matchIndex,
    ];
    return { miss: { route, matchIndex, mismatch }, distance };
  });
  return measured.reduce((nearest, other) => (compareDistances(other.distance, nearest.distance) < 0 ? other : nearest));
}

function compareDistances(a: readonly number[], b: readonly number[]): number {
  for (const [index, value] of a.entries()) {
    const difference = value - (b[index] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** How many labels from the right a host shares with the nearest of the route's. */
function sharedLabels(route: Route, host: string): number {
  const labels = host.split('.').reverse();
  return Math.max(...route.hosts.map((pattern) => (pattern.type === 'Any' ? 0 : shared(labels, pattern.value.split('.').reverse()))));
}

function sharedElements(match: Match, path: string): number {
  return shared(path.split('/'), match.path.value.split('/'));
}

function shared(one: readonly string[], other: readonly string[]): number {
  const length = Math.min(one.length, other.length);
  for (let index = 0; index < length; index++) if (one[index] !== other[index]) return index;
  return length;
}
