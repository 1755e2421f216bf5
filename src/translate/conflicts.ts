/** Who claimed a host and a match first. */
import { hostKey } from '../snapshot/host-key.ts';
import type { FieldMatch, HostPattern, Match, PathMatch } from '../snapshot/match.ts';

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

/** Claims released and taken by edits, beyond which they are to be collected anew. */
const MOST_EDITED = 4096;

/** Objects must claim in order of age. */
export class Claims<Owner> {
  readonly #owners: Map<ClaimKey, Owner>;
  /** In a copy: what differs from `owners`, which it shares; null: free. */
  readonly #edited: Map<ClaimKey, Owner | null> | undefined;
  /** Claimed more than once. */
  readonly #contested: Set<ClaimKey>;

  /** @param original absent: nothing is claimed. Else this is a copy to edit, and the original stays as it is */
  constructor(original?: Claims<Owner>) {
    this.#owners = original === undefined ? new Map() : original.#owners;
    this.#edited = original && new Map(original.#edited);
    this.#contested = original === undefined ? new Set() : new Set(original.#contested);
  }

  isFree(key: ClaimKey): boolean {
    return this.#ownerOf(key) === undefined;
  }

  /** @returns who has claimed the very same host and match before, in which case nothing changes */
  claim(key: ClaimKey, owner: Owner): Owner | undefined {
    const older = this.#ownerOf(key);
    if (older !== undefined) this.#contested.add(key);
    else (this.#edited ?? this.#owners).set(key, owner);
    return older;
  }

  /** In a copy. @returns false, and does nothing, where others wanted it, too */
  release(key: ClaimKey): boolean {
    if (this.#contested.has(key)) return false;
    this.#edited?.set(key, null);
    return true;
  }

  /** So much was edited that copies cost more than they spare. */
  get isLarge(): boolean {
    return this.#edited !== undefined && this.#edited.size > MOST_EDITED;
  }

  #ownerOf(key: ClaimKey): Owner | undefined {
    const edited = this.#edited?.get(key);
    return edited === undefined ? this.#owners.get(key) : (edited ?? undefined);
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
