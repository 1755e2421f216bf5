/** What `explain` tells, as plain data: the JSON of the command and of the admin port. */
import type { Hedge, Retry } from '../snapshot/recovery.ts';
import type { Fallback, Timeouts } from '../snapshot/route.ts';

export interface ExplainReport {
  readonly request: RequestReport;
  /** The gateway's own answer, where the request ends without a backend. */
  readonly answer?: AnswerReport;
  /** Absent when no route takes the request. */
  readonly route?: RouteReport;
  /** Instead of a route: the connection goes to a backend with its TLS, whatever the request is. */
  readonly passthrough?: PassthroughReport;
  /** In order of execution; each step on the answer runs in reverse. */
  readonly filters: readonly FilterReport[];
  /** Limits of the policies that are attached to the route or its rule. */
  readonly rateLimits: readonly LimitReport[];
  /** What goes to the backend; absent when the gateway answers by itself. */
  readonly sent?: SentReport;
  readonly backends: readonly BackendReport[];
  /** Other routes that fit and rank lower, in the order in which they would take the request. */
  readonly outranked: readonly OutrankedReport[];
  /** The nearest of the routes that do not fit, nearest first. */
  readonly nearMisses: readonly NearMissReport[];
}

export interface RequestReport {
  readonly method: string;
  readonly scheme: 'http' | 'https';
  readonly authority: string;
  /** What hosts are matched with. */
  readonly host: string;
  /** Normalised: what paths are matched with. */
  readonly path: string;
  readonly query: string;
  readonly clientIp: string;
  /** `namespace/name` of the Secrets that serve the handshake; empty: a self-signed one. Only for https. */
  readonly certificates?: readonly string[];
}

export interface AnswerReport {
  readonly status: number;
  /** As in the access log. */
  readonly reason: string;
  /** Who answers: `gateway`, or the name of a filter. */
  readonly by: string;
  readonly detail?: string;
  readonly location?: string;
}

export interface RouteReport {
  /** `Kind/namespace/name/rule` */
  readonly id: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly rule: string;
  readonly isDefaultBackend: boolean;
  /** The host pattern that fits. */
  readonly host: string;
  /** Index into the rule's matches. */
  readonly match: number;
  readonly matches: number;
  /** All parts of the match that won, in words. */
  readonly parts: readonly string[];
  /** Milliseconds. */
  readonly timeouts: Timeouts;
  /** These three as the rule has them; absent where it says nothing. */
  readonly retry?: Retry;
  readonly hedge?: Hedge;
  readonly fallback?: Fallback;
}

export interface PassthroughReport {
  /** `Kind/namespace/name/rule` */
  readonly id: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly rule: string;
  /** The host pattern that fits the server name. */
  readonly host: string;
  /** Milliseconds without a byte. */
  readonly idleTimeout: number;
  /** Why connections are closed, as in the access log; absent where they go to a backend. */
  readonly closed?: string;
}

export interface FilterReport {
  readonly policy: string;
  readonly does: string;
  /** `passed`: its step on the request was run and let the request on. `not reached`: something before it answers. */
  readonly outcome: 'passed' | 'answers' | 'not reached' | 'on the answer' | 'depends on who calls' | 'depends on earlier requests' | 'by chance';
}

export interface LimitReport {
  /** `namespace/name` of the RateLimitPolicy. */
  readonly policy: string;
  readonly limit: string;
  readonly algorithm: string;
  readonly requests: number;
  /** Milliseconds, or the calendar's unit. */
  readonly period: number | 'Day' | 'Month';
  readonly burst: number;
  /** In words, such as `Header x-user`; empty: one bucket for all. */
  readonly key: readonly string[];
  /** CEL: for which requests it is; absent: for all. */
  readonly when?: string;
  /** CEL: what a request uses up; absent: 1. */
  readonly cost?: string;
  readonly mode: 'Enforce' | 'Shadow';
  /** Over which pods it counts: each by itself, or all that share a Redis. */
  readonly scope: 'Local' | 'Global';
  /** Of scope Global: what holds while Redis can't be asked. */
  readonly onStoreFailure?: 'Allow' | 'Deny' | 'Local';
}

export interface SentReport {
  readonly method: string;
  readonly host: string;
  /** Path and query. */
  readonly target: string;
  /** Header fields, those for the chosen backend alone not included. */
  readonly fields: readonly (readonly [name: string, value: string])[];
}

export interface BackendReport {
  /** `namespace/service/port`; absent when the reference can't be resolved. */
  readonly upstream?: string;
  /** Answered to its share when it can't be resolved. */
  readonly unresolvedStatus?: number;
  readonly weight: number;
  /** Of all refs that are no backup. */
  readonly totalWeight: number;
  readonly backup: boolean;
  readonly loadBalancer?: string;
  /** Filters for this backend alone. */
  readonly filters: readonly string[];
  readonly endpoints: readonly { readonly address: string; readonly port: number; readonly state: string; readonly zone?: string }[];
}

export interface OutrankedReport {
  readonly route: string;
  readonly match: number;
  /** Why the winner goes first, such as `path /a/b is longer than /a`: what the winner has comes first. */
  readonly decidedBy: string;
}

export interface NearMissReport {
  readonly route: string;
  readonly match: number;
  /** The first part that fails. */
  readonly part: string;
  readonly expected: string;
  readonly got: string;
}
