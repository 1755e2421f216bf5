/** Logins: a browser goes to the provider, comes back with a code, and has a session (OpenID Connect Core 1.0, section 3.1). */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Exchange, Reply } from '../../../exchange/exchange.ts';
import { NO_HOST } from '../../request-redirect.ts';
import { LOGIN_PLACES, loginCookieName, setCookie } from './cookies.ts';
import { type LoginChecks, type OidcProvider, ProviderError } from './provider.ts';
import type { Seal } from './seal.ts';
import { beginSession, type Sessions } from './session.ts';

/** How long somebody may take to log in. Seconds. */
const LOGIN_TIME = 600;
/** A longer way back would not fit into a cookie with the rest. */
const LONGEST_TARGET = 2000;
/** A digit, which is the login's place, and 256 random bits. */
const STATE = /^[0-9][A-Za-z0-9_-]{43}$/;

/** A login under way, as its cookie has it. */
interface Pending extends LoginChecks {
  /** Path and query that were asked for. */
  readonly target: string;
  /** Milliseconds since the epoch. */
  readonly begunAt: number;
}

export interface LoginSettings {
  readonly cookieName: string;
  readonly redirectPath: string;
  readonly logoutPath: string;
}

/** Tells of what went wrong at the provider; for the log. */
export type LoginTrouble = (error: ProviderError) => void;

const stateUnknown: Reply = { status: 400, reason: 'oidc_state', detail: 'This login was not begun in this browser, or too long ago. Open the page again.' };
const codeRefused: Reply = { status: 400, reason: 'oidc_code', detail: 'The identity provider does not know this login any more. Open the page again.' };
const loginDenied: Reply = { status: 403, reason: 'oidc_denied', detail: 'The identity provider did not let you in.' };
const loginInvalid: Reply = { status: 403, reason: 'oidc_token', detail: 'The identity provider gave an answer that can not be accepted.' };
export const providerUnavailable: Reply = {
  status: 503,
  reason: 'oidc_unavailable',
  detail: 'The identity provider can not be asked for now.',
  fields: [['Retry-After', '1']],
};
export const sessionTooLong: Reply = { status: 503, reason: 'oidc_session_too_long', detail: 'The identity provider gave more than a session can hold.' };

export class Logins {
  readonly #settings: LoginSettings;
  readonly #provider: OidcProvider;
  readonly #sessions: Sessions;
  readonly #seal: Seal;
  readonly #tell: LoginTrouble;

  /** @param seal of another purpose than that of sessions */
  constructor(settings: LoginSettings, provider: OidcProvider, sessions: Sessions, seal: Seal, tell: LoginTrouble) {
    this.#settings = settings;
    this.#provider = provider;
    this.#sessions = sessions;
    this.#seal = seal;
    this.#tell = tell;
  }

  /** Sends the browser to the provider. What it asked for is where it will come back to. */
  begin(exchange: Exchange): Promise<Reply> {
    // What no longer opens, or is over, does not have to be sent along for ever.
    return this.#begin(exchange, exchange.path + exchange.query, this.#sessions.clear(exchange));
  }

  /** The same for a browser that asks for nothing but to log in. It comes back to `return_to`, a path or a URL of the same origin, else to `/`. */
  start(exchange: Exchange): Promise<Reply> {
    // A session that is there stays until there is another one: a link from anywhere leads here.
    return this.#begin(exchange, this.#returnTarget(exchange), []);
  }

