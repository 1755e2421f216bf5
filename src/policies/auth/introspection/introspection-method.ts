/** Method oauth2Introspection: a token that an authorization server is asked about. */
import type { Exchange } from '../../../exchange/exchange.ts';
import type { AuthMethodSpec, AuthSpec } from '../../../snapshot/auth.ts';
import type { Consumers } from '../consumers.ts';
import { Credentials } from '../credentials.ts';
import { type AuthMethod, badCredential, type Judgement, type Pending, pendingOf, unavailable } from '../method.ts';
import type { IntrospectionOutcome, Introspector } from './introspector.ts';
import type { Introspectors } from './introspectors.ts';

const NO_GROUPS: readonly string[] = [];
const FAILED = unavailable('introspection_failed');

export class IntrospectionMethod implements AuthMethod {
  readonly name = 'oauth2Introspection';
  readonly challenge = 'Bearer';
  readonly #endpoint: string;
  readonly #namespace: string;
  readonly #credentials: Credentials;
  readonly #consumers: Consumers;
  readonly #introspector: Introspector;

  constructor(spec: AuthMethodSpec & { readonly type: 'oauth2Introspection' }, { namespace }: AuthSpec, consumers: Consumers, introspectors: Introspectors) {
    this.#endpoint = spec.introspection.endpoint;
    this.#namespace = namespace;
    this.#credentials = new Credentials(spec.from);
    this.#consumers = consumers;
    this.#introspector = introspectors.get(spec.introspection);
  }

  describe(): string {
    return `oauth2Introspection in ${this.#credentials.describe()} by ${this.#endpoint.replace(/[?#].*$/s, '')}`;
  }

  authenticate(exchange: Exchange): Judgement | Pending<Judgement> | undefined {
    const found = this.#credentials.findOnly(exchange);
    if (typeof found !== 'string') return found;
    const outcome = this.#introspector.introspect(found);
    if (!(outcome instanceof Promise)) return this.#judge(outcome);
    return pendingOf<IntrospectionOutcome, Judgement>(outcome, (later) => this.#judge(later), FAILED);
  }

  strip(exchange: Exchange): void {
    this.#credentials.strip(exchange);
  }

  #judge(outcome: IntrospectionOutcome): Judgement {
    if (outcome.type === 'unavailable') return unavailable(outcome.reason);
    if (outcome.type === 'refused') return badCredential(outcome.reason, 'Bearer error="invalid_token"');
    const { claims } = outcome;
    // RFC 7662 section 2.2: both may be missing.
    const subject = [claims.sub, claims.username].find((name) => typeof name === 'string') ?? '';
    const consumer = this.#consumers.byClaims(this.#namespace, claims);
    return { method: 'oauth2Introspection', subject: subject as string, claims, consumer: consumer?.name, groups: consumer?.groups ?? NO_GROUPS };
  }
}
