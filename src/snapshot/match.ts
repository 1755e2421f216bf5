/** The requests that a route is for. */

export type HostPattern =
  | { readonly type: 'Exact'; readonly value: string }
  /** `*.value`: any number of labels (one or more) before `.value`, as Gateway API has it. */
  | { readonly type: 'Suffix'; readonly value: string }
  /** `*.value` of an Ingress: exactly one label before `.value`. */
  | { readonly type: 'OneLabel'; readonly value: string }
  | { readonly type: 'Any' };

export interface PathMatch {
  readonly type: 'Exact' | 'PathPrefix' | 'RegularExpression';
  /** Normalised as requests are. A PathPrefix has no trailing slash, but for `/` itself. */
  readonly value: string;
  /** Names of segments, as `id` of `/users/{id}`, by the element's place; empty for one that is what it says. Absent: there is no name. */
  readonly names?: readonly string[];
}

export interface FieldMatch {
  /** Lower-case for headers; as written for query parameters and cookies. */
  readonly name: string;
  readonly type: 'Exact' | 'RegularExpression' | 'Present';
  /** Empty for Present. */
  readonly value: string;
}

/** All parts must hold. */
export interface Match {
  readonly path: PathMatch;
  /** Upper-case; absent: any. */
  readonly methods?: readonly string[];
  readonly headers: readonly FieldMatch[];
  readonly queryParams: readonly FieldMatch[];
  readonly cookies: readonly FieldMatch[];
  /** Absent: any. */
  readonly clientCIDRs?: readonly string[];
  readonly scheme?: 'http' | 'https';
}
