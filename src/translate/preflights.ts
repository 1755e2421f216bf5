import type { FieldMatch, Match } from '../snapshot/match.ts';

const ORIGIN: FieldMatch = { name: 'origin', type: 'Present', value: '' };
const REQUEST_METHOD = 'access-control-request-method';

/**
 * Matches for the preflight requests of a rule with `cors`, beside its own. A preflight has the method OPTIONS, and neither
 * cookies nor the headers of the request that is to follow (Fetch standard, section 4.8): matches that ask for any of these
 * would never take it. What is taken here alone is a preflight for sure, and answered by `cors`.
 */
export function preflightMatches(matches: readonly Match[]): Match[] {
  const found = new Map<string, Match>();
  for (const { methods, headers, cookies, ...rest } of matches) {
    const takesOptions = methods === undefined || methods.includes('OPTIONS');
    if (takesOptions && headers.length === 0 && cookies.length === 0) continue;
    // Where two rules differ by method, each gets the preflights of its own.
    const wanted: readonly FieldMatch[] =
      methods === undefined
        ? [{ name: REQUEST_METHOD, type: 'Present', value: '' }]
        : methods.filter((method) => method !== 'OPTIONS').map((value) => ({ name: REQUEST_METHOD, type: 'Exact', value }));
    for (const method of wanted) {
      const match: Match = { ...rest, methods: ['OPTIONS'], headers: [ORIGIN, method], cookies: [] };
      found.set(JSON.stringify(match), match);
    }
  }
  return [...found.values()];
}
