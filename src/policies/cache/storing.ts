/** Whether an answer may be stored, and how long it is good for (RFC 9111 sections 3 and 4.2, RFC 5861). Pure. */
import type { Fields } from '../../exchange/fields.ts';
import type { CacheSpec } from '../../snapshot/cache.ts';
import { fieldsOf, parseDirectives, parseHttpDate, secondsOf } from './directives.ts';

/**
 * Final statuses that are stored, where the origin says for how long. Those that a client can provoke by the way in which it
 * asks (400, 413, 431 and such) or that are a passing trouble (5xx) never are, whatever the origin says: one bad request would
 * take the page from everybody. 206 is a part, and 304 no answer of its own.
 */
const STORED_STATUSES = new Set([200, 203, 204, 300, 301, 302, 307, 308, 404, 405, 410, 414, 451, 501]);
/** Those that `defaultTTL` is for: successes, and what moved for good. */
const DEFAULT_TTL_STATUSES = new Set([200, 203, 204, 300, 301, 308]);

/** Names that a Vary may have at most; more are a key that nobody meets again. */
const MAX_VARY = 16;

/** How an answer may be kept. Times in milliseconds. */
export interface Terms {
  /** How long it is fresh, counted from its origin; 0: it is stale at once. */
  readonly lifetime: number;
  /** Its age when it came (RFC 9111 section 4.2.3). */
  readonly initialAge: number;
  /** How long past its lifetime it may be served while it is asked for again; while the origin fails. */
  readonly staleWhileRevalidate: number;
  readonly staleIfError: number;
  /** It is not to be served without asking its origin (no-cache). */
  readonly alwaysValidate: boolean;
  /** It is not to be served stale because the client would take it. */
  readonly neverStale: boolean;
  /** Names of the request's fields that it depends on, sorted, lower-case. */
  readonly vary: readonly string[];
  /** Names of fields that are not kept with it. */
  readonly withoutFields: readonly string[];
}

export interface Asked {
  /** The request named its sender, or the route knows who may. */
  readonly authorized: boolean;
  /** Milliseconds from the request's start to the answer's head. */
  readonly delay: number;
  /** Wall clock at the answer's head. */
  readonly now: number;
}

/** @returns undefined where it is not to be stored, for a shared cache */
export function termsOf(spec: CacheSpec, status: number, fields: Fields, { authorized, delay, now }: Asked): Terms | undefined {
  if (!STORED_STATUSES.has(status)) return undefined;
  const directives = parseDirectives(fields.getAll('cache-control'));
  // `must-understand` takes it back where the status is understood, as those above are (RFC 9111 section 5.2.2.3).
  if (directives.has('no-store') && !directives.has('must-understand')) return undefined;
  const secret = fieldsOf(directives, 'private');
  if (secret?.length === 0) return undefined;
  const unchecked = fieldsOf(directives, 'no-cache');
  const withoutFields = [...(secret ?? []), ...(unchecked ?? [])];
  // A cookie is its receiver's, unless the origin says that the answer is good without it.
  if (fields.has('set-cookie') && !withoutFields.includes('set-cookie')) return undefined;
  const mustRevalidate = directives.has('must-revalidate');
  const sharedAge = secondsOf(directives, 's-maxage');
  // RFC 9111 section 3.5.
  if (authorized && !mustRevalidate && !directives.has('public') && sharedAge === undefined) return undefined;
  const named = varyNames(fields.getAll('vary'));
  const vary = named && withSources(named, spec.made);
  if (vary === undefined) return undefined;
  const date = dateOf(fields, 'date', now);
  const alwaysValidate = unchecked?.length === 0;
  const stated = lifetimeOf(spec, status, fields, sharedAge ?? secondsOf(directives, 'max-age'), date ?? now, now);
  const lifetime = stated ?? (alwaysValidate ? 0 : undefined);
  if (lifetime === undefined) return undefined;
  const forbidden = mustRevalidate || directives.has('proxy-revalidate') || alwaysValidate;
  // s-maxage implies proxy-revalidate (RFC 9111 section 5.2.2.10), but not against windows that the origin itself names beside it.
  const implied = sharedAge !== undefined;
  // Nor is what is to be validated each time served without that because a route's policy says so.
  const whileRevalidate = implied || lifetime === 0 ? 0 : spec.staleWhileRevalidate;
  const terms = {
    lifetime,
    initialAge: initialAge(fields, date, delay, now),
    staleWhileRevalidate: forbidden ? 0 : staleWindow(secondsOf(directives, 'stale-while-revalidate'), whileRevalidate),
    staleIfError: forbidden ? 0 : staleWindow(secondsOf(directives, 'stale-if-error'), implied ? 0 : spec.staleIfError),
    alwaysValidate,
    neverStale: forbidden || implied,
    vary,
    withoutFields,
  };
  return isOfUse(terms, fields) ? terms : undefined;
}

