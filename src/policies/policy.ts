/**
 * A policy is one file (or folder) with its compile function and its filter side by side, and one line in index.ts, whose
 * order is the order of execution. What users write for it is apart, in resources/: workers run policies and need no
 * schemas; zod and what is built with it would cost each of them 20 MiB.
 */

import type { AnswerBodyChange } from '../exchange/bodies.ts';
import type { Calls } from '../exchange/calls.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import type { CountPolicy } from '../exchange/policy-counters.ts';
import type { BodyLength } from '../exchange/streams.ts';
import type { FetchAnswer, FetchRequest } from '../fetch/fetcher.ts';
import type { Documents } from '../fetch/worker-documents.ts';
import type { RouteFilters } from '../snapshot/filters.ts';
import type { Consumers } from './auth/consumers.ts';
import type { Introspectors } from './auth/introspection/introspectors.ts';
import type { JwtVerifiers } from './auth/jwt/verifiers.ts';
import type { Refreshes } from './auth/oidc/refreshes.ts';
import type { Passwords } from './auth/passwords/passwords.ts';
import type { ResponseCache } from './cache/response-cache.ts';
import type { LimitStore } from './rate-limit/global/limit-store.ts';
import type { RateLimiter } from './rate-limit/limiter.ts';
import type { Secrets } from './secrets.ts';

/** What a filter's request step came to. */
export const Verdict = {
  /** On to the next filter. */
  Continue: 0,
  /** `exchange.reply` is set; nothing later runs, and the backend is not called. */
  Answered: 1,
  /** The filter calls `exchange.resume()` later. */
  Waiting: 2,
  /** `onRequestBody` of the same filter is called as soon as the whole body is there. */
  NeedsBody: 3,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** A policy compiled for one route. It is shared by all exchanges of that route, so it keeps no state of any of them. */
export interface Filter {
  /** Name of its policy, for explain and logs. */
  readonly policy: string;
  /** One line for `explain`: what it will do. */
  describe(): string;
  onRequest?(exchange: Exchange): Verdict;
  /** Bytes of the request's body that `onRequestBody` takes; a longer one is 413. Absent: none. */
  readonly maxRequestBody?: number;
  /** After the verdict NeedsBody, with `exchange.requestBody`, which is empty where the request has none. May be called before `onRequest` has been left by others, never twice. */
  onRequestBody?(exchange: Exchange, body: Buffer): Verdict;
  /**
   * On the head of every answer of the route, the gateway's own too. Runs in reverse order of the registry.
   * @param fields the answer's fields, to be changed in place
   */
  onResponse?(exchange: Exchange, status: number, fields: Fields): void;
  /**
   * On the head of every answer but 101, after this filter's own `onResponse`.
   * @param fields to be changed in place; Content-Length need not be, the length that goes out is the body's own
   * @param length of the body; NO_BODY for HEAD, 204 and 304: what is returned then is ignored
   * @returns what is to become of the body; undefined: it passes as it is
   */
  onResponseBody?(exchange: Exchange, status: number, fields: Fields, length: BodyLength): AnswerBodyChange | undefined;
}

/** Places in `Exchange.filterState` of the policies that keep something there. */
export const FilterSlot = { rateLimit: 0, oidc: 1, externalAuthorization: 2, transform: 3, cache: 4 } as const;
export type FilterSlot = (typeof FilterSlot)[keyof typeof FilterSlot];

/** Keeps something of an exchange until its answer. */
export function keepState(exchange: Exchange, slot: FilterSlot, value: unknown): void {
  // A place for each slot: an array that grows from nothing gets many more.
  exchange.filterState ??= [undefined, undefined, undefined, undefined, undefined];
  exchange.filterState[slot] = value;
}

/** What one limit has decided in this worker, for `tidegate_rate_limit_decisions_total`; filters count it up. */
export interface LimitDecisions {
  allowed: number;
  refused: number;
  shadowRefused: number;
  /** Of `allowed`: those after which less than a tenth was left. */
  nearlyRefused: number;
}

/** Calls to URLs that are no upstream's. */
export interface PolicyFetcher {
  /** Any status is an answer, a redirect too: it is not followed. @throws (rejects) FetchError */
  fetch(request: FetchRequest): Promise<FetchAnswer>;
}

/** What one method or check of an AuthPolicy has decided in this worker, for `tidegate_auth_decisions_total`; filters count it up. */
export interface AuthDecisions {
  allowed: number;
  refused: number;
  /** Neither could be told: something of ours failed. */
  failed: number;
}

/** What AuthPolicies may use. */
export interface AuthContext {
  readonly consumers: Consumers;
  readonly jwt: JwtVerifiers;
  readonly introspectors: Introspectors;
  readonly passwords: Passwords;
  /** The counters of a method, the same for the same names. */
  decisions(policy: string, method: string): AuthDecisions;
  /** Of sessions at OpenID providers, shared in the pod. */
  readonly refreshes: Refreshes;
  /** Random, the same for all workers, and gone with the process. */
  readonly podSecret: Uint8Array;
  log(level: 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>): void;
}
/** What became of a call of an aggregate. */
export type CallResultName = 'ok' | 'failed' | 'timeout' | 'skipped';

/** What compile functions may use; one per worker. */
export interface PolicyContext {
  readonly rateLimiter: RateLimiter;
  /** Counters that replicas share. Absent: there is no `--redis`. */
  readonly limitStore?: LimitStore | undefined;
  readonly cache: ResponseCache;
  /** Requests of the gateway's own to upstreams. */
  readonly calls: Calls;
  readonly auth: AuthContext;
  readonly secrets: Secrets;
  /** Counts a call of an aggregate, for `tidegate_aggregate_calls_total`. @param route `Exchange.routeId` */
  countCall(route: string, call: string, result: CallResultName): void;
  /** Chance: at least 0, less than 1. */
  random(): number;
  /** The counters of a limit, the same for the same names. */
  limitDecisions(policy: string, limit: string): LimitDecisions;
  /** A counter with these labels, the same one for the same labels; see exchange/policy-counters.ts. */
  counter: CountPolicy;
  /** Documents that the snapshot names. */
  readonly documents: Documents;
  readonly fetcher: PolicyFetcher;
}

export interface Policy<Name extends keyof RouteFilters = keyof RouteFilters> {
  readonly name: Name;
  compile(spec: NonNullable<RouteFilters[Name]>, context: PolicyContext): Filter;
}
