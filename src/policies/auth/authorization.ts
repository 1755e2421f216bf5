/** `authorization`: what must hold of request and identity, in CEL. */
import type { Exchange } from '../../exchange/exchange.ts';
import { requestHead } from '../../expressions/environments.ts';
import { ExchangeVariables } from '../../expressions/exchange-variables.ts';
import { compileExpression, type Expression } from '../../expressions/expression.ts';
import { ExpressionError } from '../../expressions/expression-error.ts';
import type { AuthorizationRule } from '../../snapshot/auth.ts';
import { type AuthCheck, Refusal } from './method.ts';

/** For what is not to be told: why an expression failed is the operator's business. */
export const FAILURES: Readonly<Record<ExpressionError['reason'], Refusal>> = {
  expression_failed: failure('expression_failed'),
  expression_too_costly: failure('expression_too_costly'),
  unsafe_path: failure('unsafe_path'),
};

function failure(reason: string): Refusal {
  return new Refusal({ status: 503, reason, detail: 'Whether this is allowed can not be told.' });
}

interface Rule {
  readonly expression: Expression<boolean>;
  readonly refusal: Refusal;
}

export class Authorization implements AuthCheck {
  readonly name = 'authorization';
  readonly isOfIdentity = true;
  readonly #rules: readonly Rule[];

  /** @throws ExpressionFault for what translation has not let through */
  constructor(rules: readonly AuthorizationRule[]) {
    this.#rules = rules.map(({ expression, message }) => ({
      expression: compileExpression(expression, requestHead, 'bool'),
      refusal: new Refusal({ status: 403, reason: 'not_authorized', detail: message ?? 'This is not allowed.' }),
    }));
  }

  describe(): string {
    return `authorization: ${this.#rules.map(({ expression }) => expression.source).join(' and ')}`;
  }

  check(exchange: Exchange): Refusal | undefined {
    const variables = new ExchangeVariables(exchange);
    for (const { expression, refusal } of this.#rules) {
      try {
        if (!expression.evaluate(variables)) return refusal;
      } catch (error) {
        if (error instanceof ExpressionError) return FAILURES[error.reason];
        throw error;
      }
    }
    return undefined;
  }
}
