/** What a limit makes of a request before anything is counted: whether it is asked at all, and how much is asked of it. */
import type { Exchange } from '../../exchange/exchange.ts';
import { requestHead } from '../../expressions/environments.ts';
import { ExchangeVariables } from '../../expressions/exchange-variables.ts';
import { compileExpression, type Expression } from '../../expressions/expression.ts';
import { ExpressionError } from '../../expressions/expression-error.ts';
import type { Limit } from '../../snapshot/rate-limit.ts';

export class Demand {
  /** Whether it is one request of each, with nothing to evaluate. */
  readonly isPlain: boolean;
  /** After `read`: whether the limit is for this request. */
  isAsked = true;
  /** After `read`: what the request costs. */
  cost = 1;
  readonly #when: Expression<boolean> | undefined;
  readonly #cost: Expression<number> | undefined;

  constructor({ when, cost }: Limit) {
    this.#when = when === undefined ? undefined : compileExpression(when, requestHead, 'bool');
    this.#cost = cost === undefined ? undefined : compileExpression(cost, requestHead, 'int');
    this.isPlain = when === undefined && cost === undefined;
  }

  /** @throws ExpressionError */
  read(exchange: Exchange): void {
    if (this.isPlain) return;
    const variables = new ExchangeVariables(exchange);
    this.isAsked = this.#when === undefined || this.#when.evaluate(variables);
    if (!this.isAsked || this.#cost === undefined) return;
    const cost = this.#cost.evaluate(variables);
    if (cost < 0) throw new ExpressionError('the cost of a request is below zero');
    this.cost = cost;
  }
}
