import type { Exchange, Reply } from '../exchange/exchange.ts';
import type { PolicyCounter } from '../exchange/policy-counters.ts';
import type { DirectResponse } from '../snapshot/filters.ts';
import { type Filter, type Policy, type PolicyContext, Verdict } from './policy.ts';

/** Answers by itself, with what the manifest says. */
export const directResponse: Policy<'directResponse'> = {
  name: 'directResponse',
  compile: (spec, context) => new DirectResponseFilter(spec, context),
};

class DirectResponseFilter implements Filter {
  readonly policy = 'directResponse';
  readonly #reply: Reply;
  readonly #answered: PolicyCounter;

  constructor({ statusCode, contentType, body, headers }: DirectResponse, { counter }: PolicyContext) {
    this.#answered = counter('tidegate_filter_results_total', { filter: this.policy, result: 'answered' });
    this.#reply = {
      status: statusCode,
      reason: 'direct_response',
      fields: headers.map(({ name, value }) => [name, value] as const),
      // An empty answer has no type.
      ...(body === '' ? {} : { body, contentType }),
    };
  }

  describe(): string {
    return `answer ${this.#reply.status}${this.#reply.body === undefined ? '' : ` with ${Buffer.byteLength(this.#reply.body)} bytes of ${this.#reply.contentType}`}`;
  }

  onRequest(exchange: Exchange): Verdict {
    this.#answered.value++;
    exchange.reply = this.#reply;
    return Verdict.Answered;
  }
}
