/** What is done about tries that fail or take long. Times in milliseconds. */

import type { GRPC_STATUSES } from './grpc-status.ts';

/** What a try may fail by that a retry may mend: no connection, one that broke, no answer in time, a status, or a gRPC status's name. */
export type RetryCondition = 'connect-failure' | 'reset' | 'timeout' | GrpcStatusName | number;

export type GrpcStatusName = (typeof GRPC_STATUSES)[number];

export interface Retry {
  /** Tries after the first; 0: none, whatever happens. */
  readonly attempts: number;
  readonly on: readonly RetryCondition[];
  /** Longest wait before the first retry; it doubles for each later one. */
  readonly backoff: number;
  readonly maxBackoff: number;
  /** Share of the pod's requests that retries may be, 0 to 100. */
  readonly budgetPercent: number;
  /** Also requests that a backend may have acted on, of methods that are not idempotent. */
  readonly nonIdempotent: boolean;
  /** No retry begins later than this after the request came; absent: no bound of its own. */
  readonly within?: number;
}

export interface Hedge {
  /** How long a try is waited for before another one goes out beside it. */
  readonly after: number;
  /** Tries beside the first. */
  readonly max: number;
}
