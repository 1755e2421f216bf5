/** What a browser that has logged in keeps, sealed: the ID token, which says who it is, and by what the provider renews that. */
import type { Exchange } from '../../../exchange/exchange.ts';
import { parseJsonText } from '../../../exchange/json-text.ts';
import { SessionCookies } from './cookies.ts';
import { ProviderError, type Tokens } from './provider.ts';
import type { Seal } from './seal.ts';

export interface Session {
  /** As the provider signed it; for its end-session endpoint. */
  readonly idToken: string;
  /** Those of the ID token. */
  readonly claims: Readonly<Record<string, unknown>>;
  readonly refreshToken: string | undefined;
  /** Milliseconds since the epoch; from then on it must be renewed. */
  readonly expiresAt: number;
}

/** Where neither an ID token nor anything else says when to ask again. Seconds. */
const DEFAULT_LIFETIME = 300;

/** @param now milliseconds since the epoch @throws ProviderError where the tokens name nobody */
export function beginSession({ idToken, claims, refreshToken }: Tokens, now: number): Session {
  if (idToken === undefined || typeof claims?.sub !== 'string' || claims.sub === '')
    throw new ProviderError('invalid', 'there is no ID token that names somebody');
  return { idToken, claims, refreshToken, expiresAt: expiry(claims, undefined, now) };
}

/**
 * OpenID Connect Core 1.0, section 12.2: an answer to a refresh may have no ID token, and no other refresh token.
 * @throws ProviderError where the tokens are somebody else's
 */
export function renewSession(session: Session, tokens: Tokens, now: number): Session {
  const refreshToken = tokens.refreshToken ?? session.refreshToken;
  if (tokens.idToken === undefined || tokens.claims === undefined) {
    return { ...session, refreshToken, expiresAt: expiry({}, tokens.expiresIn, now) };
  }
  if (tokens.claims.sub !== session.claims.sub) throw new ProviderError('invalid', 'the ID token of a refresh names somebody else');
  return { idToken: tokens.idToken, claims: tokens.claims, refreshToken, expiresAt: expiry(tokens.claims, tokens.expiresIn, now) };
}

function expiry({ exp }: Readonly<Record<string, unknown>>, expiresIn: number | undefined, now: number): number {
  return typeof exp === 'number' ? exp * 1000 : now + (expiresIn ?? DEFAULT_LIFETIME) * 1000;
}

/** Sessions in cookies. */
export class Sessions {
  readonly #cookies: SessionCookies;
  readonly #seal: Seal;

  constructor(cookieName: string, seal: Seal) {
    this.#cookies = new SessionCookies(cookieName);
    this.#seal = seal;
  }

  /** Whether the request has a session, good or not. */
  isPresent(exchange: Exchange): boolean {
    return this.#cookies.isPresent(exchange);
  }

  /** @returns undefined where there is none that was made here, and for the same policy; it may have expired */
  read(exchange: Exchange): Session | undefined {
    const sealed = this.#cookies.read(exchange);
    const text = sealed === undefined ? undefined : this.#seal.open(sealed);
    if (text === undefined) return undefined;
    try {
      const [idToken, refreshToken, expiresAt] = JSON.parse(text) as [string, string | null, number];
      const claims = parseJsonText(Buffer.from(idToken.split('.')[1] ?? '', 'base64url').toString('utf8')) as Record<string, unknown>;
      return { idToken, claims, refreshToken: refreshToken ?? undefined, expiresAt };
    } catch {
      // Another version of the gateway, with the same key, may seal something else.
      return undefined;
    }
  }

  /** @returns values of Set-Cookie; undefined where the provider's tokens are longer than what a browser can keep */
  write(exchange: Exchange, { idToken, refreshToken, expiresAt }: Session): string[] | undefined {
    return this.#cookies.write(exchange, this.#seal.close(JSON.stringify([idToken, refreshToken ?? null, expiresAt])));
  }

  /** @returns values of Set-Cookie */
  clear(exchange: Exchange): string[] {
    return this.#cookies.clear(exchange);
  }
}
