/** AuthPolicy, method jwt, as workers need it. */
import type { DocumentRequest } from './documents.ts';

export interface JwtRules {
  /** Claim iss, character by character. */
  readonly issuer: string;
  /** One of them must be in claim aud; empty: it is not looked at. */
  readonly audiences: readonly string[];
  /** As in header parameter alg; `none` is no member. */
  readonly algorithms: readonly string[];
  /** Milliseconds. */
  readonly clockSkew: number;
}

/** Where the keys are. */
export type JwtKeys =
  | { readonly type: 'Document'; readonly document: DocumentRequest }
  /** A value of a Secret, or of the policy itself, which may have a key of HMAC in it: `Snapshot.secrets` has it. */
  | { readonly type: 'Secret'; readonly secret: string };
