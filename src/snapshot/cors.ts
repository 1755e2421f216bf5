export interface Cors {
  /** `*`, `null`, an origin, or one whose host begins with `*.`; in lower case, without the scheme's default port. */
  readonly allowOrigins: readonly string[];
  /** `*`: any. */
  readonly allowMethods: readonly string[];
  /** In lower case; `*`: any. */
  readonly allowHeaders: readonly string[];
  readonly exposeHeaders: readonly string[];
  /** Seconds. */
  readonly maxAge: number;
  readonly allowCredentials: boolean;
}
