import type { Exchange } from '../../exchange/exchange.ts';
import { requestHead } from '../../expressions/environments.ts';
import { ExchangeVariables } from '../../expressions/exchange-variables.ts';
import { compileExpression, type Expression } from '../../expressions/expression.ts';
import type { LimitKeyPart } from '../../snapshot/rate-limit.ts';
import type { KeyedHash } from './keyed-hash.ts';

/**
 * What a part of a limit's key is for a request; the empty text when the request has none. Of a header or parameter that is
 * repeated the first value counts, as it does for cookies and for matching query parameters: a joined value would let a
 * client have a new bucket for every field it adds.
 * @throws ExpressionError by parts of type Expression
 */
export function keyValue(part: LimitKeyPart, exchange: Exchange): string {
  switch (part.type) {
    case 'ClientIP':
      return exchange.clientAddress;
    case 'Header':
      return exchange.requestFields.get(part.name as string) ?? '';
    case 'Cookie':
      return exchange.cookie(part.name as string) ?? '';
    case 'QueryParam':
      return exchange.queryParam(part.name as string) ?? '';
    case 'Method':
      return exchange.method;
    case 'Path':
      return exchange.path;
    case 'Claim':
      return claimText(exchange, part.name as string);
    case 'Consumer':
      return exchange.identity?.consumer ?? '';
    case 'Expression':
      return expressionOf(part).evaluate(new ExchangeVariables(exchange)) ?? '';
  }
}

/** Claims that are lists or objects count as what they look like in JSON. */
function claimText({ identity }: Exchange, name: string): string {
  if (identity === undefined || !Object.hasOwn(identity.claims, name)) return '';
  const claim = identity.claims[name];
  if (typeof claim === 'string') return claim;
  return claim === null || claim === undefined ? '' : JSON.stringify(claim);
}

/** Compiled once for each part of a snapshot. */
const compiled = new WeakMap<LimitKeyPart, Expression<string | null>>();

function expressionOf(part: LimitKeyPart): Expression<string | null> {
  let expression = compiled.get(part);
  if (expression === undefined) {
    expression = compileExpression(part.expression as string, requestHead, 'textOrNull');
    compiled.set(part, expression);
  }
  return expression;
}

/**
 * Hashes the keys of one limit's requests. Requests that follow each other often have the same key, so that of the last one
 * is remembered where it is a single text.
 */
export class LimitKey {
  readonly #parts: readonly LimitKeyPart[];
  readonly #prefix: KeyedHash;
  readonly #hash: KeyedHash;
  #lastText: string | undefined = undefined;
  #first = 0;
  #second = 0;

  /**
   * @param prefix holds the limit's id
   * @param hash to work with; may be shared by limits that take turns
   */
  constructor(parts: readonly LimitKeyPart[], prefix: KeyedHash, hash: KeyedHash) {
    this.#parts = parts;
    this.#prefix = prefix;
    this.#hash = hash;
  }

  /** Writes the hash of the limit and the request's key into `target`. @throws ExpressionError as `keyValue` does */
  hash(exchange: Exchange, target: { first: number; second: number }): void {
    const parts = this.#parts;
    const count = parts.length;
    const text = count === 0 ? '' : keyValue(parts[0] as LimitKeyPart, exchange);
    if (count > 1 || text !== this.#lastText) {
      const hash = this.#hash;
      hash.resetTo(this.#prefix);
      if (count > 0) hash.addText(text);
      for (let index = 1; index < count; index++) hash.addText(keyValue(parts[index] as LimitKeyPart, exchange));
      hash.finish(count);
      this.#lastText = text;
      this.#first = hash.first;
      this.#second = hash.second;
    }
    target.first = this.#first;
    target.second = this.#second;
  }
}
