import { AnswerRefusal } from '../exchange/answer-refusal.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import type { HeaderModifier } from '../snapshot/filters.ts';
import { expressionReply } from './expression-reply.ts';
import { HeaderEdits } from './header-edits.ts';
import type { Filter, Policy, PolicyContext } from './policy.ts';

/**
 * Changes the headers of every answer of the route, the gateway's own included, as Envoy does (nginx's `always`); also on a
 * single backendRef.
 */
export const responseHeaderModifier: Policy<'responseHeaderModifier'> = {
  name: 'responseHeaderModifier',
  compile: (modifier, context) => new ResponseHeaderFilter(modifier, context),
};

class ResponseHeaderFilter implements Filter {
  readonly policy = 'responseHeaderModifier';
  readonly #edits: HeaderEdits;

  constructor(modifier: HeaderModifier, { counter }: PolicyContext) {
    this.#edits = new HeaderEdits('response', modifier, counter);
  }

  describe(): string {
    return this.#edits.describe();
  }

  /** @throws AnswerRefusal where an expression fails; an error of the gateway's own stays what it is, as it was */
  onResponse(exchange: Exchange, status: number, fields: Fields): void {
    try {
      this.#edits.apply(fields, exchange, status);
    } catch (error) {
      const reply = expressionReply(error);
      if (exchange.reply === undefined || exchange.reply.status < 400) throw new AnswerRefusal(reply);
    }
  }
}
