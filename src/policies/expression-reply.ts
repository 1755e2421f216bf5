import type { Reply } from '../exchange/exchange.ts';
import { ExpressionError } from '../expressions/expression-error.ts';

/** What is answered where an expression has failed. @throws the error where it is none of an expression */
export function expressionReply(error: unknown): Reply {
  if (!(error instanceof ExpressionError)) throw error;
  return { status: 503, reason: error.reason, detail: 'The service is not available at the moment; try again later.' };
}
