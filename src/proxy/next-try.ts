import type { Exchange } from '../exchange/exchange.ts';
import type { EndpointState } from '../upstream/endpoint-state.ts';
import type { CompiledRoute } from './compiled-route.ts';
import { Where } from './retry.ts';
import { type Addressed, addressTo } from './upstream-request.ts';

/** Where a try goes, and with what. A `Try` is one, for the same once more. */
export interface NextTry {
  readonly addressed: Addressed;
  readonly endpoint: EndpointState;
}

/**
 * Where a try after `tried` goes: another endpoint of the same upstream, else, with OtherEndpoint, one of another backendRef;
 * with AnyEndpoint, the same one.
 * @param earlier endpoints of all tries so far, which are avoided as long as there are others
 */
export function nextTry(exchange: Exchange, route: CompiledRoute, tried: NextTry, where: Where, earlier: readonly EndpointState[] = []): NextTry | undefined {
  const { addressed, endpoint: failed } = tried;
  const { upstream } = addressed.backend;
  let endpoint = upstream?.pick(exchange, failed);
  if (endpoint !== undefined && earlier.includes(endpoint)) endpoint = upstream?.pickBeyond(earlier) ?? endpoint;
  if (endpoint !== undefined && (endpoint !== failed || where === Where.AnyEndpoint)) return { addressed, endpoint };
  const other = route.picker.pickOther(exchange, addressed.backend, failed);
  return other === undefined ? undefined : { addressed: addressTo(exchange, route, other.backend), endpoint: other.endpoint };
}
