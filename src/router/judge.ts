/**
 * Whether one match fits one request, written plainly from the rules of the API page: what the oracle decides by, and
 * what `explain` says about a match that does not fit. The compiled router (match.ts, path-trie.ts) does not use it.
 */
import { RE2JS } from 're2js';
import { CidrSet } from '../exchange/cidr.ts';
import { fitsNamed } from '../exchange/path-segments.ts';
import type { FieldMatch, HostPattern, Match, PathMatch } from '../snapshot/match.ts';
import { describeField, describePath } from '../snapshot/words.ts';
import type { Routable } from './router.ts';

/** The parts of a match, in the order in which they rank. */
export const PARTS = ['host', 'path', 'methods', 'headers', 'queryParams', 'cookies', 'clientCIDRs', 'scheme'] as const;
export type Part = (typeof PARTS)[number];

/** The first part of a match that does not fit. */
export interface Mismatch {
  readonly part: Part;
  /** What the part asks for, as words that follow "expected". */
  readonly expected: string;
  /** What the request has. */
  readonly got: string;
}

export function hostFits(pattern: HostPattern, host: string): boolean {
  if (pattern.type === 'Any') return true;
  if (pattern.type === 'Exact') return host === pattern.value;
  if (!host.endsWith(`.${pattern.value}`)) return false;
  const covered = host.slice(0, -pattern.value.length - 1);
  return covered !== '' && (pattern.type === 'Suffix' || !covered.includes('.'));
}

/** Judges many requests by the same matches: each regular expression is compiled once. */
export class Judge {
  readonly #patterns = new Map<string, RE2JS>();

  /** @returns the first part, in the order of `PARTS` and without the host, that does not fit; undefined when all do */
  mismatch(match: Match, request: Routable): Mismatch | undefined {
    if (!this.#pathFits(match.path, request.path)) return { part: 'path', expected: describePath(match.path), got: request.path };
    if (match.methods !== undefined && !match.methods.includes(request.method)) {
      return { part: 'methods', expected: match.methods.join(' or '), got: request.method };
    }
    for (const header of match.headers) {
      // Each field line is a value of its own. Lists within a line are not taken apart: commas are data in some fields.
      const values = request.headerValues(header.name);
      if (!values.some((value) => this.#fieldFits(header, value))) {
        return { part: 'headers', expected: describeField(header), got: values.length === 0 ? 'no such header' : values.map(quote).join(', ') };
      }
    }
    for (const param of match.queryParams) {
      const value = request.queryParam(param.name);
      if (value === undefined || !this.#fieldFits(param, value)) {
        return { part: 'queryParams', expected: describeField(param), got: value === undefined ? 'no such parameter' : quote(value) };
      }
    }
    for (const cookie of match.cookies) {
      const value = request.cookie(cookie.name);
      if (value === undefined || !this.#fieldFits(cookie, value)) {
        return { part: 'cookies', expected: describeField(cookie), got: value === undefined ? 'no such cookie' : quote(value) };
      }
    }
    if (match.clientCIDRs !== undefined && !new CidrSet(match.clientCIDRs).has(request.clientAddress)) {
      return { part: 'clientCIDRs', expected: `an address in ${match.clientCIDRs.join(', ')}`, got: request.clientAddress };
    }
    if (match.scheme !== undefined && match.scheme !== request.scheme) return { part: 'scheme', expected: match.scheme, got: request.scheme };
    return undefined;
  }

  #pathFits(match: PathMatch, path: string): boolean {
    if (match.names !== undefined) return fitsNamed(path, match);
    switch (match.type) {
      case 'Exact':
        return path === match.value;
      case 'PathPrefix':
        return match.value === '/' ? path.startsWith('/') : path === match.value || path.startsWith(`${match.value}/`);
      case 'RegularExpression':
        return this.#patternFits(match.value, path);
    }
  }

  #fieldFits(match: FieldMatch, value: string): boolean {
    if (match.type === 'Present') return true;
    return match.type === 'Exact' ? value === match.value : this.#patternFits(match.value, value);
  }

  #patternFits(pattern: string, value: string): boolean {
    let compiled = this.#patterns.get(pattern);
    if (compiled === undefined) {
      compiled = RE2JS.compile(pattern);
      this.#patterns.set(pattern, compiled);
    }
    return compiled.matches(value);
  }
}

function quote(value: string): string {
  return JSON.stringify(value);
}
