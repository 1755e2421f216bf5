/** Method apiKey: a key of an ApiConsumer. Keys are known by their SHA-256 digests alone. */
import { hash } from 'node:crypto';
import type { Exchange } from '../../exchange/exchange.ts';
import type { AuthMethodSpec, AuthSpec } from '../../snapshot/auth.ts';
import type { Consumers } from './consumers.ts';
import { Credentials } from './credentials.ts';
import { type AuthMethod, badCredential, type Judgement } from './method.ts';

const NO_CLAIMS = Object.freeze({});
const UNKNOWN_KEY = badCredential('unknown_api_key', 'ApiKey');

export class ApiKeyMethod implements AuthMethod {
  readonly name = 'apiKey';
  readonly challenge = 'ApiKey';
  readonly #namespace: string;
  readonly #credentials: Credentials;
  readonly #consumers: Consumers;

  constructor(spec: AuthMethodSpec & { readonly type: 'apiKey' }, { namespace }: AuthSpec, consumers: Consumers) {
    this.#namespace = namespace;
    this.#credentials = new Credentials(spec.from);
    this.#consumers = consumers;
  }

  describe(): string {
    return `apiKey in ${this.#credentials.describe()}`;
  }

  authenticate(exchange: Exchange): Judgement | undefined {
    const found = this.#credentials.find(exchange);
    if (typeof found !== 'string') return found;
    const consumer = this.#consumers.byKey(this.#namespace, hash('sha256', Buffer.from(found, 'latin1'), 'buffer'));
    if (consumer === undefined) return UNKNOWN_KEY;
    return { method: 'apiKey', subject: consumer.name, claims: NO_CLAIMS, consumer: consumer.name, groups: consumer.groups };
  }

  strip(exchange: Exchange): void {
    this.#credentials.strip(exchange);
  }
}
