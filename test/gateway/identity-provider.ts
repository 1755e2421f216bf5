/** Who signs tokens for tests, publishes its keys, and answers questions about tokens; each in the ways that go wrong, too. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ec, jwkOf, type Pair, setOf, tokenOf } from '../../src/policies/auth/jwt/tokens.fixture.ts';
import { endWith, type Lifetime } from './lifetime.ts';

export const ISSUER = 'https://id.test';

export type Answering = (request: IncomingMessage, response: ServerResponse) => void;

export class IdentityProvider {
  /** Paths that were asked for, in order. */
  readonly asked: string[] = [];
  /** Bodies of questions about tokens. */
  readonly questions: string[] = [];
  /** By path; others are 404. */
  readonly answers = new Map<string, Answering>();
  keys: readonly (readonly [kid: string, pair: Pair])[] = [['one', ec()]];
  /** What is said of a token. */
  introspect: (token: string) => object = () => ({ active: false });
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => this.#serve(request, response));
    this.answers.set('/keys', (_, response) => response.end(setOf(...this.keys.map(([kid, pair]) => jwkOf(pair, kid)))));
  }

  static async start(lifetime: Lifetime): Promise<IdentityProvider> {
    const provider = new IdentityProvider();
    await provider.listen(0);
    endWith(lifetime, () => provider.stop());
    return provider;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
  }

  /** Connections end, and new ones are refused. */
  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** A token of the key by that name, good for ten minutes. */
  token(claims: object = {}, kid = 'one', pair = this.keys.find(([name]) => name === kid)?.[1]): string {
    const now = Math.floor(Date.now() / 1000);
    return tokenOf(pair as Pair, { alg: 'ES256', kid }, { iss: ISSUER, aud: 'shop', sub: 'ada', iat: now, exp: now + 600, ...claims });
  }

  count(path: string): number {
    return this.asked.filter((one) => one === path).length;
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '';
    this.asked.push(path);
    const answer = this.answers.get(path);
    if (path !== '/introspect' || answer !== undefined) {
      if (answer === undefined) response.writeHead(404).end();
      else answer(request, response);
      return;
    }
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      this.questions.push(`${request.headers.authorization} ${body}`);
      response.end(JSON.stringify(this.introspect(new URLSearchParams(body).get('token') ?? '')));
    });
  }
}
