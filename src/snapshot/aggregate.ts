import type { CallTarget } from './calls.ts';

/** Expressions are kept as they were written: they were found good, and workers compile them. */
export interface Aggregate {
  /** Milliseconds for all calls; absent: as long as the exchange may take. */
  readonly timeout?: number;
  readonly calls: readonly AggregateCall[];
  readonly response: {
    readonly status: string;
    readonly headers: readonly HeaderExpression[];
    readonly body?: string;
  };
  /** The rule has a cache, and what the answer depends on can be told: lower-case names of the request's fields beside what every key holds. */
  readonly cachedBy?: readonly string[];
}

export interface AggregateCall {
  readonly name: string;
  readonly target: CallTarget;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly HeaderExpression[];
  readonly body?: string;
  readonly when?: string;
  /** What its body is when it fails; absent: the whole answer fails. */
  readonly onError?: string;
}

export interface HeaderExpression {
  /** Lower-case. */
  readonly name: string;
  readonly expression: string;
}
