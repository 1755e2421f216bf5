/** CEL expressions in manifests: whatever does not compile, has the wrong type or is too big is an error of the object. */
import { MAX_EXPRESSION_LENGTH } from '../expressions/checked-source.ts';
import type { ExpressionEnvironment } from '../expressions/environments.ts';
import { checkExpression, type Wanted } from '../expressions/expression.ts';
import { text } from './fields.ts';

export function expression(environment: ExpressionEnvironment, wanted: Wanted) {
  return text((source) => checkExpression(source, environment, wanted), { minLength: 1, maxLength: MAX_EXPRESSION_LENGTH });
}