  /** @param cleared values of Set-Cookie */
  async #begin(exchange: Exchange, target: string, cleared: readonly string[]): Promise<Reply> {
    const origin = originOf(exchange);
    if (origin === undefined) return NO_HOST;
    const now = Date.now();
    const place = this.#choosePlace(exchange, now);
    const pending: Pending = {
      state: `${place}${randomBytes(32).toString('base64url')}`,
      nonce: randomBytes(32).toString('base64url'),
      verifier: randomBytes(32).toString('base64url'),
      target: target.length > LONGEST_TARGET || !target.startsWith('/') ? '/' : target,
      begunAt: now,
    };
    const challenge = createHash('sha256').update(pending.verifier).digest('base64url');
    let location: string;
    try {
      location = await this.#provider.authorizationUrl(new URL(origin + this.#settings.redirectPath).href, pending, challenge);
    } catch (error) {
      return this.#refusal(error);
    }
    const { state, nonce, verifier, begunAt } = pending;
    const sealed = this.#seal.close(JSON.stringify([state, nonce, verifier, pending.target, begunAt]));
    const cookie = setCookie(exchange, loginCookieName(this.#settings.cookieName, place), sealed, LOGIN_TIME);
    return redirect('oidc_login', location, [...cleared, cookie]);
  }

  /** The browser comes back from the provider. Only who began the login here has the cookie that completes it. */
  async complete(exchange: Exchange): Promise<Reply> {
    const origin = originOf(exchange);
    if (origin === undefined) return NO_HOST;
    const state = exchange.queryParam('state') ?? '';
    const place = STATE.test(state) ? Number(state[0]) : LOGIN_PLACES;
    const pending = place < LOGIN_PLACES ? this.#pending(exchange, place, Date.now()) : undefined;
    if (pending === undefined || !sameText(pending.state, state)) return stateUnknown;
    // A login is completed once, whatever comes of it.
    const ended = setCookie(exchange, loginCookieName(this.#settings.cookieName, place), '', 0);
    try {
      const callback = new URL(origin + this.#settings.redirectPath + exchange.query);
      const session = beginSession(await this.#provider.redeem(callback, pending), Date.now());
      const cookies = this.#sessions.write(exchange, session);
      if (cookies === undefined) return withCookies(sessionTooLong, [ended]);
      // The host is the request's own, so that a path like //elsewhere leads nowhere else.
      return redirect('oidc_logged_in', origin + pending.target, [...cookies, ended]);
    } catch (error) {
      return withCookies(this.#refusal(error), [ended]);
    }
  }

  /** Ends the session here, and has the provider end its own. */
  async leave(exchange: Exchange): Promise<Reply> {
    const session = this.#sessions.read(exchange);
    let location = '/';
    try {
      location = (await this.#provider.endSessionUrl(session?.idToken)) ?? '/';
    } catch (error) {
      // Whoever wants to leave does, whatever the provider says.
      this.#refusal(error);
    }
    return redirect('oidc_logout', location, this.#sessions.clear(exchange));
  }

  #refusal(error: unknown): Reply {
    if (!(error instanceof ProviderError)) throw error;
    if (error.failure === 'unavailable' || error.failure === 'invalid') this.#tell(error);
    return { unavailable: providerUnavailable, ended: codeRefused, denied: loginDenied, invalid: loginInvalid }[error.failure];
  }

  /** Read as a browser would read the link: `//elsewhere` and `/\elsewhere` are other origins. The login's own paths are no place to come back to. */
  #returnTarget(exchange: Exchange): string {
    const origin = originOf(exchange);
    const wanted = exchange.queryParam('return_to');
    if (origin === undefined || wanted === undefined || !URL.canParse(wanted, origin)) return '/';
    const { origin: there, pathname, search, hash } = new URL(wanted, origin);
    const { redirectPath, logoutPath } = this.#settings;
    return there === new URL(origin).origin && pathname !== redirectPath && pathname !== logoutPath ? pathname + search + hash : '/';
  }

  /** A place that is free, else that of the oldest login. */
  #choosePlace(exchange: Exchange, now: number): number {
    let oldest = 0;
    let begunAt = Number.POSITIVE_INFINITY;
    for (let place = 0; place < LOGIN_PLACES; place++) {
      const pending = this.#pending(exchange, place, now);
      if (pending === undefined) return place;
      if (pending.begunAt >= begunAt) continue;
      oldest = place;
      begunAt = pending.begunAt;
    }
    return oldest;
  }

  #pending(exchange: Exchange, place: number, now: number): Pending | undefined {
    const sealed = exchange.cookie(loginCookieName(this.#settings.cookieName, place));
    const text = sealed === undefined ? undefined : this.#seal.open(sealed);
    if (text === undefined) return undefined;
    const [state, nonce, verifier, target, begunAt] = JSON.parse(text) as [string, string, string, string, number];
    return now - begunAt > LOGIN_TIME * 1000 ? undefined : { state, nonce, verifier, target, begunAt };
  }
}

function originOf({ scheme, authority }: Exchange): string | undefined {
  return authority === '' ? undefined : `${scheme}://${authority}`;
}

function redirect(reason: string, location: string, cookies: readonly string[]): Reply {
  return withCookies({ status: 302, reason, fields: [['Location', location]] }, cookies);
}

function withCookies(reply: Reply, cookies: readonly string[]): Reply {
  const lines = cookies.map((cookie) => ['Set-Cookie', cookie] as const);
  return { ...reply, fields: [...(reply.fields ?? []), ['Cache-Control', 'no-store'], ...lines] };
}

function sameText(one: string, other: string): boolean {
  return one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));
}
