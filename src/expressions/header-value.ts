/** Values of header fields that expressions have made. */
import { ExpressionError } from './expression-error.ts';

/** As long as one in a manifest may be. */
const MAX_LENGTH = 8192;

/** CR, LF, NUL and the like would begin another field or line (RFC 9110 section 5.5); beyond a byte nothing can be sent. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
const UNSAFE = /[\u0000-\u0008\u000a-\u001f\u007f]|[^\u0000-\u00ff]/;

/** @returns the value without white space around it, which HTTP can't carry @throws ExpressionError */
export function headerValueOf(text: string): string {
  if (UNSAFE.test(text)) throw new ExpressionError('the expression gave characters that no header may have');
  if (text.length > MAX_LENGTH) throw new ExpressionError('the expression gave a header that is too long', 'expression_too_costly');
  return text.trim();
}
