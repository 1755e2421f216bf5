/** Keys and tokens for tests; tokens are put together by hand, so that each part can be wrong. */
import { constants, createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { JwtRules } from '../../../snapshot/jwt.ts';

export const ISSUER = 'https://id.example.com';
/** Seconds since the epoch. */
export const NOW = 1_800_000_000;
export const ASYMMETRIC = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const;

export const rules = (more: Partial<JwtRules> = {}): JwtRules => ({ issuer: ISSUER, audiences: ['shop'], algorithms: ASYMMETRIC, clockSkew: 30_000, ...more });

export const goodClaims = { iss: ISSUER, aud: 'shop', sub: 'ada', exp: NOW + 600, nbf: NOW - 10, iat: NOW - 10 };

export interface Pair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export const rsa = (bits = 2048, publicExponent = 0x10001): Pair => generateKeyPairSync('rsa', { modulusLength: bits, publicExponent });
export const ec = (namedCurve: 'P-256' | 'P-384' | 'P-521' | 'secp256k1' = 'P-256'): Pair => generateKeyPairSync('ec', { namedCurve });
export const ed25519 = (): Pair => generateKeyPairSync('ed25519');

export function jwkOf({ publicKey }: Pair, kid?: string, more: object = {}): Record<string, unknown> {
  return { ...publicKey.export({ format: 'jwk' }), ...(kid === undefined ? {} : { kid }), ...more };
}

export const octOf = (secret: string | Buffer, kid?: string): Record<string, unknown> => ({
  kty: 'oct',
  k: Buffer.from(secret).toString('base64url'),
  ...(kid === undefined ? {} : { kid }),
});

export const setOf = (...keys: readonly object[]): string => JSON.stringify({ keys });

export const encode = (part: unknown): string => Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url');

/** @param header, claims objects, or the JSON itself */
export function tokenOf(key: Pair | string | Buffer, header: object | string, claims: object | string = goodClaims, algorithm?: string): string {
  const alg = algorithm ?? (header as { readonly alg: string }).alg;
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${signatureOf(key, input, alg).toString('base64url')}`;
}

function signatureOf(key: Pair | string | Buffer, input: string, alg: string): Buffer {
  const bits = alg.slice(2);
  if (typeof key === 'string' || Buffer.isBuffer(key)) return createHmac(`sha${bits}`, key).update(input).digest();
  const bytes = Buffer.from(input);
  if (alg.startsWith('Ed')) return sign(null, bytes, key.privateKey);
  if (alg.startsWith('ES')) return sign(`sha${bits}`, bytes, { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
  if (alg.startsWith('PS'))
    return sign(`sha${bits}`, bytes, { key: key.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST });
  return sign(`sha${bits}`, bytes, key.privateKey);
}
