/** Who sent a request, as authentication found out. */
export interface Identity {
  /** Subject of a token, user name, name of a consumer, or subject of a certificate. */
  readonly subject: string;
  /** Claims of a token; none for other methods. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** The ApiConsumer that fits: its name. */
  readonly consumer: string | undefined;
  readonly groups: readonly string[];
  /** The method that decided, as AuthPolicy names it. */
  readonly method: string;
}
