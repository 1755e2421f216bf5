/** Who claimed a host and a match first. */
import { hostKey } from '../snapshot/host-key.ts';
import type { FieldMatch, HostPattern, Match, PathMatch } from '../snapshot/snapshot.ts';

/**
 * Hosts times matches of one object beyond which its matches are not compared with others: the product grows much faster
 * than what was written, and the oldest wins without it, by rank.
 */
const MAX_CLAIMS = 20_000;

/** What is claimed: a host and a match on it. Equal for equal claims. */
export type ClaimKey = string;

/** @param match as `matchKey` gives it */
export function claimKey(host: HostPattern, match: string): ClaimKey {
  return `${hostKey(host)}\n${match}`;
}

/** Objects must claim in order of age. */
export class Claims<Owner> {
  readonly #owners = new Map<ClaimKey, Owner>();

  isFree(key: ClaimKey): boolean {
    return !this.#owners.has(key);
  }

  /** @returns who has claimed the very same host and match before, in which case nothing changes */
  claim(key: ClaimKey, owner: Owner): Owner | undefined {
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
  const key = pathKey(path);
  if (methods === undefined && headers.length + queryParams.length + cookies.length === 0 && clientCIDRs === undefined && scheme === undefined) return key;
  const rest = [methods?.toSorted() ?? [], fields(headers), fields(queryParams), fields(cookies), clientCIDRs?.toSorted() ?? [], scheme ?? ''];
  return `${key}\n${JSON.stringify(rest)}`;
}

/** Segments that are named may be named otherwise; braces that name nothing are those of an Ingress. */
function pathKey({ type, value, names }: PathMatch): string {
  if (names === undefined) return `${type} ${value}`;
  const elements = value.split('/').map((element, index) => (index > 0 && names[index - 1] !== '' ? '{}' : element));
  return `${type} named ${elements.join('/')}`;
}

function fields(matches: readonly FieldMatch[]): string[] {
  return matches.map(({ name, type, value }) => JSON.stringify([name, type, value])).sort();
}
