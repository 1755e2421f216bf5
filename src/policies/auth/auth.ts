/**
 * AuthPolicy: who may call. Methods are tried in order, and the first whose credential is present decides: one that is bad is
 * refused at once. Then come the checks. Whatever fails, nobody passes who would not have passed otherwise.
 */
import type { Exchange, Reply } from '../../exchange/exchange.ts';
import type { Fields } from '../../exchange/fields.ts';
import type { AuthSpec } from '../../snapshot/auth.ts';
import { type AuthDecisions, type Filter, type Policy, type PolicyContext, Verdict } from '../policy.ts';
import { Forward } from './forward.ts';
import { type AuthCheck, type AuthMethod, type Judgement, Pending, Refusal } from './method.ts';
import { compileChecks, compileMethods } from './methods.ts';

export const auth: Policy<'auth'> = {
  name: 'auth',
  compile(spec, context) {
    let filters = compiled.get(context);
    if (filters === undefined) {
      filters = new WeakMap();
      compiled.set(context, filters);
    }
    let filter = filters.get(spec);
    if (filter === undefined) {
      filter = new AuthFilter(spec, context);
      filters.set(spec, filter);
    }
    return filter;
  },
};

/** A policy on many routes is one specification, and one filter. */
const compiled = new WeakMap<PolicyContext, WeakMap<AuthSpec, Filter>>();

/** Of metrics, where no method has found a credential. */
const NOBODY = 'none';

class AuthFilter implements Filter {
  readonly policy = 'auth';
  readonly onResponse?: (exchange: Exchange, status: number, fields: Fields) => void;
  readonly #spec: AuthSpec;
  readonly #methods: readonly AuthMethod[];
  readonly #checks: readonly AuthCheck[];
  readonly #concealing: readonly AuthMethod[];
  readonly #forward: Forward | undefined;
  readonly #methodDecisions: readonly AuthDecisions[];
  readonly #checkDecisions: readonly AuthDecisions[];
  readonly #forwardDecisions: AuthDecisions;
  readonly #nobody: AuthDecisions;
  readonly #unauthenticated: Refusal;

