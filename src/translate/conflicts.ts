/** Who claimed a host and a match first. */
import { hostKey } from '../snapshot/host-key.ts';
import { LayeredMap } from '../snapshot/layered-map.ts';
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

/** Objects must claim in order of age. */
export class Claims<Owner> {
  /** Of a copy: what the original has. */
  readonly #base: LayeredMap<ClaimKey, Owner> | undefined;
  /** Undefined: released. */
  readonly #own = new Map<ClaimKey, Owner | undefined>();
  /** Claimed more than once. */
  readonly #contested: Set<ClaimKey>;

  /** @param original absent: nothing is claimed. Else this is a copy to edit, and the original stays as it is */
  constructor(original?: Claims<Owner>) {
    this.#base = original === undefined ? undefined : original.#all();
    this.#contested = new Set(original === undefined ? [] : original.#contested);
  }

  isFree(key: ClaimKey): boolean {
    return this.#ownerOf(key) === undefined;
  }

  /** @returns who has claimed the very same host and match before, in which case nothing changes */
  claim(key: ClaimKey, owner: Owner): Owner | undefined {
    const older = this.#ownerOf(key);
    if (older !== undefined) this.#contested.add(key);
    else this.#own.set(key, owner);
    return older;
  }

  /** @returns false, and does nothing, where others wanted it, too */
  release(key: ClaimKey): boolean {
    if (this.#contested.has(key)) return false;
    this.#own.set(key, undefined);
    return true;
  }

  /** Nothing is claimed or released after it. */
  #all(): LayeredMap<ClaimKey, Owner> {
    // Without an original there is nothing that could be released.
    return this.#base === undefined ? LayeredMap.of(this.#own as ReadonlyMap<ClaimKey, Owner>) : this.#base.with(this.#own);
  }

  #ownerOf(key: ClaimKey): Owner | undefined {
    const own = this.#own.get(key);
    return own !== undefined || this.#base === undefined || this.#own.has(key) ? own : this.#base.get(key);
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
