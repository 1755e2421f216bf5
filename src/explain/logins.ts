/** What an OpenID login answers on its own paths, whoever asks: nobody else serves them. */
import type { Exchange } from '../exchange/exchange.ts';
import { isLoginLink } from '../policies/auth/oidc/login-link.ts';
import type { AuthSpec } from '../snapshot/auth.ts';
import type { AnswerReport } from './report.ts';

/** @returns undefined where the path is none of a login's; else what comes of it unless a method before it finds its credential */
export function loginAnswer(auth: AuthSpec | undefined, exchange: Exchange): AnswerReport | undefined {
  if (auth === undefined) return undefined;
  const place = auth.methods.findIndex((one) => one.type === 'oidc' && (one.redirectPath === exchange.path || one.logoutPath === exchange.path));
  const method = auth.methods[place];
  if (method?.type !== 'oidc') return undefined;
  const { issuer, logoutPath } = method;
  const told = (reason: string, what: string): AnswerReport => ({
    ...{ status: 302, reason, by: 'auth' },
    detail: `AuthPolicy ${auth.policy}: ${what}${place === 0 ? '' : ' A credential of a method before it is judged first.'}`,
  });
  if (exchange.path === logoutPath) return told('oidc_logout', `the session ends here and at ${issuer}.`);
  return isLoginLink(exchange)
    ? told('oidc_login', `a browser is sent to ${issuer} to log in.`)
    : told('oidc_logged_in', `a browser that comes back from ${issuer} gets its session, and goes to what it asked for; others get 400 or 403.`);
}
