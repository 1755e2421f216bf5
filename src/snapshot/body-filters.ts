/** Specifications of filters that change bodies, or answers as a whole. */

import type { StatusRange } from './upstream.ts';

/** Content codings (RFC 9110 section 8.4.1) that the gateway speaks. */
export const CODINGS = ['zstd', 'br', 'gzip'] as const;
export type Coding = (typeof CODINGS)[number];

export interface Compression {
  /** The first one that the client likes best is taken. */
  readonly algorithms: readonly Coding[];
  /** A shorter body stays as it is. */
  readonly minBytes: number;
  /** `type/subtype` or `type/*`, in lower case; empty: the usual ones (policies/compression/content-types.ts). */
  readonly contentTypes: readonly string[];
}

export interface Decompression {
  readonly algorithms: readonly Coding[];
  /** Of a body once it is decoded. */
  readonly maxBytes: number;
  /** Bytes that come of one byte of the request, at most. */
  readonly maxRatio: number;
}

export interface ErrorPage {
  readonly statuses: readonly StatusRange[];
  readonly contentType: string;
  readonly body: string;
}

export interface ErrorPages {
  /** The first one that has an answer's status is taken. */
  readonly pages: readonly ErrorPage[];
  /** Errors of backends get them, too. */
  readonly intercept: boolean;
}
