/**
 * Signatures that are checked at once, where that is quicker than to have another thread do it: OpenSSL takes 40 to 170 µs for these on a
 * busy machine, and to hand one over and to hear of it takes a tenth as long again, on the thread that has the requests.
 */
import { constants, createHmac, KeyObject, timingSafeEqual, verify } from 'node:crypto';
import type { CryptoKey } from 'jose';

/** @param signed the bytes that were signed @returns whether the signature is the key's; never throws */
export type QuickCheck = (signed: Buffer, signature: Buffer) => boolean;

/** With longer ones a check takes several times as long. */
const MOST_RSA_BITS = 4096;
/** RFC 7518 section 3.4. */
const ES256_BYTES = 64;

/** @param key that was imported for the algorithm @returns undefined for what is better done elsewhere */
export function quickCheckOf(algorithm: string, key: CryptoKey | Uint8Array): QuickCheck | undefined {
  const family = algorithm.slice(0, 2);
  const hash = `sha${algorithm.slice(2)}`;
  if (key instanceof Uint8Array) {
    return family === 'HS' ? (signed, signature) => isSame(createHmac(hash, key).update(signed).digest(), signature) : undefined;
  }
  const publicKey = KeyObject.from(key);
  const bits = publicKey.asymmetricKeyDetails?.modulusLength ?? Number.POSITIVE_INFINITY;
  switch (family) {
    case 'ES':
      // The other curves take ten times as long.
      if (algorithm !== 'ES256') return undefined;
      return (signed, signature) =>
        signature.length === ES256_BYTES && isGood(() => verify(hash, signed, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature));
    case 'RS':
      return bits > MOST_RSA_BITS ? undefined : (signed, signature) => isGood(() => verify(hash, signed, publicKey, signature));
    case 'PS': {
      // RFC 7518 section 3.5: the salt is as long as the hash.
      const pss = { key: publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
      return bits > MOST_RSA_BITS ? undefined : (signed, signature) => isGood(() => verify(hash, signed, pss, signature));
    }
    case 'Ed':
      return (signed, signature) => isGood(() => verify(null, signed, publicKey, signature));
    default:
      return undefined;
  }
}

function isSame(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

function isGood(check: () => boolean): boolean {
  try {
    return check();
  } catch {
    return false;
  }
}
