/** What the main thread and a worker say to each other. Everything here crosses by structured clone. */
import type { DocumentState } from '../fetch/document-state.ts';
import type { PublishedConsumer } from '../policies/auth/consumers.ts';
import type { RefreshOutcome } from '../policies/auth/oidc/pod-refreshes.ts';
import type { RedisSettings } from '../redis/redis-settings.ts';
import type { SecretId } from '../snapshot/auth.ts';
import type { Route } from '../snapshot/route.ts';
import type { Passthrough, ServerName, SnapshotClientValidation } from '../snapshot/tls.ts';
import type { Endpoint, Upstream, UpstreamKey } from '../snapshot/upstream.ts';
import type { MetricFamily } from '../telemetry/metric-family.ts';
import type { Span } from '../telemetry/tracing/span.ts';
import type { AffinitySecrets } from '../upstream/affinity-keys.ts';
import type { CheckedUpstream } from '../upstream/health/health-monitor.ts';
import type { TlsParameters } from '../wire/secure-context.ts';

/** An endpoint with its cell in the shared in-flight counters; the same address keeps its slot as long as it is known. */
export interface PublishedEndpoint extends Endpoint {
  readonly slot: number;
}

export type PublishedEndpoints = ReadonlyMap<UpstreamKey, readonly PublishedEndpoint[]>;

export interface PublishedCertificate {
  readonly id: string;
  readonly chain: string;
  /** Plain PEM: this never leaves the process and is never logged. */
  readonly key: string;
}

/** A part of a change, small enough to be taken in within a few milliseconds. Upstreams come before the routes that lead to them. */
export interface ChangePart {
  /** New or changed, with all their endpoints. */
  readonly upstreams: ReadonlyMap<UpstreamKey, Upstream>;
  readonly endpoints: PublishedEndpoints;
  /** Of the upstreams that have a circuit breaker: their places in the memory of breakers. */
  readonly breakerSlots: ReadonlyMap<UpstreamKey, number>;
  /** New, or in the place of those by the same id. */
  readonly routes: readonly Route[];
  /** As `routes`. */
  readonly consumers: readonly PublishedConsumer[];
  /** New values of Secrets. Plain: this never leaves the process and is never logged. */
  readonly secrets: ReadonlyMap<SecretId, string>;
}

/** What a change takes away, and what it has once only. */
export interface ChangeEnd {
  /** Of the snapshot that is in force then. */
  readonly version: number;
  readonly removedRoutes: readonly string[];
  readonly removedUpstreams: readonly UpstreamKey[];
  /** `namespace/name`. */
  readonly removedConsumers: readonly string[];
  readonly removedSecrets: readonly SecretId[];
  /** Absent: as before. */
  readonly certificates?: PublishedCertificates;
  /** Absent: as before. */
  readonly passthrough?: Passthrough;
}

