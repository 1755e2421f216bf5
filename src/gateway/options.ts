/** What a gateway is started with. */
import type { RedisSettings } from '../redis/redis-settings.ts';
import type { ClusterOptions } from '../sources/kubernetes/connect.ts';
import type { ReporterOptions } from '../status/status-reporter.ts';
import type { TlsParameters } from '../wire/secure-context.ts';
import type { Address, WorkerSettings } from '../workers/messages.ts';

export interface ClusterSource {
  readonly cluster: ClusterOptions;
  readonly namespaces: readonly string[];
  /** Where clients reach the gateway: what Ingresses get as their addresses. */
  readonly publish: ReporterOptions['publish'];
  /** Among replicas; no other process ever has it. */
  readonly identity: string;
  /** Where replicas agree on their leader; undefined: in the namespace of the kubeconfig's context, or of the ServiceAccount. */
  readonly ownNamespace: string | undefined;
}

export interface TracingOptions {
  /** URL of an OpenTelemetry collector. */
  readonly endpoint: string;
  /** Share of the traces that are recorded, 0 to 1. */
  readonly ratio: number;
  /** Who we are, as OpenTelemetry's attributes of a resource. */
  readonly resource: Readonly<Record<string, string>>;
  readonly version: string;
}

export interface GatewayOptions {
  /** Objects come from a folder of manifests, or from an API server: from some of its namespaces, or from all where none is named. */
  readonly source: { readonly manifests: string } | ClusterSource;
  readonly http: Address;
  readonly https: Address;
  readonly admin: Address;
  readonly workers: number;
  readonly ingressClass: string;
  readonly trustedProxies: readonly string[];
  /** Connections of `trustedProxies` begin with a PROXY header, on both ports. */
  readonly proxyProtocol: boolean;
  readonly defaultCertificate?: string;
  readonly allowExternalName: boolean;
  /** URLs that policies name may lead to this machine; with a folder they always may. */
  readonly allowLoopbackFetch: boolean;
  /** Milliseconds. */
  readonly drainDelay: number;
  readonly drainTimeout: number;
  readonly wire: WorkerSettings['wire'];
  readonly accessLog: string;
  /** HTTP/2 by prior knowledge on the plain listener. */
  readonly h2c: 'on' | 'off';
  /** What TLS clients get; `parametersFlaw` finds none. */
  readonly tls: TlsParameters;
  /** File with the secret that affinity cookies are made with. */
  readonly affinityKeyFile?: string;
  /** 0: no limit. */
  readonly maxConnectionsPerClient: number;
  readonly maxConcurrency: WorkerSettings['maxConcurrency'];
  /** Bytes for stored answers. */
  readonly cacheMemory: number;
  /** The pod's; empty: unknown. */
  readonly zone: string;
  /** Where traces go; undefined: nowhere. */
  readonly tracing: TracingOptions | undefined;
  /** Where replicas count together; absent: nowhere. */
  readonly redis?: RedisSettings;
}
