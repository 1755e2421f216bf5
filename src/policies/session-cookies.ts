import { withoutCookies } from '../exchange/cookies.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { isOwnCookie } from './auth/oidc/cookies.ts';
import { type Filter, type Policy, Verdict } from './policy.ts';

/**
 * Takes sessions of OpenID logins away that belong to other routes of the host: a browser sends its cookies to all of them. Translation alone
 * asks for it.
 */
export const sessionCookies: Policy<'sessionCookies'> = {
  name: 'sessionCookies',
  compile: (names) => new SessionCookiesFilter(names),
};

class SessionCookiesFilter implements Filter {
  readonly policy = 'sessionCookies';
  readonly #names: readonly string[];
  readonly #isSession: (cookie: string) => boolean;

  constructor(names: readonly string[]) {
    this.#names = names;
    this.#isSession = (cookie) => names.some((name) => isOwnCookie(name, cookie));
  }

  describe(): string {
    return `remove cookies of logins on this host: ${this.#names.join(', ')}`;
  }

  onRequest(exchange: Exchange): Verdict {
    withoutCookies(exchange.requestFields, this.#isSession);
    return Verdict.Continue;
  }
}