export interface PublishedCertificates {
  readonly certificates: readonly PublishedCertificate[];
  readonly serverNames: readonly ServerName[];
  readonly defaultCertificate: string | undefined;
  readonly clientValidation: SnapshotClientValidation | undefined;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** What a worker needs to start; the same for all of them but for `worker`. */
export interface WorkerSettings {
  readonly worker: number;
  readonly workers: number;
  readonly http: Address;
  readonly https: Address;
  readonly wire: 'auto' | 'stream' | 'handle';
  readonly trustedProxies: readonly string[];
  /** Connections of `trustedProxies` begin with a PROXY header, on both ports. */
  readonly proxyProtocol: boolean;
  /** `stdout`, `off` or a path. */
  readonly accessLog: string;
  /** HTTP/2 by prior knowledge on the plain listener. */
  readonly h2c: boolean;
  /** What TLS clients get. */
  readonly tls: TlsParameters;
  readonly maxConnections: number;
  /** 0: no limit. */
  readonly maxConnectionsPerClient: number;
  readonly maxConcurrency: 'auto' | 'off' | number;
  /** Bytes for stored answers, of the pod. */
  readonly cacheMemory: number;
  /** PEM of the certificate for unknown names when no Secret gives one. */
  readonly selfSigned: PublishedCertificate;
  readonly ticketKeys: Uint8Array;
  readonly affinity: AffinitySecrets;
  readonly shared: SharedBuffers;
  /** Name of the BroadcastChannel for `HealthNews`. */
  readonly healthChannel: string;
  /** Name of the BroadcastChannel for what workers tell each other of their caches' requests. */
  readonly cacheChannel: string;
  /** The gateway's own; empty: unknown. */
  readonly zone: string;
  /** How often the worker shows that its event loop goes round (ms). */
  readonly pulse: number;
  /** Share of the traces that are recorded, 0 to 1; undefined: spans go nowhere. */
  readonly traceRatio: number | undefined;
  /** Where replicas count together; absent: nowhere. */
  readonly redis?: RedisSettings;
  /** Policies may name URLs on this machine. */
  readonly allowLoopbackFetch: boolean;
}

/** Memory that all threads see. */
export interface SharedBuffers {
  readonly inFlight: SharedArrayBuffer;
  readonly rateLimits: SharedArrayBuffer;
  /** Open connections: for each worker, a cell for each listener. */
  readonly connections: SharedArrayBuffer;
  readonly logBaton: SharedArrayBuffer;
  /** Of endpoints, by slot. */
  readonly health: SharedArrayBuffer;
  /** What circuit breakers count. */
  readonly breakers: SharedArrayBuffer;
  /** Requests and retries of the last seconds. */
  readonly retries: SharedArrayBuffer;
  /** Whether memory is short, and exchanges under way. */
  readonly overload: SharedArrayBuffer;
  /** Open connections by client. */
  readonly clients: SharedArrayBuffer;
  /** Stored answers. */
  readonly cache: SharedArrayBuffer;
  /** Whether each worker's event loop goes round. */
  readonly pulses: SharedArrayBuffer;
}

/** What workers and the health thread say to each other, past the main thread, which may be busy with a translation. */
export type HealthNews =
  /** To workers: endpoints of that upstream are in use or out of use; shared memory says which. */
  | { readonly type: 'turned'; readonly upstream: UpstreamKey }
  /** From a worker: tries at that endpoint fail. */
  | { readonly type: 'failing'; readonly upstream: UpstreamKey; readonly endpoint: string };

/** What the health thread needs to start. */
export interface HealthSettings {
  readonly health: SharedArrayBuffer;
  readonly healthChannel: string;
}

export type ToHealthThread =
  | { readonly type: 'upstreams'; readonly set: readonly CheckedUpstream[]; readonly removed: readonly UpstreamKey[]; readonly keep: boolean }
  | { readonly type: 'collectMetrics'; readonly id: number };

export type FromHealthThread =
  | { readonly type: 'metrics'; readonly id: number; readonly families: readonly MetricFamily[] }
  | { readonly type: 'log'; readonly level: 'info' | 'warn'; readonly message: string; readonly fields: Readonly<Record<string, unknown>> };

export type ToWorker =
  /** From the snapshot before, or from nothing. Each part is a `ChangePart` as v8.serialize writes it. */
  | { readonly type: 'change'; readonly parts: readonly Uint8Array[]; readonly end: ChangeEnd }
  | { readonly type: 'endpoints'; readonly version: number; readonly endpoints: PublishedEndpoints }
  | { readonly type: 'ticketKeys'; readonly keys: Uint8Array }
  /** As it is now, after each try to fetch it. */
  | { readonly type: 'document'; readonly state: DocumentState }
  /** No snapshot has named it for a while. */
  | { readonly type: 'documentGone'; readonly key: string }
  /** Of a session that it has claimed to refresh. Outcome undefined: it asks the provider. */
  | { readonly type: 'refresh'; readonly key: string; readonly outcome: RefreshOutcome | undefined }
  | { readonly type: 'collectMetrics'; readonly id: number }
  | { readonly type: 'reopenLog' }
  /** A worker has no file descriptors left, and they are the same ones for all. */
  | { readonly type: 'descriptorsUsedUp' }
  /** Another worker died. */
  | { readonly type: 'workerGone'; readonly worker: number }
  /** Every answer is from now on the last on its connection. */
  | { readonly type: 'drain' }
  /** Close the listeners, then connections as they become idle; `drained` follows. */
  | { readonly type: 'closeListeners' }
  /** End every exchange, whatever state it is in; `stopped` follows. */
  | { readonly type: 'stopExchanges' };

export type FromWorker =
  /** The first snapshot serves on both ports. */
  | { readonly type: 'serving'; readonly wire: 'stream' | 'handle' }
  | { readonly type: 'applied'; readonly version: number; readonly ms: number }
  | { readonly type: 'listenFailed'; readonly listener: string; readonly address: Address; readonly code: string }
  | { readonly type: 'metrics'; readonly id: number; readonly families: readonly MetricFamily[]; readonly eventLoopDelay: number }
  | { readonly type: 'log'; readonly level: 'info' | 'warn' | 'error'; readonly message: string; readonly fields: Readonly<Record<string, unknown>> }
  /** It lacks something that a request needs. A `document` follows, fetched again or not. */
  | { readonly type: 'refetchDocument'; readonly key: string }
  /** It would refresh a session. A `refresh` follows. */
  | { readonly type: 'claimRefresh'; readonly key: string }
  /** What came of a refresh that was its own to make. */
  | { readonly type: 'settleRefresh'; readonly key: string; readonly outcome: RefreshOutcome }
  /** There are no file descriptors left; the other workers are to know. */
  | { readonly type: 'descriptorsUsedUp' }
  | { readonly type: 'spans'; readonly spans: readonly Span[] }
  | { readonly type: 'drained' }
  /** How many exchanges were ended; their log lines are written. */
  | { readonly type: 'stopped'; readonly exchanges: number };
