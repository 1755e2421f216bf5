/** An OpenID provider, as far as logins need it. `openid-client` speaks with it; the gateway's own fetcher carries every call. */
import type { Configuration, ServerMetadata, TokenEndpointResponse } from 'openid-client';
import { FetchError } from '../../../fetch/fetcher.ts';
import type { Documents } from '../../../fetch/worker-documents.ts';
import { discoveryUrl, documentKey } from '../../../snapshot/documents.ts';
import type { PolicyFetcher } from '../../policy.ts';

type Client = typeof import('openid-client');

/** What a provider gave for a login, or for a refresh of one. */
export interface Tokens {
  /** Signed, and verified; after a refresh there may be none. */
  readonly idToken: string | undefined;
  readonly claims: Readonly<Record<string, unknown>> | undefined;
  readonly refreshToken: string | undefined;
  /** How long the access token lasts, in seconds; undefined: it is not said. */
  readonly expiresIn: number | undefined;
}

/** What a login must come back with, made when it began. */
export interface LoginChecks {
  readonly state: string;
  readonly nonce: string;
  /** RFC 7636. */
  readonly verifier: string;
}

/**
 * Why there are no tokens: `unavailable`: the provider can't be reached, or does not work with us. `ended`: it takes the code or the
 * refresh token for nothing. `denied`: it sent the browser back with an error. `invalid`: its answer is not for this login, or not its own.
 */
export type ProviderFailure = 'unavailable' | 'ended' | 'denied' | 'invalid';

export class ProviderError extends Error {
  readonly failure: ProviderFailure;

  /** @param message for the log */
  constructor(failure: ProviderFailure, message: string) {
    super(message);
    this.failure = failure;
  }
}

export interface ProviderSettings {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly scopes: readonly string[];
}

export class OidcProvider {
  readonly #settings: ProviderSettings;
  readonly #documents: Documents;
  readonly #fetcher: PolicyFetcher;
  readonly #key: string;
  #configured: { readonly revision: number; readonly client: Client; readonly config: Configuration } | undefined = undefined;

  constructor(settings: ProviderSettings, documents: Documents, fetcher: PolicyFetcher) {
    this.#settings = settings;
    this.#documents = documents;
    this.#fetcher = fetcher;
    this.#key = documentKey({ kind: 'discovery', url: discoveryUrl(settings.issuer) });
  }

  /**
   * Where a browser goes to log in.
   * @param redirectUri that it comes back to
   * @throws (rejects) ProviderError
   */
  async authorizationUrl(redirectUri: string, { state, nonce }: LoginChecks, challenge: string): Promise<string> {
    const { client, config } = await this.#configuration();
    try {
      return client.buildAuthorizationUrl(config, {
        redirect_uri: redirectUri,
        scope: this.#settings.scopes.join(' '),
        ...{ state, nonce, code_challenge: challenge, code_challenge_method: 'S256' },
      }).href;
    } catch (error) {
      throw asProviderError(client, error);
    }
  }

  /**
   * The tokens for the code that a browser came back with. Its state, nonce and issuer are checked, and the ID token's signature and
   * claims (OpenID Connect Core 1.0, section 3.1.3.7).
   * @param callback the whole URL that the browser was sent to
   * @throws (rejects) ProviderError
   */
  async redeem(callback: URL, { state, nonce, verifier }: LoginChecks): Promise<Tokens> {
    const { client, config } = await this.#configuration();
    try {
      const checks = { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true };
      return tokensOf(await client.authorizationCodeGrant(config, callback, checks));
    } catch (error) {
      throw asProviderError(client, error);
    }
  }

  /** @throws (rejects) ProviderError */
  async refresh(refreshToken: string): Promise<Tokens> {
    const { client, config } = await this.#configuration();
    try {
      return tokensOf(await client.refreshTokenGrant(config, refreshToken));
    } catch (error) {
      throw asProviderError(client, error);
    }
  }

  /** Where a browser goes to end its session with the provider, too; undefined where there is no such place, or it is not known. */
  async endSessionUrl(idToken: string | undefined): Promise<string | undefined> {
    const { client, config } = await this.#configuration();
    if (config.serverMetadata().end_session_endpoint === undefined) return undefined;
    return client.buildEndSessionUrl(config, idToken === undefined ? {} : { id_token_hint: idToken }).href;
  }

