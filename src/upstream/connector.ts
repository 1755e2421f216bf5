/** What a pool needs of an engine's client side: connections that carry one request at a time (http1/), or several (http2/). */
import type { UpstreamHandler, UpstreamRequest, UpstreamStream } from '../exchange/streams.ts';
import type { Upstream } from '../snapshot/upstream.ts';

export interface PooledConnection {
  /** Requests begun on it so far. */
  readonly requests: number;
  /**
   * It takes another request at once, beside those that are under way. Always false for a connection that carries one at a
   * time. Where it becomes true again, `onRoom` tells.
   */
  readonly hasRoom: boolean;
  /** Whether it takes a request with `upgrade`; undefined: that is not known yet, and one that is not taken goes to `onTunnelRefused`. */
  readonly takesTunnels: boolean | undefined;
  /** Set by its pool: which settings it was made under. */
  generation: number;
  /** Set by its pool: what it began with. */
  preamble: Buffer | undefined;
  /**
   * Only as the first request, after `onReusable`, or while `hasRoom`. May be called before the connection is up. No handler
   * is called before this returns.
   */
  request(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream;
  /** Closes it at once. For connections without a request under way. */
  destroy(): void;
}

/** Who hears about a connection. None of these is called from within `request` or `destroy`. */
export interface ConnectionOwner {
  /** No exchange is under way and nothing is left over: it may carry another one, or wait for one. */
  onReusable(connection: PooledConnection): void;
  /** It was full, and takes another request now, beside those under way. */
  onRoom(connection: PooledConnection): void;
  /** It takes no other request for now, beside those that were given to it: the backend allows fewer than it was thought to. */
  onFull(connection: PooledConnection): void;
  /** It takes no new request from now on; those under way may still end well. */
  onRetired(connection: PooledConnection): void;
  /** It is closed, whoever closed it. */
  onGone(connection: PooledConnection): void;
  /** A request for a tunnel that the backend does not take beside others. @returns the same on another connection; undefined where there can be none */
  onTunnelRefused(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream | undefined;
  /** A request for which a connection turned out to have no room. @returns the same on another; undefined where there can be none, and it has to wait */
  onNoRoom(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream | undefined;
  /** How many requests a connection may carry at once, as the backend has said on the last one that has heard of it; those that have not go by it. */
  streamsAtOnce: number;
}

export interface Connector {
  /**
   * Begins to connect, as the upstream's settings have it; failure is told to the handlers of the first requests.
   * @param preamble sent first of all, before TLS
   */
  connect(address: string, port: number, upstream: Upstream, owner: ConnectionOwner, preamble: Buffer | undefined): PooledConnection;
}
