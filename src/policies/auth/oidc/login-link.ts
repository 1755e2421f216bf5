import type { Exchange } from '../../../exchange/exchange.ts';

/** Parameters that a provider sends a browser back with (OpenID Connect Core 1.0, sections 3.1.2.5 and 3.1.2.6). */
const OF_CALLBACKS = ['code', 'state', 'error'];

/**
 * Whether somebody opens `redirectPath` who does not come back from the provider: a link to log in by, where nobody has to.
 * @param exchange of that path
 */
export function isLoginLink(exchange: Exchange): boolean {
  return exchange.method === 'GET' && OF_CALLBACKS.every((name) => exchange.queryParam(name) === undefined);
}
