import type { Exchange } from '../exchange/exchange.ts';
import type { Mirror } from '../snapshot/filters.ts';
import { type Filter, type Policy, type PolicyContext, Verdict } from './policy.ts';

/** Marks the requests of which a copy goes elsewhere. The proxy sends the copy, when it knows what the backend gets. */
export const mirror: Policy<'mirror'> = {
  name: 'mirror',
  compile: (spec, context) => new MirrorFilter(spec, context),
};

class MirrorFilter implements Filter {
  readonly policy = 'mirror';
  readonly #spec: Mirror;
  readonly #random: () => number;

  constructor(spec: Mirror, { random }: PolicyContext) {
    this.#spec = spec;
    this.#random = random;
  }

  describe(): string {
    return `copy ${this.#spec.percent} % of the requests to ${this.#spec.upstream}`;
  }

  onRequest(exchange: Exchange): Verdict {
    exchange.isMirrored = this.#random() * 100 < this.#spec.percent;
    return Verdict.Continue;
  }
}