  async #configuration(): Promise<{ readonly client: Client; readonly config: Configuration }> {
    const state = this.#documents.get(this.#key) ?? (await this.#documents.first(this.#key));
    if (state?.text === undefined) throw new ProviderError('unavailable', `its configuration can not be had (${state?.failure ?? 'no answer yet'})`);
    if (this.#configured?.revision === state.revision) return this.#configured;
    // Loaded with the first login: a worker whose routes have none does without.
    const client = await import('openid-client');
    this.#configured = { revision: state.revision, client, config: this.#configure(client, JSON.parse(state.text) as ServerMetadata) };
    return this.#configured;
  }

  #configure(client: Client, metadata: ServerMetadata): Configuration {
    const { issuer, clientId, clientSecret } = this.#settings;
    // OpenID Connect Discovery 1.0, section 4.3: the very same, or tokens of one issuer would count as another's.
    if (metadata.issuer !== issuer) throw new ProviderError('unavailable', `its configuration is that of the issuer ${JSON.stringify(metadata.issuer)}`);
    const methods = metadata.token_endpoint_auth_methods_supported;
    // Where it does not say, it takes client_secret_basic (section 3).
    const authentication = methods !== undefined && !methods.includes('client_secret_basic') ? client.ClientSecretPost : client.ClientSecretBasic;
    const config = new client.Configuration(metadata, clientId, clientSecret, authentication(clientSecret));
    config.timeout = TIMEOUT_SECONDS;
    config[client.customFetch] = (url, { method, headers, body, signal }) => this.#fetch(url, method, headers, body, signal);
    // Plain HTTP is allowed for what the gateway fetches, so a token's way to us does not vouch for it: its signature must.
    client.allowInsecureRequests(config);
    client.enableNonRepudiationChecks(config);
    return config;
  }

  async #fetch(url: string, method: string, headers: Record<string, string>, body: unknown, signal: AbortSignal | undefined): Promise<Response> {
    const answer = await this.#fetcher.fetch({
      ...{ url, method: method === 'POST' ? 'POST' : 'GET', headers: { ...headers, 'accept-encoding': 'identity' } },
      ...(body === undefined || body === null ? {} : { body: String(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
    const fields = new Headers();
    for (const [name, value] of Object.entries(answer.headers)) for (const one of [value ?? []].flat()) fields.append(name, one);
    const isEmpty = answer.status === 204 || answer.status === 205 || answer.status === 304;
    return new Response(isEmpty ? null : new Uint8Array(answer.body), { status: answer.status, headers: fields });
  }
}

/** That of the fetcher, which comes first. */
const TIMEOUT_SECONDS = 30;

function tokensOf(response: TokenEndpointResponse & { claims(): Record<string, unknown> | undefined }): Tokens {
  const { id_token: idToken, refresh_token: refreshToken, expires_in: expiresIn } = response;
  return { idToken, claims: response.claims(), refreshToken, expiresIn };
}

function asProviderError(client: Client, error: unknown): ProviderError {
  if (error instanceof ProviderError) return error;
  if (error instanceof client.AuthorizationResponseError) return new ProviderError('denied', `it answered ${word(error.error)}`);
  if (error instanceof client.ResponseBodyError) {
    return new ProviderError(error.error === 'invalid_grant' ? 'ended' : 'unavailable', `its token endpoint answered ${error.status} ${word(error.error)}`);
  }
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof FetchError) return new ProviderError('unavailable', `it can not be reached (${cause.reason})`);
  }
  if (error instanceof client.WWWAuthenticateChallengeError) return new ProviderError('unavailable', `its token endpoint answered ${error.status}`);
  const { code = '', message } = error as { code?: string; message?: string };
  // Such as a page that says 500: not what OAuth has for any answer.
  if (code === 'OAUTH_RESPONSE_IS_NOT_CONFORM' || code === 'OAUTH_PARSE_ERROR') return new ProviderError('unavailable', `it answered out of form: ${message}`);
  return new ProviderError('invalid', `its answer is not valid: ${message} ${code}`);
}

/** An error's name, which the browser brings, or the provider; no more of it than a name can be. */
function word(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '').slice(0, 64);
}
