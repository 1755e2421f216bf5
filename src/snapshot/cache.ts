/** Specification of the filter `cache`. Times in milliseconds. */
export interface CacheSpec {
  readonly maxEntryBytes: number;
  /** For answers that do not say how long they are fresh; 0: those are not stored. */
  readonly defaultTTL: number;
  /** Names of the query's parameters that are part of the key; none: the whole query is. */
  readonly varyOnQuery: readonly string[];
  readonly staleWhileRevalidate: number;
  readonly staleIfError: number;
  /** A digest of what the rule makes of a request; an answer to another question is not found. Absent: there is but one question. */
  readonly asks?: string;
  /** An AuthPolicy is in force on the route: every request counts as one with Authorization (RFC 9111 section 3.5). */
  readonly authorized?: true;
  /** Headers that expressions make of the request on its way from the cache to the backend; absent: none. */
  readonly made?: readonly MadeHeader[];
}

/** An answer that varies by such a header varies by what it is made of: the cache goes by what the client has sent. */
export interface MadeHeader {
  /** Lower-case. */
  readonly name: string;
  /** Lower-case names of the client's headers that it is made of; absent: it is made of what no header says. */
  readonly of?: readonly string[];
}
