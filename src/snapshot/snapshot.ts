/**
 * The snapshot: all that the data plane needs, as plain data that is never changed after it was made. It crosses
 * threads by structured clone, so it holds no functions and no class instances, but for `Sensitive` values, which
 * the publisher carries over by name (see workers/). Durations are milliseconds, sizes are bytes.
 */

import type { Aggregate } from './aggregate.ts';
import type { AuthSpec, ConsumerSpec, SecretId } from './auth.ts';
import type { Compression, Decompression, ErrorPages } from './body-filters.ts';
import type { CacheSpec } from './cache.ts';
import type { Cors } from './cors.ts';
import type { DocumentRequest } from './documents.ts';
import type { GrpcJson } from './grpc-json.ts';
import type { GRPC_STATUSES } from './grpc-status.ts';
import type { Sensitive } from './sensitive.ts';
import type { Transform } from './transform.ts';

/** `namespace/service/port`, the port being the Service port's number. */
export type UpstreamKey = string;

export type HostPattern =
  | { readonly type: 'Exact'; readonly value: string }
  /** `*.value`: any number of labels (one or more) before `.value`, as Gateway API has it. */
  | { readonly type: 'Suffix'; readonly value: string }
  /** `*.value` of an Ingress: exactly one label before `.value`. */
  | { readonly type: 'OneLabel'; readonly value: string }
  | { readonly type: 'Any' };

export interface PathMatch {
  readonly type: 'Exact' | 'PathPrefix' | 'RegularExpression';
  /** Normalised as requests are. A PathPrefix has no trailing slash, but for `/` itself. */
  readonly value: string;
  /** Names of segments, as `id` of `/users/{id}`, by the element's place; empty for one that is what it says. Absent: there is no name. */
  readonly names?: readonly string[];
}

export interface FieldMatch {
  /** Lower-case for headers; as written for query parameters and cookies. */
  readonly name: string;
  readonly type: 'Exact' | 'RegularExpression' | 'Present';
  /** Empty for Present. */
  readonly value: string;
}

/** All parts must hold. */
export interface Match {
  readonly path: PathMatch;
  /** Upper-case; absent: any. */
  readonly methods?: readonly string[];
  readonly headers: readonly FieldMatch[];
  readonly queryParams: readonly FieldMatch[];
  readonly cookies: readonly FieldMatch[];
  /** Absent: any. */
  readonly clientCIDRs?: readonly string[];
  readonly scheme?: 'http' | 'https';
}

export interface HeaderValue {
  readonly name: string;
  readonly value: string;
}

/** Has one of the two. */
export interface HeaderEdit {
  readonly name: string;
  readonly value?: string;
  /** CEL that gives a text, or null for no such header. */
  readonly expression?: string;
}

export interface HeaderModifier {
  readonly set: readonly HeaderEdit[];
  readonly add: readonly HeaderEdit[];
  readonly remove: readonly string[];
}

export type PathRewrite =
  | { readonly type: 'ReplacePrefixMatch'; readonly value: string }
  | { readonly type: 'ReplaceFullPath'; readonly value: string }
  | { readonly type: 'ReplaceRegex'; readonly pattern: string; readonly substitution: string };

export interface UrlRewrite {
  readonly hostname?: string;
  readonly path?: PathRewrite;
}

export interface RequestRedirect {
  readonly scheme?: 'http' | 'https';
  readonly hostname?: string;
  readonly port?: number;
  readonly path?: PathRewrite;
  readonly statusCode: 301 | 302 | 303 | 307 | 308;
}

export interface DirectResponse {
  readonly statusCode: number;
  readonly contentType: string;
  readonly body: string;
  readonly headers: readonly HeaderValue[];
}

export interface BodyLimits {
  readonly maxRequestBodyBytes?: number;
  readonly maxRequestHeaderBytes?: number;
  readonly maxResponseBodyBytes?: number;
}

/** The route answers 503 to everybody. */
export interface Closed {
  /** For the access log, such as `unsupported_guard`. */
  readonly reason: string;
}

