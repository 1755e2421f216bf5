/** Upstreams and their endpoints: how they are reached, chosen and checked. Times in milliseconds. */

/** `namespace/service/port`, the port being the Service port's number. */
export type UpstreamKey = string;

export interface LoadBalancer {
  readonly type: 'RoundRobin' | 'LeastRequest' | 'Random' | 'PeakEWMA' | 'SourceIP' | 'ConsistentHash';
  readonly consistentHash?: { readonly type: 'SourceIP' | 'Header' | 'Cookie' | 'QueryParam' | 'Path'; readonly name?: string };
  /** How long the share of an endpoint that is new or healthy again grows (ms). */
  readonly slowStart?: number;
  /** Prefer endpoints of the gateway's own zone. */
  readonly zoneAware?: true;
}

/** Both ends belong to it. */
export interface StatusRange {
  readonly from: number;
  readonly to: number;
}

interface EveryCheck {
  /** Absent: the endpoint's own. */
  readonly port?: number;
  readonly interval: number;
  readonly timeout: number;
  readonly healthyThreshold: number;
  readonly unhealthyThreshold: number;
}

/** A check that the gateway makes by itself. */
export type ActiveCheck =
  | (EveryCheck & { readonly type: 'HTTP'; readonly path: string; readonly expectedStatuses: readonly StatusRange[] })
  | (EveryCheck & { readonly type: 'TCP' })
  /** `service` is empty for the whole server. */
  | (EveryCheck & { readonly type: 'GRPC'; readonly service: string });

/** Ejection of endpoints at which requests fail. */
export interface PassiveCheck {
  readonly consecutiveErrors: number;
  readonly errorStatuses: readonly StatusRange[];
  readonly baseEjection: number;
  readonly maxEjectionPercent: number;
}

/** `active` or `passive`, or both. */
export interface HealthCheck {
  readonly active?: ActiveCheck;
  readonly passive?: PassiveCheck;
  /** Below this share of healthy endpoints, all are used; 0: never. */
  readonly panicThresholdPercent: number;
}

export type UpstreamProtocol = 'HTTP1' | 'HTTP2' | 'H2C';

/** A client stays at one endpoint, by a cookie whose value is a keyed digest of which one. */
export interface SessionAffinity {
  readonly cookieName: string;
  /** Milliseconds, whole seconds; absent: as long as the browser runs. */
  readonly ttl?: number;
  /** Balanced: while the endpoint is in use. Persistent: as long as it is listed. */
  readonly mode: 'Balanced' | 'Persistent';
  /**
   * UID of the Service: of random bits, the same for all replicas, and known within the cluster alone, so that a key can be
   * made of it. Absent where objects have none.
   */
  readonly serviceUid?: string;
  /** What an Ingress says otherwise than a BackendPolicy can. */
  readonly cookie?: AffinityCookie;
}

/** Attributes of the cookie (RFC 6265 section 4.1.2), each with what holds without it. */
export interface AffinityCookie {
  /** `/`. */
  readonly path?: string;
  readonly domain?: string;
  /** Lax. */
  readonly sameSite?: 'Lax' | 'Strict' | 'None';
  /** Secure on plain HTTP, too; false: only on HTTPS. */
  readonly secure?: boolean;
  /** Leave the cookie as it is while its endpoint fails and another one has answered; false: a new cookie for that one. */
  readonly keepOnFailure?: boolean;
}

/** How an upstream's endpoints are reached by TLS. */
export interface UpstreamTls {
  /** Sent as server name, unless it is an IP address, and what the certificate must be for. */
  readonly hostname: string;
  /** False: whatever certificate is shown is taken. */
  readonly verify: boolean;
  readonly wellKnownAuthorities: boolean;
  /** Certificates of further ones, each PEM. */
  readonly authorities: readonly string[];
  /** Shown to who asks for one: its id among the snapshot's certificates, and a digest of it, so that a new one makes a difference here. */
  readonly clientCertificate?: { readonly id: string; readonly digest: string };
}

/** Limits of what goes to one upstream at once, and when to leave it alone; all counted in the pod. Times in milliseconds. */
export interface CircuitBreaker {
  /** Open connections to all its endpoints together. */
  readonly maxConnections: number;
  /** Requests that wait because there are that many. */
  readonly maxPendingRequests: number;
  /** Tries under way, those that wait included. */
  readonly maxRequests: number;
  /** Share of failed tries in `window` from which on it opens, where there were `minRequests` at least; 0: it never does. */
  readonly failurePercent: number;
  readonly minRequests: number;
  readonly window: number;
  /** How long nothing is let through. */
  readonly openFor: number;
  /** What is let through after that; it closes once all of them went well. */
  readonly halfOpenRequests: number;
}

export interface Upstream {
  readonly key: UpstreamKey;
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
  readonly loadBalancer: LoadBalancer;
  /** It is no Service, but a URL that a policy names: its host, a name or a numeric address. */
  readonly urlHost?: string;
  readonly connectTimeout: number;
  /** How long an idle pooled connection is kept. */
  readonly idleTimeout: number;
  /** Requests on one connection; 0: no limit. */
  readonly maxRequestsPerConnection: number;
  /** What its endpoints speak. HTTP2: over TLS with ALPN where there is TLS, else as H2C, which is HTTP/2 in clear by prior knowledge. */
  readonly protocol: UpstreamProtocol;
  /** Absent: plain TCP. */
  readonly tls?: UpstreamTls;
  /** Each connection begins with a header of that version, which says whose it is. */
  readonly proxyProtocol?: 'V1' | 'V2';
  readonly sessionAffinity?: SessionAffinity;
  /** Absent: every endpoint counts as healthy. */
  readonly healthCheck?: HealthCheck;
  readonly circuitBreaker?: CircuitBreaker;
}

/** One address of one Service port. */
export interface Endpoint {
  /** IPv4 or IPv6, numeric; from translation also the name of an ExternalName Service, which never reaches a worker. */
  readonly address: string;
  readonly port: number;
  /** Terminating endpoints still serve, and are picked only when no ready one is left. */
  readonly state: 'Ready' | 'Terminating';
  /** Share of the traffic relative to the upstream's other endpoints, for RoundRobin; absent: 1. */
  readonly weight?: number;
  readonly zone?: string;
  readonly forZones?: readonly string[];
}
