import type { Exchange } from '../exchange/exchange.ts';
import type { HeaderModifier } from '../snapshot/filters.ts';
import { expressionReply } from './expression-reply.ts';
import { HeaderEdits } from './header-edits.ts';
import { type Filter, type Policy, type PolicyContext, Verdict } from './policy.ts';

/**
 * Changes the request's headers before it goes to the backend; also on a single backendRef. Host is not among them: the
 * schema refuses it and points to urlRewrite.hostname, which is how Gateway API changes it, so that there is one place
 * where the upstream's Host comes from. What limits and matches look at was read before.
 */
export const requestHeaderModifier: Policy<'requestHeaderModifier'> = {
  name: 'requestHeaderModifier',
  compile: (modifier, context) => new RequestHeaderFilter(modifier, context),
};

class RequestHeaderFilter implements Filter {
  readonly policy = 'requestHeaderModifier';
  readonly #edits: HeaderEdits;

  constructor(modifier: HeaderModifier, { counter }: PolicyContext) {
    this.#edits = new HeaderEdits('request', modifier, counter);
  }

  describe(): string {
    return this.#edits.describe();
  }

  onRequest(exchange: Exchange): Verdict {
    try {
      this.#edits.apply(exchange.requestFields, exchange);
      return Verdict.Continue;
    } catch (error) {
      exchange.reply = expressionReply(error);
      return Verdict.Answered;
    }
  }
}
