import type { Exchange } from '../../exchange/exchange.ts';
import type { LimitKeyPart } from '../../snapshot/snapshot.ts';
import type { KeyedHash } from './keyed-hash.ts';

/**
 * What a part of a limit's key is for a request; the empty text when the request has none. Of a header or parameter that is
 * repeated the first value counts, as it does for cookies and for matching query parameters: a joined value would let a
 * client have a new bucket for every field it adds.
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
  }
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

  /** Writes the hash of the limit and the request's key into `target`. */
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
