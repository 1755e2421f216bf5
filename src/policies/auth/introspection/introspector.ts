/** Asks an authorization server about tokens (RFC 7662), and remembers what it said. */
import { hash } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { IntrospectionSpec } from '../../../snapshot/introspection.ts';
import type { PolicyFetcher } from '../../policy.ts';
import type { SecretCell } from '../../secrets.ts';
import { type JsonObject, parseStrictObject } from '../tokens/strict-json.ts';
import { TokenCache } from '../tokens/token-cache.ts';

/** Fixed words, for the log. */
export type IntrospectionRefusal = 'token_malformed' | 'token_too_long' | 'token_inactive' | 'token_expired' | 'token_not_yet_valid';
export type IntrospectionFailure = 'introspection_failed' | 'introspection_overloaded' | 'client_secret_unavailable';

export type IntrospectionOutcome =
  | { readonly type: 'active'; readonly claims: JsonObject }
  | { readonly type: 'refused'; readonly reason: IntrospectionRefusal }
  /** It can't be judged; nobody passes. */
  | { readonly type: 'unavailable'; readonly reason: IntrospectionFailure };

const MAX_TOKEN_LENGTH = 16 * 1024;
/** Questions under way to one server from a worker; its connections are fewer. */
const MAX_PENDING = 512;

const ACTIVE_ENTRIES = 10_000;
const ACTIVE_BYTES = 16 * 1024 * 1024;
const REFUSED_ENTRIES = 4000;
const REFUSED_BYTES = 2 * 1024 * 1024;

interface Known {
  readonly outcome: IntrospectionOutcome;
  /** On the monotonic clock (ms). */
  readonly until: number;
}

export interface IntrospectionCounts {
  calls: number;
  failures: number;
  hits: number;
}

export interface IntrospectorClock {
  /** Milliseconds, never backwards. */
  monotonic(): number;
  /** Milliseconds since the epoch. */
  date(): number;
}

const CLOCK: IntrospectorClock = { monotonic: () => performance.now(), date: Date.now };

/** Nobody else has a part in an introspector's cache. */
const ALL = '';

export class Introspector {
  readonly #spec: IntrospectionSpec;
  readonly #secret: SecretCell;
  readonly #fetcher: PolicyFetcher;
  readonly #counts: IntrospectionCounts;
  readonly #clock: IntrospectorClock;
  readonly #active = new TokenCache<Known>(ACTIVE_ENTRIES, ACTIVE_BYTES);
  /** Apart, so that who sends bad ones does not drive out the good ones. */
  readonly #refused = new TokenCache<Known>(REFUSED_ENTRIES, REFUSED_BYTES);
  readonly #pending = new Map<string, Promise<IntrospectionOutcome>>();

  constructor(spec: IntrospectionSpec, secret: SecretCell, fetcher: PolicyFetcher, counts: IntrospectionCounts, clock: IntrospectorClock = CLOCK) {
    this.#spec = spec;
    this.#secret = secret;
    this.#fetcher = fetcher;
    this.#counts = counts;
    this.#clock = clock;
  }

  /** At once where the answer is known, or none is needed. The promise never rejects. */
  introspect(token: string): IntrospectionOutcome | Promise<IntrospectionOutcome> {
    if (token.length > MAX_TOKEN_LENGTH) return refused('token_too_long');
    // RFC 6749 appendix A.12, less the space, which no bearer token has (RFC 6750 section 2.1).
    if (!/^[\x21-\x7e]+$/.test(token)) return refused('token_malformed');
    const digest = hash('sha256', token, 'latin1');
    const known = this.#active.get(digest, ALL) ?? this.#refused.get(digest, ALL);
    if (known !== undefined) {
      if (this.#clock.monotonic() < known.until) {
        this.#counts.hits++;
        return this.#judgeTimes(known.outcome);
      }
      this.#active.delete(digest, ALL);
      this.#refused.delete(digest, ALL);
    }
    const pending = this.#pending.get(digest);
    if (pending !== undefined) return pending;
    if (this.#pending.size >= MAX_PENDING) return failed('introspection_overloaded');
    const secret = this.#secret.value;
    if (secret === undefined) return failed('client_secret_unavailable');
    const asked = this.#ask(token, secret, digest)
      // A fault of ours lets nobody in.
      .catch(() => failed('introspection_failed'))
      .finally(() => this.#pending.delete(digest));
    this.#pending.set(digest, asked);
    return asked;
  }

  async #ask(token: string, secret: string, digest: string): Promise<IntrospectionOutcome> {
    const { endpoint, clientId, cacheFor } = this.#spec;
    this.#counts.calls++;
    const begunAt = this.#clock.monotonic();
    // RFC 6749 section 2.3.1: both are form-encoded before they become a user name and a password.
    const credentials = `${formEncoded(clientId)}:${formEncoded(Buffer.from(secret, 'latin1').toString())}`;
    const answer = await this.#fetcher
      .fetch({
        method: 'POST',
        url: endpoint,
        headers: {
          accept: 'application/json',
          authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
          'content-type': 'application/x-www-form-urlencoded',
        },
        body: `token=${formEncoded(token)}&token_type_hint=access_token`,
      })
      .catch(() => undefined);
    const claims = answer?.status === 200 && (answer.headers['content-encoding'] ?? 'identity') === 'identity' ? parseStrictObject(answer.body) : undefined;
    if (claims === undefined || typeof claims.active !== 'boolean' || !isDate(claims.exp) || !isDate(claims.nbf)) {
      this.#counts.failures++;
      return failed('introspection_failed');
    }
    const outcome: IntrospectionOutcome = claims.active ? { type: 'active', claims } : refused('token_inactive');
    if (cacheFor > 0) {
      const cache = claims.active ? this.#active : this.#refused;
      cache.set({ digest, scope: ALL }, { outcome, until: begunAt + cacheFor }, claims.active ? 4 * (answer?.body.length ?? 0) : 0);
    }
    return this.#judgeTimes(outcome);
  }

  /** What a server says of a token may outlast the token. */
  #judgeTimes(outcome: IntrospectionOutcome): IntrospectionOutcome {
    if (outcome.type !== 'active') return outcome;
    const now = this.#clock.date() / 1000;
    const { exp, nbf } = outcome.claims;
    if (typeof exp === 'number' && now >= exp) return refused('token_expired');
    return typeof nbf === 'number' && now < nbf ? refused('token_not_yet_valid') : outcome;
  }
}

/** application/x-www-form-urlencoded, of UTF-8. */
function formEncoded(text: string): string {
  return new URLSearchParams({ x: text }).toString().slice(2);
}

/** RFC 7662 section 2.2: seconds since the epoch. */
function isDate(value: unknown): boolean {
  return value === undefined || (typeof value === 'number' && value >= 0);
}

function refused(reason: IntrospectionRefusal): IntrospectionOutcome {
  return { type: 'refused', reason };
}

function failed(reason: IntrospectionFailure): IntrospectionOutcome {
  return { type: 'unavailable', reason };
}
