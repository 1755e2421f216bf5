/** The router as the API page words it: every match of every route is judged, and the one that ranks first wins. */
import type { HostPattern, Match, Route } from '../snapshot/snapshot.ts';
import { hostFits, Judge } from './judge.ts';
import type { CompileRouter, Found, Routable } from './router.ts';

/** A match that fits, with the host pattern through which it does. */
export interface Fit {
  readonly route: Route;
  readonly host: HostPattern;
  readonly matchIndex: number;
}

const HOST_ORDER = { Exact: 0, Suffix: 1, OneLabel: 1, Any: 2 } as const;
const PATH_ORDER = { Exact: 0, PathPrefix: 1, RegularExpression: 2 } as const;

/** What decides between matches that fit, in order; smaller wins. */
export const CRITERIA = [
  'being no default backend',
  'the kind of its host',
  'the length of its wildcard host',
  'the type of its path',
  'the length of its path',
  'having methods',
  'the number of its headers',
  'the number of its query parameters',
  'the number of its cookies',
  'having client CIDRs',
  'having a scheme',
  'age and order of objects and rules',
  'the order of matches in the rule',
] as const;

/** One number a criterion. */
export function precedence(fit: Fit): readonly number[] {
  const match = fit.route.matches[fit.matchIndex] as Match;
  return [
    fit.route.isDefaultBackend ? 1 : 0,
    HOST_ORDER[fit.host.type],
    -wildcardLength(fit.host),
    PATH_ORDER[match.path.type],
    -match.path.value.length,
    match.methods === undefined ? 1 : 0,
    -match.headers.length,
    -match.queryParams.length,
    -match.cookies.length,
    match.clientCIDRs === undefined ? 1 : 0,
    match.scheme === undefined ? 1 : 0,
    fit.route.rank,
    fit.matchIndex,
  ];
}

/** @returns index into `CRITERIA` of the first one that tells `a` from `b`, or -1 */
export function decidingCriterion(a: Fit, b: Fit): number {
  const other = precedence(b);
  return precedence(a).findIndex((value, index) => value !== other[index]);
}

/** Negative when `a` wins over `b`. */
export function compareFits(a: Fit, b: Fit): number {
  const index = decidingCriterion(a, b);
  return index < 0 ? 0 : (precedence(a)[index] as number) - (precedence(b)[index] as number);
}

/** Negative when host pattern `a` goes before `b`: exact, then the longest wildcard, then none. */
export function compareHosts(a: HostPattern, b: HostPattern): number {
  return HOST_ORDER[a.type] - HOST_ORDER[b.type] || wildcardLength(b) - wildcardLength(a);
}

function wildcardLength(host: HostPattern): number {
  return host.type === 'Any' ? 0 : host.value.length;
}

/** Every match that fits, in no particular order. */
export function* fits(routes: readonly Route[], request: Routable, judge: Judge): Generator<Fit> {
  for (const route of routes) {
    for (const host of route.hosts) {
      if (!hostFits(host, request.host)) continue;
      for (const [matchIndex, match] of route.matches.entries()) {
        if (judge.mismatch(match, request) === undefined) yield { route, host, matchIndex };
      }
    }
  }
}

export const compileOracle: CompileRouter = (routes, value) => {
  const judge = new Judge();
  return {
    find(request: Routable): Found<ReturnType<typeof value>> | undefined {
      let best: Fit | undefined;
      for (const fit of fits(routes, request, judge)) {
        if (best === undefined || compareFits(fit, best) < 0) best = fit;
      }
      return best === undefined ? undefined : { value: value(best.route), matchIndex: best.matchIndex };
    },
  };
};