export interface IpAccess {
  /** CIDRs; empty: everybody. */
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

export interface LimitKeyPart {
  readonly type: 'ClientIP' | 'Header' | 'Cookie' | 'QueryParam' | 'Method' | 'Path' | 'Claim' | 'Consumer' | 'Expression';
  /** Header names are lower-case. Absent for the types without one. */
  readonly name?: string;
  /** CEL that gives a text or null; of type Expression. */
  readonly expression?: string;
}

export interface Limit {
  /** As shown in headers, already made unique within each route. */
  readonly name: string;
  /**
   * Identity of the limit's buckets: equal ids share buckets. It covers the policy's namespace and name, the attachment
   * (route or rule), the limit's place or name, algorithm, period and key; not requests or burst, so that new values of
   * those keep what was used.
   */
  readonly id: string;
  readonly policy: string;
  readonly algorithm: 'TokenBucket' | 'LeakyBucket' | 'FixedWindow' | 'SlidingWindow';
  readonly requests: number;
  /** Milliseconds; 0 when `calendar` is set. */
  readonly period: number;
  readonly calendar?: 'Day' | 'Month';
  /** TokenBucket: capacity. LeakyBucket: queue length. Others: 0. */
  readonly burst: number;
  readonly key: readonly LimitKeyPart[];
  /** CEL that gives a bool: for which requests the limit is. Absent: for all. */
  readonly when?: string;
  /** CEL that gives an int: what a request costs. Absent: 1. */
  readonly cost?: string;
  readonly mode: 'Enforce' | 'Shadow';
  /** Of scope Global: what is done without the store that replicas share. Absent: counted in the pod. */
  readonly onStoreFailure?: 'Allow' | 'Deny' | 'Local';
}

/** A copy of some requests goes to another upstream; its answer is dropped. */
export interface Mirror {
  readonly upstream: UpstreamKey;
  /** Share of the requests, 0 to 100. */
  readonly percent: number;
}

/** Trouble made on purpose, to see what clients make of it. Each part by its own chance. */
export interface FaultInjection {
  /** `duration` in milliseconds; `percent` of the requests, 0 to 100. */
  readonly delay?: { readonly duration: number; readonly percent: number };
  readonly abort?: { readonly statusCode: number; readonly percent: number };
}

/** Filter specifications by policy name; the order of execution is the registry's (policies/index.ts). */
export interface RouteFilters {
  readonly closed?: Closed;
  readonly ipAccess?: IpAccess;
  readonly compression?: Compression;
  readonly errorPages?: ErrorPages;
  readonly cors?: Cors;
  readonly limits?: BodyLimits;
  readonly auth?: AuthSpec;
  readonly decompression?: Decompression;
  readonly rateLimit?: readonly Limit[];
  readonly requestHeaderModifier?: HeaderModifier;
  readonly responseHeaderModifier?: HeaderModifier;
  readonly transform?: Transform;
  readonly urlRewrite?: UrlRewrite;
  readonly requestRedirect?: RequestRedirect;
  readonly directResponse?: DirectResponse;
  readonly faultInjection?: FaultInjection;
  readonly mirror?: Mirror;
  readonly aggregate?: Aggregate;
  readonly cache?: CacheSpec;
  readonly grpcJson?: GrpcJson;
}

export interface Backend {
  /** Absent when the reference can't be resolved: then its share is answered with `unresolvedStatus`. */
  readonly upstream?: UpstreamKey;
  readonly unresolvedStatus?: 500 | 503;
  readonly weight: number;
  readonly backup: boolean;
  /** Before that of the upstream, whatever that is. */
  readonly sessionAffinity?: SessionAffinity;
  readonly requestHeaderModifier?: HeaderModifier;
  readonly responseHeaderModifier?: HeaderModifier;
}

/** A very large number where there is no bound, never 0. */
export interface Timeouts {
  /** From the head's first byte to the answer's last. */
  readonly request: number;
  /** One try, until its response head. */
  readonly backendRequest: number;
  /** Without a byte in either direction. */
  readonly idle: number;
  /** A tunnel, from its request's first byte on; absent: no bound. */
  readonly tunnel?: number;
}

/** What a try may fail by that a retry may mend: no connection, one that broke, no answer in time, a status, or a gRPC status's name. */
export type RetryCondition = 'connect-failure' | 'reset' | 'timeout' | GrpcStatusName | number;

export type GrpcStatusName = (typeof GRPC_STATUSES)[number];

export interface Retry {
  /** Tries after the first; 0: none, whatever happens. */
  readonly attempts: number;
  readonly on: readonly RetryCondition[];
  /** Longest wait before the first retry; it doubles for each later one. */
  readonly backoff: number;
  readonly maxBackoff: number;
  /** Share of the pod's requests that retries may be, 0 to 100. */
  readonly budgetPercent: number;
  /** Also requests that a backend may have acted on, of methods that are not idempotent. */
  readonly nonIdempotent: boolean;
  /** No retry begins later than this after the request came; absent: no bound of its own. */
  readonly within?: number;
}

export interface Hedge {
  /** How long a try is waited for before another one goes out beside it. */
  readonly after: number;
  /** Tries beside the first. */
  readonly max: number;
}

/** What answers in place of a backend that can't: an upstream or an answer of the gateway's; neither: the upstream can't be resolved. */
export interface Fallback {
  /** Statuses that it takes the place of. */
  readonly on: readonly number[];
  readonly upstream?: UpstreamKey;
  readonly response?: Omit<DirectResponse, 'headers'>;
}

/** One rule of one object. */
export interface Route {
  /** `Kind/namespace/name/rule`: the metric label, unique. */
  readonly id: string;
  readonly kind: 'ApiRoute' | 'Ingress';
  readonly namespace: string;
  readonly name: string;
  /** The rule's name, else its index. */
  readonly rule: string;
  readonly hosts: readonly HostPattern[];
  /** Any of these; at least one. */
  readonly matches: readonly Match[];
  /** Total order that decides between matches that are otherwise equal: smaller wins. Unique. */
  readonly rank: number;
  /** An Ingress's defaultBackend: considered only after every route that is none, on any host. */
  readonly isDefaultBackend: boolean;
  /** Answer plain HTTP with 308 to HTTPS. */
  readonly httpsRedirect: boolean;
  /** Id of the client validation that a connection must have met; absent: none. */
  readonly clientValidation?: string;
  readonly filters: RouteFilters;
  readonly timeouts: Timeouts;
  /** What goes first when the gateway has too much to do; absent: Normal. */
  readonly priority?: 'Low' | 'High';
  readonly backends: readonly Backend[];
  /** Absent: the one retry that every route has. */
  readonly retry?: Retry;
  readonly hedge?: Hedge;
  readonly fallback?: Fallback;
}

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

export interface Certificate {
  /** `namespace/name` of its Secret. */
  readonly id: string;
  /** PEM chain, leaf first. */
  readonly chain: string;
  readonly key: Sensitive;
}

export interface ServerName {
  readonly host: HostPattern;
  /** Certificate ids, in order of preference; several where an RSA and an ECDSA one serve the same name. */
  readonly certificates: readonly string[];
}

/** Connections that go to a backend with their TLS, by the server name that they ask for. */
export interface PassthroughRoute {
  /** As `Route.id`. */
  readonly id: string;
  readonly kind: 'ApiRoute' | 'Ingress';
  readonly namespace: string;
  readonly name: string;
  readonly rule: string;
  /** Never `Any`; no two routes have the same. */
  readonly hosts: readonly HostPattern[];
  /** Without a byte in either direction. */
  readonly idleTimeout: number;
  readonly backends: readonly Backend[];
}

export interface Passthrough {
  readonly routes: readonly PassthroughRoute[];
  /** Hosts below wildcards of `routes` whose TLS is the gateway's own, for they are more specific. */
  readonly terminated: readonly HostPattern[];
}

/** What clients are asked for in a TLS handshake. */
export interface ClientValidation {
  /** A digest of all the rest: equal ids are the same. */
  readonly id: string;
  /** Require: nobody is served without a good certificate. Request: everybody is. */
  readonly mode: 'Require' | 'Request';
  /** PEM, one certificate each; none: no certificate is good. */
  readonly authorities: readonly string[];
  /** PEM, one list each. Where there are any, each authority of a chain needs one. */
  readonly revocationLists: readonly string[];
}

export interface ClientValidationHost {
  readonly host: HostPattern;
  /** Its id; absent: nobody is asked, though a wildcard around the host does. */
  readonly validation?: string;
}

export interface Snapshot {
  readonly routes: readonly Route[];
  /** Absent: nothing is passed through. */
  readonly passthrough?: Passthrough;
  readonly upstreams: ReadonlyMap<UpstreamKey, Upstream>;
  /** Kept apart from `upstreams`, because it changes often and travels as deltas. Sorted by address, then port. */
  readonly endpoints: ReadonlyMap<UpstreamKey, readonly Endpoint[]>;
  readonly certificates: ReadonlyMap<string, Certificate>;
  readonly serverNames: readonly ServerName[];
  /** Id of the certificate for unknown names; absent: a self-signed one. */
  readonly defaultCertificate?: string;
  /** Absent: no client is asked for a certificate. */
  readonly clientValidation?: SnapshotClientValidation;
  /** What the filters of `routes` need from elsewhere; absent: nothing. The same one may be there more than once. */
  readonly documents?: readonly DocumentRequest[];
  /** ApiConsumers by `namespace/name`; the very same map, and the very same values, while nothing of them changes. Absent: none. */
  readonly consumers?: ReadonlyMap<string, ConsumerSpec>;
  /** Values of Secrets that policies use. One that is missing here can't be had. Absent: none. */
  readonly secrets?: ReadonlyMap<SecretId, Sensitive>;
}

export interface SnapshotClientValidation {
  readonly policies: ReadonlyMap<string, ClientValidation>;
  readonly hosts: readonly ClientValidationHost[];
}
