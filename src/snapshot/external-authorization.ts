import type { UpstreamKey } from './upstream.ts';

/** A service that is asked about each request. */
export interface ExternalAuthorization {
  /** HTTP: the status of its answer decides. GRPC: envoy.service.auth.v3.Authorization. */
  readonly protocol: 'HTTP' | 'GRPC';
  /** For `explain`: a Service or a URL. */
  readonly target: string;
  /** Absent: it can't be resolved, and every check fails. */
  readonly upstream?: UpstreamKey;
  /** Host that it is asked by; absent: the Service's name. */
  readonly authority?: string;
  /** Of the check, for HTTP. */
  readonly path: string;
  /** With its `?`; empty: none. */
  readonly query: string;
  /** Milliseconds. */
  readonly timeout: number;
  /** Headers of the client that it gets, in lower case; empty: all. */
  readonly requestHeaders: readonly string[];
  /** Headers of its answer that the backend gets, in lower case. */
  readonly headersToBackend: readonly string[];
  /** What becomes of requests when it fails: they pass. */
  readonly failOpen: boolean;
}
