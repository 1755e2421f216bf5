/** Requests with equal parts share a bucket. */
export interface LimitKeyPart {
  readonly type: 'ClientIP' | 'Header' | 'Cookie' | 'QueryParam' | 'Method' | 'Path' | 'Claim' | 'Consumer' | 'Expression';
  /** Header names are lower-case. Absent for the types without one. */
  readonly name?: string;
  /** CEL that gives a text or null; of type Expression. */
  readonly expression?: string;
}

export interface Limit {
  /** As shown in headers, already made unique within each route. */
  readonly name: string;
  /**
   * Identity of the limit's buckets: equal ids share buckets. It covers the policy's namespace and name, the attachment
   * (route or rule), the limit's place or name, algorithm, period and key; not requests or burst, so that new values of
   * those keep what was used.
   */
  readonly id: string;
  readonly policy: string;
  readonly algorithm: 'TokenBucket' | 'LeakyBucket' | 'FixedWindow' | 'SlidingWindow';
  readonly requests: number;
  /** Milliseconds; 0 when `calendar` is set. */
  readonly period: number;
  readonly calendar?: 'Day' | 'Month';
  /** TokenBucket: capacity. LeakyBucket: queue length. Others: 0. */
  readonly burst: number;
  readonly key: readonly LimitKeyPart[];
  /** CEL that gives a bool: for which requests the limit is. Absent: for all. */
  readonly when?: string;
  /** CEL that gives an int: what a request costs. Absent: 1. */
  readonly cost?: string;
  readonly mode: 'Enforce' | 'Shadow';
  /** Of scope Global: what is done without the store that replicas share. Absent: counted in the pod. */
  readonly onStoreFailure?: 'Allow' | 'Deny' | 'Local';
}
