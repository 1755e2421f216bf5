/** What the filters of a route are to do. Longer specifications have files of their own. */

import type { Aggregate } from './aggregate.ts';
import type { AuthSpec } from './auth.ts';
import type { Compression, Decompression, ErrorPages } from './body-filters.ts';
import type { CacheSpec } from './cache.ts';
import type { Cors } from './cors.ts';
import type { GrpcJson } from './grpc-json.ts';
import type { Limit } from './rate-limit.ts';
import type { Transform } from './transform.ts';
import type { UpstreamKey } from './upstream.ts';

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
  /** Names of the cookies of OpenID logins on the route's hosts that are other policies'. */
  readonly sessionCookies?: readonly string[];
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
