import type { Exchange } from '../exchange/exchange.ts';
import { isEmptyBody, type UpstreamFailure } from '../exchange/streams.ts';

/** Where a failed try may be repeated. */
export const Retry = {
  Nowhere: 0,
  OtherEndpoint: 1,
  /** Another one if there is one, else the same on a fresh connection. */
  AnyEndpoint: 2,
} as const;
export type Retry = (typeof Retry)[keyof typeof Retry];

/** RFC 9110 section 9.2.2. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

/**
 * The retry that every route has, once: of a request that can't have reached a backend, whatever its method; and of an
 * idempotent one without a body that met a reused connection as it closed (RFC 9112 section 9.3.1).
 * @param requestBytesSent whether any byte of the request left
 */
export function defaultRetry(failure: UpstreamFailure, requestBytesSent: boolean, reusedConnection: boolean, exchange: Exchange): Retry {
  if (failure === 'connect-failure') return Retry.OtherEndpoint;
  if (failure !== 'reset') return Retry.Nowhere;
  if (!requestBytesSent) return reusedConnection ? Retry.AnyEndpoint : Retry.OtherEndpoint;
  const isSafe = reusedConnection && isEmptyBody(exchange.stream.requestBody) && IDEMPOTENT.has(exchange.method);
  return isSafe ? Retry.AnyEndpoint : Retry.Nowhere;
}
