/**
 * Method oidc: browsers log in at an OpenID provider and keep a session in a sealed cookie, so that any worker of any replica with
 * the same key knows them. What the gateway itself put into a browser never reaches a backend.
 */
import { withoutCookies } from '../../../exchange/cookies.ts';
import type { Exchange, Reply } from '../../../exchange/exchange.ts';
import type { Fields } from '../../../exchange/fields.ts';
import type { Identity } from '../../../exchange/identity.ts';
import type { AuthSpec, OidcSpec } from '../../../snapshot/auth.ts';
import { FilterSlot, keepState, type PolicyContext } from '../../policy.ts';
import type { SecretCell } from '../../secrets.ts';
import { type AuthMethod, badCredential, type Judgement, Pending, Refusal, unavailable } from '../method.ts';
import { isOwnCookie } from './cookies.ts';
import { Logins, providerUnavailable, sessionTooLong } from './login.ts';
import { isLoginLink } from './login-link.ts';
import { OidcProvider, ProviderError } from './provider.ts';
import { Seal } from './seal.ts';
import { renewSession, type Session, Sessions } from './session.ts';

const NO_GROUPS: readonly string[] = [];
/** No scheme is registered for it; a 401 must have one (RFC 9110 section 15.5.2). */
const CHALLENGE = 'Cookie';
const BAD_SESSION = badCredential('oidc_session', CHALLENGE);
const EXPIRED_SESSION = badCredential('oidc_session_expired', CHALLENGE);
/** Who asks for a login and is no browser. */
const NO_BROWSER = new Refusal({ status: 401, reason: 'no_credential', detail: 'This needs a browser.', fields: [['WWW-Authenticate', CHALLENGE]] });
const NO_CLIENT_SECRET = unavailable('oidc_client_secret');
const NO_SESSION_SECRET = unavailable('oidc_session_secret');
const FAILED = unavailable('oidc_failed');

/** Milliseconds until the log has the same trouble once more. */
const TOLD_AGAIN_AFTER = 10_000;

/** Everything that hangs on the values of Secrets. */
interface Keyed {
  readonly clientSecret: string;
  readonly sessionSecret: string | Uint8Array;
  readonly provider: OidcProvider;
  readonly sessions: Sessions;
  readonly logins: Logins;
}

export class OidcMethod implements AuthMethod {
  readonly name = 'oidc';
  readonly challenge = CHALLENGE;
  readonly #spec: OidcSpec;
  readonly #owner: AuthSpec;
  readonly #context: PolicyContext;
  readonly #clientSecret: SecretCell;
  readonly #sessionSecret: SecretCell | undefined;
  #keyed: Keyed | undefined = undefined;
  #told: { readonly message: string; readonly until: number } | undefined = undefined;

  constructor(spec: OidcSpec, owner: AuthSpec, context: PolicyContext) {
    this.#spec = spec;
    this.#owner = owner;
    this.#context = context;
    this.#clientSecret = context.secrets.cell(spec.clientSecret);
    this.#sessionSecret = spec.sessionSecret === undefined ? undefined : context.secrets.cell(spec.sessionSecret);
  }

  describe(): string {
    const { issuer, clientId, redirectPath, logoutPath } = this.#spec;
    return `oidc at ${issuer} as ${clientId}, back at ${redirectPath}, out by ${logoutPath}`;
  }

