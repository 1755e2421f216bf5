/** Method jwt: a signed token of an issuer whose keys are known. */
import type { Exchange } from '../../../exchange/exchange.ts';
import type { Identity } from '../../../exchange/identity.ts';
import type { AuthMethodSpec, AuthSpec } from '../../../snapshot/auth.ts';
import type { Consumers } from '../consumers.ts';
import { Credentials } from '../credentials.ts';
import { type AuthMethod, badCredential, type Judgement, type Pending, pendingOf, type Refusal, unavailable } from '../method.ts';
import type { JwtOutcome, JwtRefusal, JwtVerifier } from './verifier.ts';
import type { JwtVerifiers } from './verifiers.ts';

const NO_GROUPS: readonly string[] = [];
const UNAVAILABLE = unavailable('keys_unavailable');
/** By reason. RFC 6750 section 3.1: whatever is wrong with it, the client hears the same. */
const REFUSALS = new Map<JwtRefusal, Refusal>();

export class JwtMethod implements AuthMethod {
  readonly name = 'jwt';
  readonly challenge = 'Bearer';
  readonly #spec: AuthMethodSpec & { readonly type: 'jwt' };
  readonly #namespace: string;
  readonly #credentials: Credentials;
  readonly #consumers: Consumers;
  readonly #verifier: JwtVerifier;
  /** Identities of outcomes that are known; as long as these. */
  #identities = new WeakMap<JwtOutcome, Identity>();
  #version: number;

  constructor(spec: AuthMethodSpec & { readonly type: 'jwt' }, { namespace }: AuthSpec, consumers: Consumers, verifiers: JwtVerifiers) {
    this.#spec = spec;
    this.#namespace = namespace;
    this.#credentials = new Credentials(spec.from);
    this.#consumers = consumers;
    this.#version = consumers.version;
    this.#verifier = verifiers.get(spec.rules, spec.keys);
  }

  describe(): string {
    const { rules, keys } = this.#spec;
    const audiences = rules.audiences.length === 0 ? '' : ` for ${rules.audiences.join(' or ')}`;
    const from = keys.type === 'Document' ? `, keys of ${keys.document.url.replace(/[?#].*$/s, '')}` : '';
    return `jwt of ${rules.issuer}${audiences} in ${this.#credentials.describe()}${from}`;
  }

  authenticate(exchange: Exchange): Judgement | Pending<Judgement> | undefined {
    const found = this.#credentials.findOnly(exchange);
    if (typeof found !== 'string') return found;
    const outcome = this.#verifier.verify(found);
    if (!(outcome instanceof Promise)) return this.#judge(outcome);
    return pendingOf<JwtOutcome, Judgement>(outcome, (later) => this.#judge(later), UNAVAILABLE);
  }

  strip(exchange: Exchange): void {
    this.#credentials.strip(exchange);
  }

  #judge(outcome: JwtOutcome): Judgement {
    if (outcome.type === 'verified') return this.#identity(outcome);
    return outcome.type === 'unavailable' ? UNAVAILABLE : refusalOf(outcome.reason);
  }

  /** Which consumer it is may change while the token is good. */
  #identity(outcome: JwtOutcome & { readonly type: 'verified' }): Identity {
    const { version } = this.#consumers;
    if (version !== this.#version) {
      this.#version = version;
      this.#identities = new WeakMap();
    }
    let identity = this.#identities.get(outcome);
    if (identity === undefined) {
      const { claims } = outcome;
      const consumer = this.#consumers.byClaims(this.#namespace, claims);
      const subject = typeof claims.sub === 'string' ? claims.sub : '';
      identity = { method: 'jwt', subject, claims, consumer: consumer?.name, groups: consumer?.groups ?? NO_GROUPS };
      this.#identities.set(outcome, identity);
    }
    return identity;
  }
}

function refusalOf(reason: JwtRefusal): Refusal {
  let refusal = REFUSALS.get(reason);
  if (refusal === undefined) {
    refusal = badCredential(reason, 'Bearer error="invalid_token"');
    REFUSALS.set(reason, refusal);
  }
  return refusal;
}
