import type { Exchange } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import type { HeaderModifier } from '../snapshot/snapshot.ts';
import { HeaderEdits } from './header-edits.ts';
import type { Filter, Policy } from './policy.ts';

/**
 * Changes the headers of every answer of the route, the gateway's own included, as Envoy does (nginx's `always`); also on a
 * single backendRef.
 */
export const responseHeaderModifier: Policy<'responseHeaderModifier'> = {
  name: 'responseHeaderModifier',
  compile: (modifier) => new ResponseHeaderFilter(modifier),
};

class ResponseHeaderFilter implements Filter {
  readonly policy = 'responseHeaderModifier';
  readonly #edits: HeaderEdits;

  constructor(modifier: HeaderModifier) {
    this.#edits = new HeaderEdits('response', modifier);
  }

  describe(): string {
    return this.#edits.describe();
  }

  onResponse(_exchange: Exchange, _status: number, fields: Fields): void {
    this.#edits.apply(fields);
  }
}
