/** What a request asks of a cache (RFC 9111 section 5.2.1), and what a stored answer is to it (section 4). Pure. */
import { type Fields, otherNames } from '../../exchange/fields.ts';
import { type Directives, parseDirectives, secondsOf } from './directives.ts';

/**
 * Fields by which some backends take a request for another one than its URL and method say: whoever may send them could put
 * an answer where others find it that is not theirs. Such a request goes past the cache.
 */
const OVERRIDES = otherNames([
  'x-http-method-override',
  'x-http-method',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
  'x-original-host',
  'x-host',
  'x-http-host-override',
]);

/** That the request is not what its URL and method say, to some backends. */
export function mayBeAnother(fields: Fields): boolean {
  return fields.hasOthers(OVERRIDES);
}

/** Conditions on which the answer depends, besides Range. */
const CONDITIONS = otherNames(['if-none-match', 'if-modified-since', 'if-match', 'if-unmodified-since']);
const CACHE_CONTROL = otherNames(['cache-control', 'pragma']);
const RANGE = otherNames(['range']);

export interface Asking {
  /** no-cache: not without asking the origin. */
  readonly fresh: boolean;
  readonly noStore: boolean;
  readonly onlyIfCached: boolean;
  /** Milliseconds; infinite, or 0, where the request says nothing. */
  readonly maxAge: number;
  readonly minFresh: number;
  /** How stale it may be. */
  readonly maxStale: number;
  readonly isConditional: boolean;
  readonly hasRange: boolean;
}

const ORDINARY: Asking = {
  fresh: false,
  noStore: false,
  onlyIfCached: false,
  maxAge: Number.POSITIVE_INFINITY,
  minFresh: 0,
  maxStale: 0,
  isConditional: false,
  hasRange: false,
};

/** @returns for most requests the very same object */
export function askingOf(fields: Fields): Asking {
  const isConditional = fields.hasOthers(CONDITIONS);
  const hasRange = fields.hasOthers(RANGE);
  const directed = fields.hasOthers(CACHE_CONTROL);
  if (!directed) return isConditional || hasRange ? { ...ORDINARY, isConditional, hasRange } : ORDINARY;
  const lines = fields.getAll('cache-control');
  // Of a client of HTTP/1.0 (RFC 9111 section 5.4).
  if (lines.length === 0 && /\bno-cache\b/i.test(fields.get('pragma') ?? '')) return { ...ORDINARY, isConditional, hasRange, fresh: true };
  const directives = parseDirectives(lines);
  const maxStale = directives.get('max-stale');
  return {
    fresh: directives.has('no-cache'),
    noStore: directives.has('no-store'),
    onlyIfCached: directives.has('only-if-cached'),
    // A number that can't be read asks for nothing that is older than now.
    maxAge: milliseconds(directives, 'max-age', Number.POSITIVE_INFINITY, 0),
    // With 0 it still has to be fresh (RFC 9111 section 5.2.1.3).
    minFresh: directives.has('min-fresh') ? Math.max(1, milliseconds(directives, 'min-fresh', 0, Number.POSITIVE_INFINITY)) : 0,
    maxStale: maxStale === '' ? Number.POSITIVE_INFINITY : milliseconds(directives, 'max-stale', 0, 0),
    isConditional,
    hasRange,
  };
}

function milliseconds(directives: Directives, name: string, absent: number, unreadable: number): number {
  const seconds = secondsOf(directives, name);
  if (seconds === undefined) return absent;
  return Number.isNaN(seconds) ? unreadable : seconds * 1000;
}

/** What a stored answer is to a request. */
export const Use = {
  /** To be served as it is. */
  Fresh: 0,
  /** To be served, because the client says that it may be stale. */
  Stale: 1,
  /** To be served, and asked for again meanwhile. */
  StaleMeanwhile: 2,
  /** Not to be served before the origin has been asked. */
  Validate: 3,
} as const;
export type Use = (typeof Use)[keyof typeof Use];

/** What is known of a stored answer; times in milliseconds. */
export interface Kept {
  readonly lifetime: number;
  readonly staleWhileRevalidate: number;
  readonly staleIfError: number;
  readonly alwaysValidate: boolean;
  readonly neverStale: boolean;
}

/** @param age of the answer now */
export function useOf(kept: Kept, age: number, asking: Asking): Use {
  if (kept.alwaysValidate || asking.fresh) return Use.Validate;
  const left = kept.lifetime - age;
  if (age <= asking.maxAge) {
    if (left > 0 && left >= asking.minFresh) return Use.Fresh;
    if (left <= 0 && asking.minFresh === 0 && !kept.neverStale && -left <= asking.maxStale && asking.maxStale > 0) return Use.Stale;
  }
  // Whoever asks for more than the origin's word means to have it.
  if (asking.maxAge !== Number.POSITIVE_INFINITY || asking.minFresh > 0) return Use.Validate;
  return left <= 0 && -left < kept.staleWhileRevalidate ? Use.StaleMeanwhile : Use.Validate;
}

/** Trouble of the origin, which a stale answer may stand in for (RFC 5861 section 4). */
export const TROUBLE: ReadonlySet<number> = new Set([500, 502, 503, 504]);

/** Whether it may be served because the origin fails. */
export function servesOnError(kept: Kept, age: number, asking: Asking): boolean {
  // What the origin wants to be asked about each time needs its word, fresh or not (RFC 9111 section 5.2.2.4).
  return !kept.alwaysValidate && !asking.fresh && age - kept.lifetime < kept.staleIfError;
}
