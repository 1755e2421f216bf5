import { CidrSet } from '../exchange/cidr.ts';
import type { Exchange, Reply } from '../exchange/exchange.ts';
import type { PolicyCounter } from '../exchange/policy-counters.ts';
import type { IpAccess } from '../snapshot/filters.ts';
import { type Filter, type Policy, type PolicyContext, Verdict } from './policy.ts';

/**
 * Who may call, by client address: the peer's, or behind trusted proxies the one that they saw. `deny` wins over `allow`;
 * an empty `allow` lets in everybody else.
 */
export const ipAccess: Policy<'ipAccess'> = {
  name: 'ipAccess',
  compile: (spec, context) => new IpAccessFilter(spec, context),
};

const DENIED: Reply = { status: 403, reason: 'ip_denied', detail: 'This address has no access.' };

class IpAccessFilter implements Filter {
  readonly policy = 'ipAccess';
  readonly #spec: IpAccess;
  readonly #allow: CidrSet | undefined;
  readonly #deny: CidrSet | undefined;
  readonly #refused: PolicyCounter;

  constructor(spec: IpAccess, { counter }: PolicyContext) {
    this.#spec = spec;
    this.#refused = counter('tidegate_ip_access_refused_total', {});
    this.#allow = spec.allow.length === 0 ? undefined : new CidrSet(spec.allow);
    this.#deny = spec.deny.length === 0 ? undefined : new CidrSet(spec.deny);
  }

  describe(): string {
    const { allow, deny } = this.#spec;
    return `client address: allow ${allow.length === 0 ? 'any' : allow.join(', ')}; deny ${deny.length === 0 ? 'none' : deny.join(', ')}`;
  }

  onRequest(exchange: Exchange): Verdict {
    const address = exchange.clientAddress;
    if (this.#deny?.has(address) !== true && this.#allow?.has(address) !== false) return Verdict.Continue;
    this.#refused.value++;
    exchange.reply = DENIED;
    return Verdict.Answered;
  }
}
