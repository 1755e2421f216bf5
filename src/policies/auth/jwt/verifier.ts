/** Who a token says that its bearer is, if it is a good one (RFC 7519, by the rules of RFC 8725). */
import { hash } from 'node:crypto';
import type { JwtRules } from '../../../snapshot/jwt.ts';
import { RecentDigests } from '../tokens/recent-digests.ts';
import type { JsonObject } from '../tokens/strict-json.ts';
import { TokenCache, type TokenKey } from '../tokens/token-cache.ts';
import { type ClaimFlaw, claimFlaw, expiryOf } from './claims.ts';
import { type CompactToken, readCompactToken, type TokenFlaw } from './compact-token.ts';
import type { KeySet } from './key-set.ts';
import type { KeySource } from './key-source.ts';

/** Fixed words, for the log. */
export type JwtRefusal = TokenFlaw | ClaimFlaw | 'unknown_key' | 'bad_signature';

export type JwtOutcome =
  | { readonly type: 'verified'; readonly claims: JsonObject }
  | { readonly type: 'refused'; readonly reason: JwtRefusal }
  /** It can't be judged; nobody passes. */
  | { readonly type: 'unavailable'; readonly reason: 'keys_unavailable' };

/** A token that was found good. */
interface Known {
  readonly outcome: JwtOutcome;
  /** What it was verified by; other keys may find otherwise. */
  readonly keys: KeySet;
  /** Seconds since the epoch; from then on it is looked at anew. */
  readonly until: number;
}

/** Tokens that verifiers of a worker know, together: so many, and so many bytes. */
const KNOWN_ENTRIES = 20_000;
const KNOWN_BYTES = 32 * 1024 * 1024;
/** Bad ones are apart: who sends them must not drive out the good ones. */
const REFUSED_ENTRIES = 4000;
const REFUSED_BYTES = 2 * 1024 * 1024;

const UNAVAILABLE: JwtOutcome = { type: 'unavailable', reason: 'keys_unavailable' };

/** What the verifiers of one worker share. */
export class KnownTokens {
  readonly good = new TokenCache<Known>(KNOWN_ENTRIES, KNOWN_BYTES);
  /** Of good tokens that came again. */
  readonly digests = new RecentDigests();
  /** Of signatures that did not verify: by which keys. */
  readonly bad = new TokenCache<KeySet>(REFUSED_ENTRIES, REFUSED_BYTES);
  /** Under way. */
  readonly pending = new Map<string, Promise<JwtOutcome>>();
  /** For metrics. */
  hits = 0;
  verifications = 0;
}

export class JwtVerifier {
  readonly #rules: JwtRules;
  readonly #algorithms: ReadonlySet<string>;
  readonly #keys: KeySource;
  readonly #known: KnownTokens;
  /** Apart from other verifiers' entries, and the same for the same rules after a reload. */
  readonly #scope: string;
  readonly #now: () => number;

  /**
   * @param scope equal for verifiers with equal rules and keys, short
   * @param now milliseconds since the epoch
   */
  constructor(rules: JwtRules, keys: KeySource, known: KnownTokens, scope: string, now: () => number = Date.now) {
    this.#rules = rules;
    this.#algorithms = new Set(rules.algorithms);
    this.#keys = keys;
    this.#known = known;
    this.#scope = scope;
    this.#now = now;
  }

  /** At once where the token is known, or judged by what stands in it. The promise never rejects. */
  verify(text: string): JwtOutcome | Promise<JwtOutcome> {
    const known = this.#known;
    const scope = this.#scope;
    const recent = known.digests.get(text);
    const digest = recent ?? hash('sha256', text, 'latin1');
    const keys = this.#keys.current();
    const entry = known.good.get(digest, scope);
    if (entry !== undefined) {
      if (keys === null) return UNAVAILABLE;
      if (entry.keys === keys && this.#now() < entry.until * 1000) {
        known.hits++;
        if (recent === undefined) known.digests.keep(text, digest);
        return entry.outcome;
      }
      known.good.delete(digest, scope);
    }
    const token = readCompactToken(text, this.#algorithms);
    if (typeof token === 'string') return refused(token);
    // Before the signature, which costs more: what is refused either way is refused cheaply, and says nothing of why.
    const flaw = claimFlaw(token.claims, this.#rules, this.#now() / 1000);
    if (flaw !== undefined) return refused(flaw);
    if (keys === null) return UNAVAILABLE;
    if (keys !== undefined && known.bad.get(digest, scope) === keys) return refused('bad_signature');
    const atOnce = keys === undefined ? undefined : this.#findAtOnce(text, token, { digest, scope }, keys);
    if (atOnce !== undefined) return atOnce;
    const key = scope + digest;
    let pending = known.pending.get(key);
    if (pending === undefined) {
      pending = this.#find(text, token, { digest, scope }, keys)
        // A fault of ours lets nobody in.
        .catch(() => UNAVAILABLE)
        .finally(() => known.pending.delete(key));
      known.pending.set(key, pending);
    }
    return pending;
  }

  /** @returns undefined where it takes another thread, or keys that are not here */
  #findAtOnce(text: string, token: CompactToken, place: TokenKey, keys: KeySet): JwtOutcome | undefined {
    const { kid, algorithm, signed, signature } = token;
    if (kid !== undefined && !keys.has(kid)) return undefined;
    const [key, other] = keys.candidates(algorithm, kid);
    const check = other === undefined ? key?.quickCheck(algorithm) : undefined;
    if (check === undefined) return undefined;
    this.#known.verifications++;
    if (key?.takes(signature) === true && check(signed, signature)) return this.#learn(text, token, place, keys);
    this.#known.bad.set(place, keys, 0);
    return refused('bad_signature');
  }

  /** The token is good. */
  #learn(text: string, { claims }: CompactToken, place: TokenKey, keys: KeySet): JwtOutcome {
    const outcome: JwtOutcome = { type: 'verified', claims };
    this.#known.good.set(place, { outcome, keys, until: expiryOf(claims, this.#rules) }, 4 * text.length);
    return outcome;
  }

  async #find(text: string, token: CompactToken, place: TokenKey, current: KeySet | undefined): Promise<JwtOutcome> {
    let keys = current ?? (await this.#keys.first());
    if (keys === null) return UNAVAILABLE;
    const { kid, algorithm, signature } = token;
    // RFC 8725 section 3.10: it is a name among the keys that we have, and leads nowhere else.
    if (kid !== undefined && !keys.has(kid)) {
      keys = await this.#keys.newer();
      if (keys === null) return UNAVAILABLE;
    }
    const candidates = keys.candidates(algorithm, kid);
    if (candidates.length === 0) return refused('unknown_key');
    this.#known.verifications++;
    for (const key of candidates) {
      if (!key.takes(signature)) continue;
      const isGood = await key.import(algorithm).then(
        (imported) => imported.verify(text),
        () => false,
      );
      if (isGood) return this.#learn(text, token, place, keys);
    }
    this.#known.bad.set(place, keys, 0);
    return refused('bad_signature');
  }
}

function refused(reason: JwtRefusal): JwtOutcome {
  return { type: 'refused', reason };
}
