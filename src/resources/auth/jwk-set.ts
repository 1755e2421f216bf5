/** JWK sets (RFC 7517) that stand in a manifest or in a Secret. */
import type { Flaw } from '../strict-object.ts';

/** What is wrong with the text as a whole. Keys that nobody can use are passed over when tokens are verified, as section 5 asks. */
export function jwkSetFlaw(text: string): Flaw | undefined {
  const hint = `write {"keys":[...]}, as the issuer publishes it`;
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return { message: 'is no JSON', hint };
  }
  const keys = typeof content === 'object' && content !== null ? (content as { readonly keys?: unknown }).keys : undefined;
  return Array.isArray(keys) ? undefined : { message: 'is no JWK set', hint };
}

/** @param text a JWK set @returns whether a private key is among its keys; one of HMAC is both */
export function hasPrivateKey(text: string): boolean {
  const { keys } = JSON.parse(text) as { readonly keys: readonly unknown[] };
  return keys.some((key) => typeof key === 'object' && key !== null && 'd' in key);
}
