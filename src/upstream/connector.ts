/** What a pool needs of an engine's client side. `ClientConnection` of http1/ is one kind of pooled connection. */
import type { UpstreamHandler, UpstreamRequest, UpstreamStream } from '../exchange/streams.ts';

/** A connection that carries one request at a time. */
export interface PooledConnection {
  /** Requests begun on it so far. */
  readonly requests: number;
  /** Only before the first request, and after `onReusable`. May be called before the connection is up. */
  request(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream;
  /** Closes it at once. For connections without a request under way. */
  destroy(): void;
}

/** Who hears about a connection. Neither is called from within `request` or `destroy`. */
export interface ConnectionOwner {
  /** Its exchange is complete and nothing is left over: it may carry another one, or wait for one. */
  onReusable(connection: PooledConnection): void;
  /** It is closed, whoever closed it. */
  onGone(connection: PooledConnection): void;
}

export interface Connector {
  /** Begins to connect; failure is told to the handler of the first request. @param connectTimeout milliseconds */
  connect(address: string, port: number, connectTimeout: number, owner: ConnectionOwner): PooledConnection;
}
