/** What goes wrong with an expression: before it runs, and while it does. */

/** An expression that does not parse, has the wrong types, or is too big. */
export class ExpressionFault extends Error {
  /** What would be right. */
  readonly hint: string;

  /** @param message tells the position within the expression, too */
  constructor(message: string, hint: string) {
    super(message);
    this.name = 'ExpressionFault';
    this.hint = hint;
  }
}

/** What one that is caught costs, with its stack, in nodes. */
export const ERROR_COST = 200;

/** For log and metrics. */
export type ExpressionFailure = 'expression_failed' | 'expression_too_costly' | 'unsafe_path';

/**
 * An expression that fails while it runs: the only thing that evaluation throws. Its message is for the operator, and holds
 * names that stand in the expression, never values of a request.
 */
export class ExpressionError extends Error {
  readonly reason: ExpressionFailure;

  constructor(message: string, reason: ExpressionFailure = 'expression_failed') {
    super(message);
    this.name = 'ExpressionError';
    this.reason = reason;
  }
}