  constructor(spec: AuthSpec, context: PolicyContext) {
    this.#spec = spec;
    this.#methods = compileMethods(spec, context);
    this.#checks = compileChecks(spec, context);
    this.#forward = spec.forward && new Forward(spec.forward);
    const decisions = (name: string): AuthDecisions => context.auth.decisions(spec.policy, name);
    this.#methodDecisions = this.#methods.map(({ name }) => decisions(name));
    this.#checkDecisions = this.#checks.map(({ name }) => decisions(name));
    this.#forwardDecisions = decisions('forward');
    this.#nobody = decisions(NOBODY);
    this.#unauthenticated = new Refusal(unauthenticated(this.#methods));
    const responding = [...this.#methods, ...this.#checks].filter((part) => part.onResponse !== undefined);
    this.#concealing = this.#methods.filter((method) => method.conceal !== undefined);
    if (responding.length > 0) {
      this.onResponse = (exchange, status, fields) => {
        for (const part of responding) part.onResponse?.(exchange, status, fields);
      };
    }
  }

  describe(): string {
    const { policy, anonymous, stripToken } = this.#spec;
    const parts = [...this.#methods, ...this.#checks].map((part) => part.describe());
    if (this.#methods.length > 0) parts.push(`without a credential: ${anonymous}`);
    if (this.#forward !== undefined) parts.push(this.#forward.describe());
    if (stripToken) parts.push('the credential is taken away');
    return `AuthPolicy ${policy}: ${parts.join('; ')}`;
  }

  onRequest(exchange: Exchange): Verdict {
    return this.#identify(exchange);
  }

  #identify(exchange: Exchange): Verdict {
    const methods = this.#methods;
    for (let index = 0; index < methods.length; index++) {
      const judgement = (methods[index] as AuthMethod).authenticate(exchange);
      if (judgement === undefined) continue;
      if (judgement instanceof Pending) return this.#await(exchange, judgement, (result) => this.#judged(exchange, index, result));
      return this.#judged(exchange, index, judgement);
    }
    return methods.length === 0 ? this.#checkAll(exchange) : this.#unknown(exchange);
  }

  #judged(exchange: Exchange, index: number, judgement: Judgement): Verdict {
    const decisions = this.#methodDecisions[index] as AuthDecisions;
    if (judgement instanceof Refusal) return refuse(exchange, judgement, decisions);
    decisions.allowed++;
    exchange.identity = judgement;
    return this.#checkAll(exchange);
  }

  /** There is no credential at all. */
  #unknown(exchange: Exchange): Verdict {
    if (this.#spec.anonymous === 'Allow') {
      this.#nobody.allowed++;
      return this.#checkAll(exchange);
    }
    return this.#challenge(exchange, this.#nobody);
  }

  /** Has the client say who it is, in the way that suits it. */
  #challenge(exchange: Exchange, decisions: AuthDecisions): Verdict {
    for (const method of this.#methods) {
      const invitation = method.invite?.(exchange);
      if (invitation === undefined) continue;
      if (invitation instanceof Pending) return this.#await(exchange, invitation, (result) => refuse(exchange, result, decisions));
      return refuse(exchange, invitation, decisions);
    }
    return refuse(exchange, this.#unauthenticated, decisions);
  }

  #checkAll(exchange: Exchange): Verdict {
    // Before anything looks at what a client says of itself.
    this.#forward?.clear(exchange);
    for (const method of this.#concealing) method.conceal?.(exchange);
    return this.#check(exchange, 0);
  }

  #check(exchange: Exchange, from: number): Verdict {
    const checks = this.#checks;
    for (let index = from; index < checks.length; index++) {
      const result = (checks[index] as AuthCheck).check(exchange);
      if (result instanceof Pending) {
        return this.#await(exchange, result, (refusal) => {
          const verdict = this.#checked(exchange, index, refusal);
          return verdict === Verdict.Continue ? this.#check(exchange, index + 1) : verdict;
        });
      }
      const verdict = this.#checked(exchange, index, result);
      if (verdict !== Verdict.Continue) return verdict;
    }
    if (this.#spec.stripToken) for (const method of this.#methods) method.strip(exchange);
    const unsaid = exchange.identity && this.#forward?.write(exchange);
    return unsaid === undefined ? Verdict.Continue : refuse(exchange, unsaid, this.#forwardDecisions);
  }

  #checked(exchange: Exchange, index: number, refusal: Refusal | undefined): Verdict {
    const decisions = this.#checkDecisions[index] as AuthDecisions;
    if (refusal === undefined) {
      decisions.allowed++;
      return Verdict.Continue;
    }
    // RFC 9110 sections 15.5.2 and 15.5.4: 403 is for whom we know. Who has not said who they are may be allowed once they do.
    const mayBeAllowed = exchange.identity === undefined && this.#methods.length > 0 && !refusal.isFailure;
    return mayBeAllowed && this.#checks[index]?.isOfIdentity === true ? this.#challenge(exchange, decisions) : refuse(exchange, refusal, decisions);
  }

  /** @param next what comes of the result */
  #await<Result>(exchange: Exchange, pending: Pending<Result>, next: (result: Result) => Verdict): Verdict {
    const { settled } = pending;
    if (settled !== undefined) return next(settled.result);
    exchange.onAbandoned = () => pending.onAbandoned?.();
    pending.listen((result) => {
      try {
        if (next(result) === Verdict.Waiting) return;
      } catch (error) {
        // Nobody above would catch it.
        exchange.fail(error);
        return;
      }
      exchange.resume();
    });
    return Verdict.Waiting;
  }
}

function refuse(exchange: Exchange, refusal: Refusal, decisions: AuthDecisions): Verdict {
  if (refusal.isFailure) decisions.failed++;
  else decisions.refused++;
  exchange.reply = refusal.reply;
  return Verdict.Answered;
}

/** RFC 9110 section 11.6.1: a challenge for each way there is. */
function unauthenticated(methods: readonly AuthMethod[]): Reply {
  const challenges = new Set(methods.flatMap(({ challenge }) => (challenge === undefined ? [] : [challenge])));
  return {
    status: 401,
    reason: 'no_credential',
    detail: 'This needs a credential.',
    fields: [...challenges].map((challenge) => ['WWW-Authenticate', challenge] as const),
  };
}
