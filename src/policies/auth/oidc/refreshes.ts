import { hash } from 'node:crypto';
import type { Tokens } from './provider.ts';

/**
 * How long what a refresh has brought is given again to who comes with the old refresh token: a browser's other requests, which
 * were on their way already. Many providers take a refresh token once only (RFC 9700 section 4.14.2). Milliseconds.
 */
const GRACE = 10_000;
const MOST_KNOWN = 10_000;

/** Refreshes of one worker, for all its routes: of requests with one session, only one asks the provider. */
export class Refreshes {
  readonly #known = new Map<string, { readonly tokens: Promise<Tokens>; readonly until: number }>();
  readonly #now: () => number;

  /** @param now milliseconds, monotonic */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** @param provider whose refresh token it is @param begin asks for new tokens @throws (rejects) as `begin` does */
  of(provider: string, refreshToken: string, begin: () => Promise<Tokens>): Promise<Tokens> {
    const now = this.#now();
    this.#forget(now);
    // Not the token itself: what is no longer needed may stay for a while.
    const key = hash('sha256', `${provider}\0${refreshToken}`, 'base64');
    const known = this.#known.get(key);
    if (known !== undefined) return known.tokens;
    const tokens = begin();
    this.#known.set(key, { tokens, until: now + GRACE });
    // A failure is nothing to give again.
    tokens.catch(() => this.#known.delete(key));
    return tokens;
  }

  /** Those whose time is over, which are the first ones. */
  #forget(now: number): void {
    for (const [key, { until }] of this.#known) {
      if (until > now && this.#known.size < MOST_KNOWN) return;
      this.#known.delete(key);
    }
  }
}
