/** What a token's claims must say (RFC 7519 section 4.1), of whatever type they come. */
import type { JsonObject } from '../tokens/strict-json.ts';

/** Year 9999. An expiry beyond it is a number of milliseconds by mistake, and would never come. */
const LAST_DATE = 253_402_300_799;

export type ClaimFlaw = 'claim_malformed' | 'token_expired' | 'token_not_yet_valid' | 'wrong_issuer' | 'wrong_audience';

export interface ClaimRules {
  readonly issuer: string;
  /** One of them must be among the token's; empty: not looked at. */
  readonly audiences: readonly string[];
  /** Milliseconds. */
  readonly clockSkew: number;
}

/** @param now seconds since the epoch @returns undefined where all is right */
export function claimFlaw({ iss, aud, exp, nbf, iat, sub }: JsonObject, { issuer, audiences, clockSkew }: ClaimRules, now: number): ClaimFlaw | undefined {
  if (!isDate(exp) || !isDate(nbf) || !isDate(iat) || (sub !== undefined && typeof sub !== 'string')) return 'claim_malformed';
  const named = audiencesOf(aud);
  if (named === undefined) return 'claim_malformed';
  if (iss !== issuer) return 'wrong_issuer';
  if (audiences.length > 0 && !audiences.some((audience) => named.includes(audience))) return 'wrong_audience';
  const skew = clockSkew / 1000;
  if (exp !== undefined && now >= exp + skew) return 'token_expired';
  if ((nbf !== undefined && now + skew < nbf) || (iat !== undefined && now + skew < iat)) return 'token_not_yet_valid';
  return undefined;
}

/** @returns seconds since the epoch from which on it is not taken; Infinity where it never ends */
export function expiryOf({ exp }: JsonObject, { clockSkew }: ClaimRules): number {
  return typeof exp === 'number' ? exp + clockSkew / 1000 : Number.POSITIVE_INFINITY;
}

/** A NumericDate or nothing. RFC 7519 section 2. */
function isDate(value: unknown): value is number | undefined {
  return value === undefined || (typeof value === 'number' && value >= 0 && value <= LAST_DATE);
}

/** RFC 7519 section 4.1.3. */
function audiencesOf(value: unknown): readonly string[] | undefined {
  if (value === undefined) return [];
  if (typeof value === 'string') return [value];
  return Array.isArray(value) && value.every((one) => typeof one === 'string') ? value : undefined;
}