  authenticate(exchange: Exchange): Judgement | Pending<Judgement> | undefined {
    const { redirectPath, logoutPath } = this.#spec;
    const keyed = this.#keys();
    if (exchange.path === redirectPath || exchange.path === logoutPath) {
      if (keyed instanceof Refusal) return keyed;
      if (exchange.path === logoutPath) return this.#answer<Judgement>(keyed.logins.leave(exchange));
      if (!isLoginLink(exchange)) return this.#answer<Judgement>(keyed.logins.complete(exchange));
      return isBrowser(exchange) ? this.#answer<Judgement>(keyed.logins.start(exchange)) : NO_BROWSER;
    }
    if (exchange.cookie(this.#spec.cookieName) === undefined) return undefined;
    if (keyed instanceof Refusal) return keyed;
    const session = keyed.sessions.read(exchange);
    if (session === undefined) return this.#invite<Judgement>(exchange) ?? BAD_SESSION;
    if (session.expiresAt > Date.now()) return this.#identity(session);
    return session.refreshToken === undefined
      ? (this.#invite<Judgement>(exchange) ?? EXPIRED_SESSION)
      : this.#renew(exchange, keyed, session, session.refreshToken);
  }

  invite(exchange: Exchange): Pending<Refusal> | Refusal | undefined {
    return this.#invite<Refusal>(exchange);
  }

  /** Browsers that ask for a page, and nobody else, are sent to where they can log in. */
  #invite<Result>(exchange: Exchange): Pending<Result | Refusal> | Refusal | undefined {
    if (!isBrowser(exchange)) return undefined;
    const keyed = this.#keys();
    return keyed instanceof Refusal ? keyed : this.#answer<Result>(keyed.logins.begin(exchange));
  }

  /** Nothing that `conceal` has left. */
  strip(): void {}

  conceal(exchange: Exchange): void {
    const { cookieName } = this.#spec;
    withoutCookies(exchange.requestFields, (name) => isOwnCookie(cookieName, name));
  }

  onResponse(exchange: Exchange, _status: number, fields: Fields): void {
    const cookies = exchange.filterState?.[FilterSlot.oidc] as readonly string[] | undefined;
    if (cookies !== undefined) for (const cookie of cookies) fields.append('Set-Cookie', cookie);
  }

  #identity({ claims }: Session): Identity {
    const consumer = this.#context.auth.consumers.byClaims(this.#owner.namespace, claims);
    return { method: 'oidc', subject: String(claims.sub), claims, consumer: consumer?.name, groups: consumer?.groups ?? NO_GROUPS };
  }

  /** The session has expired, and the provider may renew it; else the browser logs in again. */
  #renew(exchange: Exchange, { provider, sessions, logins }: Keyed, session: Session, refreshToken: string): Pending<Judgement> {
    const { issuer, clientId } = this.#spec;
    const renew = async (): Promise<Judgement> => {
      try {
        const tokens = await this.#context.auth.refreshes.of(`${issuer} ${clientId}`, refreshToken, () => provider.refresh(refreshToken));
        const renewed = renewSession(session, tokens, Date.now());
        const cookies = sessions.write(exchange, renewed);
        if (cookies === undefined) return new Refusal(sessionTooLong);
        keepState(exchange, FilterSlot.oidc, cookies);
        return this.#identity(renewed);
      } catch (error) {
        if (!(error instanceof ProviderError)) throw error;
        if (error.failure !== 'ended') this.#tell(error);
        if (error.failure === 'unavailable') return new Refusal(providerUnavailable);
        return isBrowser(exchange) ? new Refusal(await logins.begin(exchange)) : EXPIRED_SESSION;
      }
    };
    return this.#pending<Judgement>(renew());
  }

  #answer<Result>(reply: Promise<Reply>): Pending<Result | Refusal> {
    return this.#pending<Result | Refusal>(reply.then((settled) => new Refusal(settled)));
  }

  /** Nobody passes for a fault of ours. */
  #pending<Result>(promise: Promise<Result>): Pending<Result | Refusal> {
    const pending = new Pending<Result | Refusal>();
    promise.then(
      (result) => pending.settle(result),
      (error: unknown) => {
        this.#context.auth.log('error', 'a login has failed', { policy: this.#owner.policy, error: error instanceof Error ? error.stack : String(error) });
        pending.settle(FAILED);
      },
    );
    return pending;
  }

  /** Once in a while, however many requests meet with it. */
  #tell(error: ProviderError): void {
    const now = performance.now();
    if (this.#told !== undefined && this.#told.message === error.message && now < this.#told.until) return;
    this.#told = { message: error.message, until: now + TOLD_AGAIN_AFTER };
    this.#context.auth.log('warn', 'an OpenID provider fails', { policy: this.#owner.policy, issuer: this.#spec.issuer, error: error.message });
  }

  /** Made anew when a Secret has another value. */
  #keys(): Keyed | Refusal {
    const clientSecret = this.#clientSecret.value;
    if (clientSecret === undefined) return NO_CLIENT_SECRET;
    const sessionSecret = this.#sessionSecret === undefined ? this.#context.auth.podSecret : this.#sessionSecret.value;
    if (sessionSecret === undefined) return NO_SESSION_SECRET;
    const known = this.#keyed;
    if (known !== undefined && known.clientSecret === clientSecret && known.sessionSecret === sessionSecret) return known;
    const { issuer, clientId, scopes, cookieName, redirectPath, logoutPath } = this.#spec;
    // What one policy has sealed is nothing for another, whatever the names of their cookies.
    const purpose = JSON.stringify([this.#owner.policy, issuer, clientId]);
    const provider = new OidcProvider({ issuer, clientId, clientSecret, scopes }, this.#context.documents, this.#context.fetcher);
    const sessions = new Sessions(cookieName, new Seal(sessionSecret, `oidc session ${purpose}`));
    const logins = new Logins({ cookieName, redirectPath, logoutPath }, provider, sessions, new Seal(sessionSecret, `oidc login ${purpose}`), (error) =>
      this.#tell(error),
    );
    this.#keyed = { clientSecret, sessionSecret, provider, sessions, logins };
    return this.#keyed;
  }
}

function isBrowser(exchange: Exchange): boolean {
  return !exchange.isGrpc && exchange.upgrade === '' && exchange.headerValues('accept').some((value) => /\btext\/html\b/i.test(value));
}
