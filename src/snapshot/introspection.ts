/** AuthPolicy, method oauth2Introspection, as workers need it. */
export interface IntrospectionSpec {
  /** Whole, http or https. */
  readonly endpoint: string;
  readonly clientId: string;
  /** The client's password: `Snapshot.secrets` has it. */
  readonly secret: string;
  /** How long an answer is used again (ms); 0: not at all. */
  readonly cacheFor: number;
}
