import type { Exchange, Reply } from '../exchange/exchange.ts';
import type { Closed } from '../snapshot/filters.ts';
import { type Filter, type Policy, Verdict } from './policy.ts';

/**
 * Serves nobody: for a route that is to let in only some, where the gateway can't tell whom. Translation alone closes routes;
 * there is nothing to write for it.
 */
export const closed: Policy<'closed'> = {
  name: 'closed',
  compile: (spec) => new ClosedFilter(spec),
};

class ClosedFilter implements Filter {
  readonly policy = 'closed';
  readonly #reply: Reply;

  constructor({ reason }: Closed) {
    // No Retry-After: it takes somebody who changes the object.
    this.#reply = { status: 503, reason, detail: 'This route is closed until its configuration is changed.' };
  }

  describe(): string {
    return `answer 503 to everybody (${this.#reply.reason})`;
  }

  onRequest(exchange: Exchange): Verdict {
    exchange.reply = this.#reply;
    return Verdict.Answered;
  }
}
