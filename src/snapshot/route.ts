import type { DirectResponse, HeaderModifier, RouteFilters } from './filters.ts';
import type { HostPattern, Match } from './match.ts';
import type { Hedge, Retry } from './recovery.ts';
import type { SessionAffinity, UpstreamKey } from './upstream.ts';

/** Where a share of a route's requests goes. */
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

/** Milliseconds; a very large number where there is no bound, never 0. */
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
