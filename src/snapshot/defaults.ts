/**
 * What holds where nobody says otherwise: time-outs in milliseconds, sizes in bytes, and counts. The values are part of what
 * users are promised; docs/architecture.md ("Limits") lists them, and a test compares the two.
 */
import type { Timeouts } from './route.ts';
import type { LoadBalancer, StatusRange, UpstreamProtocol } from './upstream.ts';

/** Of each listener; nothing changes them in this version. */
export const LISTENER = {
  /**
   * ms from a head's first byte (of the first head: from the connection's beginning) to its last, else 408: against clients
   * that hold connections by sending drop by drop.
   */
  headerTimeout: 10_000,
  /** ms without a request on an open connection. nginx's keepalive_timeout. */
  keepAliveTimeout: 75_000,
  /** ms for a TLS handshake, as long as for a head. */
  handshakeTimeout: 10_000,
  /** ms for what comes before the handshake, or the first head: a PROXY header, and a ClientHello that is read for its server name. */
  prefaceTimeout: 10_000,
  /** Bytes of a request's head, else 431 (RFC 6585 section 5). */
  maxHeaderBytes: 16 * 1024,
  /** Fields of a request's head, else 431. Envoy's max_headers_count. */
  maxFields: 100,
  /** Requests on one connection, the last of which closes it. nginx's keepalive_requests. */
  maxRequestsPerConnection: 1000,
  /** Connections of a listener, over all workers. */
  maxConnections: 10_000,
} as const;

/** Of each route, in ms. An ApiRoute's `timeouts` go before them. nginx's proxy_read_timeout for the try and for idle time. */
export const ROUTE_TIMEOUTS: Timeouts = { request: 300_000, backendRequest: 60_000, idle: 60_000 };

/**
 * ms without a byte in either direction on a connection that is passed through. An ApiRoute's `timeouts.idle` goes before it. nginx's
 * proxy_timeout of a stream: who keeps such a connection open is known at its ends only.
 */
export const PASSTHROUGH_IDLE = 600_000;

/** Bytes of a request's body, else 413. An ApiRoute's `limits` and an Ingress's `proxy-body-size` go before it. */
export const MAX_BODY_BYTES = 10 * 1024 * 1024;

/** The same for an Ingress that has annotations of ingress-nginx, whose default it is (nginx's client_max_body_size). */
export const NGINX_MAX_BODY_BYTES = 1024 * 1024;

/** Of each upstream. A BackendPolicy goes before it. */
export const UPSTREAM = {
  loadBalancer: { type: 'RoundRobin' } as LoadBalancer,
  /** ms for a connection to be made, else 504. ingress-nginx's proxy-connect-timeout. */
  connectTimeout: 5_000,
  /** ms that an idle connection is kept. nginx's keepalive_timeout of an upstream. */
  idleTimeout: 60_000,
  /** Requests on one connection; 0: no limit. */
  maxRequestsPerConnection: 0,
  protocol: 'HTTP1' as UpstreamProtocol,
} as const;

/** Of a BackendPolicy's sessionAffinity; without one there is none. `ttl` in ms. */
export const SESSION_AFFINITY = { cookieName: 'TG', ttl: 3_600_000, mode: 'Balanced' } as const;

/** Of a BackendPolicy's `healthCheck`; intervals and time-outs in ms. */
export const HEALTH_CHECK = {
  path: '/',
  expectedStatuses: [{ from: 200, to: 299 }] as readonly StatusRange[],
  interval: 5_000,
  timeout: 1_000,
  healthyThreshold: 2,
  unhealthyThreshold: 3,
  panicThresholdPercent: 0,
} as const;

/** Of its `passive`; times in ms. */
export const EJECTION = { consecutiveErrors: 5, errorStatuses: ['500-599'], base: 30_000, longest: 300_000, maxPercent: 50 } as const;

/** Of a BackendPolicy's circuitBreaker; without one there are no such limits. Times in ms. */
export const CIRCUIT_BREAKER = {
  maxConnections: 1024,
  maxPendingRequests: 1024,
  maxRequests: 1024,
  failurePercent: 50,
  minRequests: 20,
  window: 10_000,
  openFor: 30_000,
  halfOpenRequests: 5,
} as const;

/** ms, both from SIGTERM on: how long new connections are still taken, and when to exit at the latest (Kubernetes' grace period). */
export const DRAIN = { delay: 5_000, timeout: 30_000 } as const;

/** The filter `cache` (api.md, "Settled points: policies"). */
export const CACHE = {
  maxEntryBytes: 1024 * 1024,
  defaultTTL: 0,
  staleWhileRevalidate: 30_000,
  staleIfError: 300_000,
  /** Of the pod, in bytes. */
  memory: 128 * 1024 * 1024,
} as const;
