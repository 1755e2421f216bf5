/** A real OpenID provider (npm oidc-provider) at which everybody logs in as who the test says, without a form. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type AccountClaims, type Configuration, Provider } from 'oidc-provider';
import { endWith, type Lifetime } from './lifetime.ts';

export const CLIENT = { id: 'web', secret: 'client-secret-of-web-0123456789' } as const;

export interface OidcServerOptions {
  readonly redirectUris: readonly string[];
  /** Of an ID token, in seconds. */
  readonly idTokenLifetime?: number;
  /** Nobody gets one. */
  readonly withoutRefreshTokens?: boolean;
  readonly tokenAuthentication?: 'client_secret_basic' | 'client_secret_post';
  /** Further claims of the ID token. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

export class OidcServer {
  /** Who logs in next; undefined: nobody, the login is refused. */
  user: string | undefined = 'alice';
  idTokenLifetime: number;
  /** A refresh token is good once; a second use ends the login (RFC 9700 section 4.14.2). */
  rotatesRefreshTokens = false;
  /** Requests of each path. */
  readonly requests = new Map<string, number>();
  /** Answers to the token endpoint in place of the provider's. */
  tokenAnswer: { readonly status: number; readonly body: string } | undefined = undefined;
  readonly #server: Server;

  private constructor(server: Server, { idTokenLifetime = 3600 }: OidcServerOptions) {
    this.#server = server;
    this.idTokenLifetime = idTokenLifetime;
  }

  static async start(lifetime: Lifetime, options: OidcServerOptions): Promise<OidcServer> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const started = new OidcServer(server, options);
    const provider = new Provider(started.issuer, started.#configuration(options));
    // It warns of what is not for production: a store in memory, keys of its own.
    provider.on('server_error', (_context, error) => console.error(error));
    const answer = provider.callback();
    server.on('request', (request, response) => {
      const path = new URL(request.url ?? '/', started.issuer).pathname;
      started.requests.set(path, (started.requests.get(path) ?? 0) + 1);
      if (path === '/token' && started.tokenAnswer !== undefined) {
        response.writeHead(started.tokenAnswer.status, { 'content-type': 'application/json' }).end(started.tokenAnswer.body);
      } else if (path.startsWith('/interaction/')) {
        const { user } = started;
        const result = user === undefined ? { error: 'access_denied', error_description: 'nobody may' } : { login: { accountId: user } };
        void provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
      } else {
        void answer(request, response);
      }
    });
    endWith(lifetime, () => started.stop());
    return started;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get issuer(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #configuration({ redirectUris, withoutRefreshTokens, tokenAuthentication, claims = {} }: OidcServerOptions): Configuration {
    return {
      clients: [
        {
          client_id: CLIENT.id,
          client_secret: CLIENT.secret,
          redirect_uris: [...redirectUris],
          grant_types: ['authorization_code', 'refresh_token'],
          token_endpoint_auth_method: tokenAuthentication ?? 'client_secret_basic',
        },
      ],
      ...(tokenAuthentication === undefined ? {} : { clientAuthMethods: [tokenAuthentication] }),
      claims: { openid: ['sub', ...Object.keys(claims)] },
      conformIdTokenClaims: false,
      findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id, ...claims }) as AccountClaims }),
      interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
      features: { devInteractions: { enabled: false }, rpInitiatedLogout: { enabled: true } },
      issueRefreshToken: async () => withoutRefreshTokens !== true,
      rotateRefreshToken: () => this.rotatesRefreshTokens,
      pkce: { required: () => true },
      ttl: { IdToken: () => this.idTokenLifetime, AccessToken: 3600, Grant: 3600, Session: 3600, Interaction: 600, RefreshToken: 3600 },
      cookies: { keys: ['one for tests'] },
      async loadExistingGrant(context) {
        const { client, session } = context.oidc;
        const grant = new context.oidc.provider.Grant({ clientId: client?.clientId as string, accountId: session?.accountId as string });
        grant.addOIDCScope('openid offline_access');
        await grant.save();
        return grant;
      },
    };
  }
}
