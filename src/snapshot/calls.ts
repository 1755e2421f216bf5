import type { Hedge, Retry } from './recovery.ts';
import type { UpstreamKey } from './upstream.ts';

/** Where the gateway's own calls of one kind go, and what is done about those that fail. */
export interface CallTarget {
  /** Absent: the reference can't be resolved, and every call fails. */
  readonly upstream?: UpstreamKey;
  /** Milliseconds for a whole call: every try of it, until the last byte of the answer. */
  readonly timeout: number;
  /** Absent: the one retry that every request has. */
  readonly retry?: Retry;
  readonly hedge?: Hedge;
}
