/** Who claimed a host and a match first. */
import type { FieldMatch, HostPattern, Match } from '../snapshot/snapshot.ts';
import { hostKey } from './hosts-and-paths.ts';

/**
 * Hosts times matches of one object beyond which its matches are not compared with others: the product grows much faster
 * than what was written, and the oldest wins without it, by rank.
 */
const MAX_CLAIMS = 20_000;

/** Objects must claim in order of age. */
export class Claims<Owner> {
  readonly #owners = new Map<string, Owner>();

  isFree(host: HostPattern, match: string): boolean {
    return !this.#owners.has(`${hostKey(host)}\n${match}`);
  }

  /** @returns who has claimed the very same host and match before, in which case nothing changes */
  claim(host: HostPattern, match: string, owner: Owner): Owner | undefined {
    const key = `${hostKey(host)}\n${match}`;
    const older = this.#owners.get(key);
    if (older === undefined) this.#owners.set(key, owner);
    return older;
  }
}

export function mayClaim(hosts: number, matches: number): boolean {
  return hosts * matches <= MAX_CLAIMS;
}

/** Equal for matches that the same requests fit, as far as that can be read off them. */
export function matchKey(match: Match): string {
  const { path, methods, headers, queryParams, cookies, clientCIDRs, scheme } = match;
  const key = `${path.type} ${path.value}`;
  if (methods === undefined && headers.length + queryParams.length + cookies.length === 0 && clientCIDRs === undefined && scheme === undefined) return key;
  const rest = [methods?.toSorted() ?? [], fields(headers), fields(queryParams), fields(cookies), clientCIDRs?.toSorted() ?? [], scheme ?? ''];
  return `${key}\n${JSON.stringify(rest)}`;
}

function fields(matches: readonly FieldMatch[]): string[] {
  return matches.map(({ name, type, value }) => JSON.stringify([name, type, value])).sort();
}
