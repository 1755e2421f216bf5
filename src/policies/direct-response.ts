import type { Exchange, Reply } from '../exchange/exchange.ts';
import type { DirectResponse } from '../snapshot/filters.ts';
import { type Filter, type Policy, Verdict } from './policy.ts';

/** Answers by itself, with what the manifest says. */
export const directResponse: Policy<'directResponse'> = {
  name: 'directResponse',
  compile: (spec) => new DirectResponseFilter(spec),
};

class DirectResponseFilter implements Filter {
  readonly policy = 'directResponse';
  readonly #reply: Reply;

  constructor({ statusCode, contentType, body, headers }: DirectResponse) {
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
    exchange.reply = this.#reply;
    return Verdict.Answered;
  }
}
