/** What the main thread and a worker say to each other. Everything here crosses by structured clone. */
import type { Endpoint, Route, ServerName, Upstream, UpstreamKey } from '../snapshot/snapshot.ts';

/** An endpoint with its cell in the shared in-flight counters; the same address keeps its slot as long as it is known. */
export interface PublishedEndpoint extends Endpoint {
  readonly slot: number;
}

export interface PublishedCertificate {
  readonly id: string;
  readonly chain: string;
  /** Plain PEM: this never leaves the process and is never logged. */
  readonly key: string;
}

/** A snapshot as it travels. */
export interface PublishedSnapshot {
  readonly version: number;
  readonly routes: readonly Route[];
  readonly upstreams: ReadonlyMap<UpstreamKey, Upstream>;
  readonly endpoints: ReadonlyMap<UpstreamKey, readonly PublishedEndpoint[]>;
  readonly certificates: readonly PublishedCertificate[];
  readonly serverNames: readonly ServerName[];
  readonly defaultCertificate: string | undefined;
}
