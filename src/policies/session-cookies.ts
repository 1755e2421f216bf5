import { withoutCookies } from '../exchange/cookies.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { isSealedCookie } from './auth/oidc/cookies.ts';
import { type Filter, type Policy, Verdict } from './policy.ts';

/**
 * Takes sessions of OpenID logins away that belong to other routes of the host: a browser sends its cookies to all of them. Translation alone
 * asks for it. By name and form: a policy of another namespace may name its cookie as an application of this one does.
 */
export const sessionCookies: Policy<'sessionCookies'> = {
  name: 'sessionCookies',
  compile: (names) => new SessionCookiesFilter(names),
};

class SessionCookiesFilter implements Filter {
  readonly policy = 'sessionCookies';
  readonly #names: readonly string[];
  readonly #isSession: (cookie: string, value: string) => boolean;

  constructor(names: readonly string[]) {
    this.#names = names;
    this.#isSession = (cookie, value) => names.some((name) => isSealedCookie(name, cookie, value));
  }

  describe(): string {
    return `remove cookies of logins on this host: ${this.#names.join(', ')}`;
  }

  onRequest(exchange: Exchange): Verdict {
    withoutCookies(exchange.requestFields, this.#isSession);
    return Verdict.Continue;
  }
}
