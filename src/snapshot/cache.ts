/** Specification of the filter `cache`. Times in milliseconds. */
export interface CacheSpec {
  readonly maxEntryBytes: number;
  /** For answers that do not say how long they are fresh; 0: those are not stored. */
  readonly defaultTTL: number;
  /** Names of the query's parameters that are part of the key; none: the whole query is. */
  readonly varyOnQuery: readonly string[];
  readonly staleWhileRevalidate: number;
  readonly staleIfError: number;
  /** An AuthPolicy is in force on the route: every request counts as one with Authorization (RFC 9111 section 3.5). */
  readonly authorized?: true;
}