/** Something that is stale at once, with nothing to validate it by, would never be served. */
function isOfUse({ lifetime, initialAge: age, alwaysValidate, staleWhileRevalidate }: Terms, fields: Fields): boolean {
  if (!alwaysValidate && lifetime + staleWhileRevalidate > age) return true;
  return fields.has('etag') || fields.has('last-modified');
}

/** @param age seconds that Cache-Control gives; undefined: it gives none; NaN: nonsense */
function lifetimeOf(spec: CacheSpec, status: number, fields: Fields, age: number | undefined, date: number, now: number): number | undefined {
  // What can't be read is stale (RFC 9111 section 4.2.1).
  if (age !== undefined) return Number.isNaN(age) ? 0 : age * 1000;
  const expires = fields.getAll('expires');
  if (expires.length > 0) {
    const until = expires.every((value) => value === expires[0]) ? parseHttpDate(expires[0] as string, now) : undefined;
    return until === undefined ? 0 : Math.max(0, until - date);
  }
  // No heuristics but the user's own word.
  return spec.defaultTTL > 0 && DEFAULT_TTL_STATUSES.has(status) ? spec.defaultTTL : undefined;
}

/** The origin's word, where it gives one, wins over the policy's. */
function staleWindow(seconds: number | undefined, configured: number): number {
  if (seconds === undefined) return configured;
  return Number.isNaN(seconds) ? 0 : seconds * 1000;
}

function dateOf(fields: Fields, name: string, now: number): number | undefined {
  const value = fields.get(name);
  return value === undefined ? undefined : parseHttpDate(value, now);
}

/** RFC 9111 section 4.2.3. */
function initialAge(fields: Fields, date: number | undefined, delay: number, now: number): number {
  const apparent = date === undefined ? 0 : Math.max(0, now - date);
  const age = fields.get('age');
  // An Age that is no number is passed over; of a list the first counts (RFC 9111 section 5.1).
  const digits = /^\d+(?=\s*(?:,|$))/.exec(age ?? '')?.[0];
  return Math.max(apparent, (digits === undefined ? 0 : Math.min(Number(digits), 2 ** 31) * 1000) + delay);
}

/** Adds what headers were made of that the answer varies by. @returns undefined where no field of the client's says that */
function withSources(names: readonly string[], made: CacheSpec['made']): readonly string[] | undefined {
  if (made === undefined) return names;
  const all = new Set(names);
  // Those nearest to the backend come first, so that what they were made of may be made as well.
  for (const { name, of } of made) {
    if (!all.has(name)) continue;
    if (of === undefined) return undefined;
    for (const source of of) all.add(source);
  }
  return all.size > MAX_VARY ? undefined : [...all].sort();
}

/** @returns undefined for `*` and what can't be a key */
export function varyNames(lines: readonly string[]): readonly string[] | undefined {
  if (lines.length === 0) return [];
  const names = new Set<string>();
  for (const part of lines.join(',').split(',')) {
    const name = part.trim().toLowerCase();
    if (name === '') continue;
    if (name === '*' || !/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name)) return undefined;
    names.add(name);
  }
  return names.size > MAX_VARY ? undefined : [...names].sort();
}
