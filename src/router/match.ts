/** One match of one route, compiled: everything but host and path. */
import type { RE2JS } from 're2js';
import { CidrSet } from '../exchange/cidr.ts';
import type { FieldMatch, Match } from '../snapshot/match.ts';
import type { Found, Routable } from './router.ts';

/** Compiles a regular expression, or gives the one that was compiled before for the same text. */
export type CompilePattern = (pattern: string) => RE2JS;

/** What a candidate is made from. */
export interface Source<T> {
  readonly match: Match;
  readonly rank: number;
  readonly found: Found<T>;
}

export class Candidate<T> {
  readonly match: Match;
  readonly rank: number;
  /** Made once, so that a look-up allocates nothing. */
  readonly found: Found<T>;
  /** Nothing but host and path: it fits whatever the rest of the request is. */
  readonly plain: boolean;
  readonly #methods: readonly string[] | undefined;
  readonly #scheme: 'http' | 'https' | undefined;
  readonly #headers: readonly FieldTest[];
  readonly #queryParams: readonly FieldTest[];
  readonly #cookies: readonly FieldTest[];
  readonly #clients: CidrSet | undefined;

  constructor(source: Source<T>, compilePattern: CompilePattern) {
    const { match } = source;
    this.match = match;
    this.rank = source.rank;
    this.found = source.found;
    this.#methods = match.methods;
    this.#scheme = match.scheme;
    this.#headers = fieldTests(match.headers, compilePattern);
    this.#queryParams = fieldTests(match.queryParams, compilePattern);
    this.#cookies = fieldTests(match.cookies, compilePattern);
    this.#clients = match.clientCIDRs === undefined ? undefined : new CidrSet(match.clientCIDRs);
    this.plain =
      match.methods === undefined &&
      match.scheme === undefined &&
      match.clientCIDRs === undefined &&
      match.headers.length + match.queryParams.length + match.cookies.length === 0;
  }

  /** Whether all parts but host and path hold; the cheap ones are asked first. */
  fits(request: Routable): boolean {
    if (this.plain) return true;
    if (this.#methods !== undefined && !this.#methods.includes(request.method)) return false;
    if (this.#scheme !== undefined && this.#scheme !== request.scheme) return false;
    for (const test of this.#headers) {
      // Each field line is a value; lists within a line are not taken apart.
      if (!test.holdsForOne(request.headerValues(test.name))) return false;
    }
    for (const test of this.#queryParams) {
      if (!test.holds(request.queryParam(test.name))) return false;
    }
    for (const test of this.#cookies) {
      if (!test.holds(request.cookie(test.name))) return false;
    }
    return this.#clients === undefined || this.#clients.has(request.clientAddress);
  }
}

/** Negative when `a` is to be tried before `b`, both being of the same host level and the same path. */
export function compareCandidates<T>(a: Candidate<T>, b: Candidate<T>): number {
  return (
    absence(a.match.methods) - absence(b.match.methods) ||
    b.match.headers.length - a.match.headers.length ||
    b.match.queryParams.length - a.match.queryParams.length ||
    b.match.cookies.length - a.match.cookies.length ||
    absence(a.match.clientCIDRs) - absence(b.match.clientCIDRs) ||
    absence(a.match.scheme) - absence(b.match.scheme) ||
    a.rank - b.rank ||
    a.found.matchIndex - b.found.matchIndex
  );
}

/** Candidates of one host level and one path in the order in which they are tried, without those that can't be reached. */
export function rankCandidates<T>(candidates: readonly Candidate<T>[]): readonly Candidate<T>[] {
  const ranked = candidates.toSorted(compareCandidates);
  const plain = ranked.findIndex((candidate) => candidate.plain);
  return plain < 0 ? ranked : ranked.slice(0, plain + 1);
}

/** The first that fits. */
export function firstFit<T>(ranked: readonly Candidate<T>[], request: Routable): Candidate<T> | undefined {
  for (let index = 0; index < ranked.length; index++) {
    const candidate = ranked[index] as Candidate<T>;
    if (candidate.fits(request)) return candidate;
  }
  return undefined;
}

function absence(part: unknown): number {
  return part === undefined ? 1 : 0;
}

/** One header, query parameter or cookie. */
class FieldTest {
  readonly name: string;
  /** Exact value; undefined for the other types. */
  readonly #value: string | undefined;
  /** The whole value must match; undefined for the other types. */
  readonly #pattern: RE2JS | undefined;

  constructor(match: FieldMatch, compilePattern: CompilePattern) {
    this.name = match.name;
    this.#value = match.type === 'Exact' ? match.value : undefined;
    this.#pattern = match.type === 'RegularExpression' ? compilePattern(match.value) : undefined;
  }

  holds(value: string | undefined): boolean {
    if (value === undefined) return false;
    if (this.#value !== undefined) return value === this.#value;
    return this.#pattern === undefined || this.#pattern.testExact(value);
  }

  holdsForOne(values: readonly string[]): boolean {
    for (let index = 0; index < values.length; index++) if (this.holds(values[index])) return true;
    return false;
  }
}

const NONE: readonly FieldTest[] = [];

function fieldTests(matches: readonly FieldMatch[], compilePattern: CompilePattern): readonly FieldTest[] {
  return matches.length === 0 ? NONE : matches.map((match) => new FieldTest(match, compilePattern));
}
