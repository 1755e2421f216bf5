/** The router as the API page words it: every match of every route is judged, and the one that ranks first wins. */
import type { HostPattern, Match, PathMatch } from '../snapshot/match.ts';
import type { Route } from '../snapshot/route.ts';
import { describeHost } from '../snapshot/words.ts';
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

interface Criterion {
  /** Smaller wins. Of one criterion they are all numbers, or all texts. */
  place(fit: Fit): number | string;
  /** Why `winner` goes before `other`, as a clause; what the winner has comes first. */
  why(winner: Fit, other: Fit): string;
}

const HOST_WORDS = { Exact: 'an exact host', Suffix: 'a wildcard host', OneLabel: 'a wildcard host', Any: 'no host' } as const;
const PATH_WORDS = { Exact: 'an Exact path', PathPrefix: 'a PathPrefix', RegularExpression: 'a RegularExpression' } as const;

/** What decides between matches that fit, in order. */
const CRITERIA: readonly Criterion[] = [
  { place: (fit) => (fit.route.isDefaultBackend ? 1 : 0), why: () => 'a rule goes before a default backend' },
  {
    place: (fit) => HOST_ORDER[fit.host.type],
    why: (winner, other) => `a rule with ${HOST_WORDS[winner.host.type]} goes before one with ${HOST_WORDS[other.host.type]}`,
  },
  {
    place: (fit) => -wildcardLength(fit.host),
    why: (winner, other) => `host ${describeHost(winner.host)} is longer than ${describeHost(other.host)}`,
  },
  {
    place: (fit) => PATH_ORDER[matchOf(fit).path.type],
    why: (winner, other) => `${PATH_WORDS[matchOf(winner).path.type]} goes before ${PATH_WORDS[matchOf(other).path.type]}`,
  },
  {
    place: (fit) => -lengthOf(matchOf(fit).path),
    why: (winner, other) => `path ${matchOf(winner).path.value} is longer than ${matchOf(other).path.value}`,
  },
  {
    place: (fit) => shapeOf(matchOf(fit).path),
    why: (winner, other) => `path ${matchOf(winner).path.value} says what ${matchOf(other).path.value} only names`,
  },
  presence('methods', 'methods'),
  count('headers', 'header'),
  count('queryParams', 'query parameter'),
  count('cookies', 'cookie'),
  presence('clientCIDRs', 'client CIDRs'),
  presence('scheme', 'a scheme'),
  {
    place: (fit) => fit.route.rank,
    why: (winner, other) =>
      sameObject(winner.route, other.route)
        ? 'the earlier rule of an object goes first'
        : 'the older object goes first, and of two of one age the first by namespace/name',
  },
  { place: (fit) => fit.matchIndex, why: () => 'the earlier match of a rule goes first' },
];

/** Of a pattern, characters; else elements. What fits one path without names is longer in both or in none. */
function lengthOf({ type, value }: PathMatch): number {
  if (type === 'RegularExpression') return value.length;
  return value === '/' ? 0 : value.split('/').length - 1;
}

/** A letter for each element, so that of two as long ones the one is smaller that says the first element where they differ. */
function shapeOf({ names }: PathMatch): string {
  return names === undefined ? '' : names.map((name) => (name === '' ? 'a' : 'b')).join('');
}

function presence(part: 'methods' | 'clientCIDRs' | 'scheme', words: string): Criterion {
  return { place: (fit) => (matchOf(fit)[part] === undefined ? 1 : 0), why: () => `a match with ${words} goes before one without` };
}

function count(part: 'headers' | 'queryParams' | 'cookies', word: string): Criterion {
  const number = (fit: Fit) => matchOf(fit)[part].length;
  return {
    place: (fit) => -number(fit),
    why: (winner, other) => `a match with ${number(winner)} ${word}${number(winner) === 1 ? '' : 's'} goes before one with ${number(other) || 'none'}`,
  };
}

function matchOf(fit: Fit): Match {
  return fit.route.matches[fit.matchIndex] as Match;
}

function sameObject(one: Route, other: Route): boolean {
  return one.kind === other.kind && one.namespace === other.namespace && one.name === other.name;
}

function decidingCriterion(a: Fit, b: Fit): Criterion | undefined {
  return CRITERIA.find((criterion) => criterion.place(a) !== criterion.place(b));
}

/** Why `winner` goes before `other`, as a clause such as `path /a/b is longer than /a`. */
export function decisionBetween(winner: Fit, other: Fit): string {
  return decidingCriterion(winner, other)?.why(winner, other) ?? 'nothing tells them apart';
}

/** Negative when `a` wins over `b`. */
export function compareFits(a: Fit, b: Fit): number {
  const criterion = decidingCriterion(a, b);
  if (criterion === undefined) return 0;
  return criterion.place(a) < criterion.place(b) ? -1 : 1;
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
