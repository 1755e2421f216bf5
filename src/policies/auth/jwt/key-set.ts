/** A JWK set (RFC 7517) as keys that verify signatures. What is no such key, or too weak, is passed over, as section 5 asks. */
import type { JWK } from 'jose';
import { type QuickCheck, quickCheckOf } from './quick-check.ts';

/** RFC 7518 section 3.3: a key of 2048 bits or larger. */
const LEAST_RSA_BITS = 2048;
/** Beyond it a verification costs too much. */
const MOST_RSA_BITS = 8192;
/** Of a set, in its order; issuers have a handful. */
const MAX_KEYS = 256;

/** For each algorithm the only kind of key that may verify it (RFC 8725 section 3.1), and for HMAC the least length of the key (RFC 7518 section 3.2). */
const FITTING: Readonly<Record<string, { readonly kty: string; readonly crv?: string; readonly bytes?: number }>> = {
  RS256: { kty: 'RSA' },
  RS384: { kty: 'RSA' },
  RS512: { kty: 'RSA' },
  PS256: { kty: 'RSA' },
  PS384: { kty: 'RSA' },
  PS512: { kty: 'RSA' },
  ES256: { kty: 'EC', crv: 'P-256' },
  ES384: { kty: 'EC', crv: 'P-384' },
  ES512: { kty: 'EC', crv: 'P-521' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519' },
  Ed25519: { kty: 'OKP', crv: 'Ed25519' },
  HS256: { kty: 'oct', bytes: 32 },
  HS384: { kty: 'oct', bytes: 48 },
  HS512: { kty: 'oct', bytes: 64 },
};

/** RFC 9864 section 2.2: the older name is the same algorithm, on a curve that the key tells. Sets and tokens of an issuer do not change names at once. */
function isSame(one: string, other: string): boolean {
  return one === other || (isEdwards(one) && isEdwards(other));
}

function isEdwards(algorithm: string): boolean {
  return algorithm === 'EdDSA' || algorithm === 'Ed25519';
}

export interface ImportedKey {
  /** Whether a token is signed by it; by jose, on another thread. Never rejects. */
  verify(token: string): Promise<boolean>;
  /** Absent: that would take too long. */
  readonly quickCheck: QuickCheck | undefined;
}

/** Loaded with the first verifier: a worker whose routes ask for no tokens does without. */
export function loadJose(): Promise<typeof import('jose')> {
  return import('jose');
}

/** @throws (rejects) where the key is none */
async function importKey(jwk: JWK, algorithm: string): Promise<ImportedKey> {
  const { compactVerify, importJWK } = await loadJose();
  // By the name that the token has: where the key has the other one, that is the same algorithm.
  const key = await importJWK({ ...jwk, alg: algorithm }, algorithm);
  const options = { algorithms: [algorithm] };
  return {
    verify: (token) =>
      compactVerify(token, key, options).then(
        () => true,
        () => false,
      ),
    quickCheck: quickCheckOf(algorithm, key),
  };
}

export class SetKey {
  readonly kid: string | undefined;
  readonly #jwk: JWK;
  /** By algorithm. */
  readonly #imported = new Map<string, Promise<ImportedKey>>();
  readonly #quickChecks = new Map<string, QuickCheck>();
  /** Of an RSA key. */
  readonly #modulusBytes: number | undefined;

  private constructor(kid: string | undefined, jwk: JWK) {
    this.kid = kid;
    this.#jwk = jwk;
    this.#modulusBytes = jwk.n === undefined ? undefined : Math.ceil(bitLength(Buffer.from(jwk.n, 'base64url')) / 8);
  }

  /** @returns undefined for what no signature can be verified by */
  static of(value: unknown): SetKey | undefined {
    if (typeof value !== 'object' || value === null) return undefined;
    const { kty, kid, use, key_ops: operations, alg, crv, n, e, x, y, k } = value as Readonly<Record<string, unknown>>;
    if (kid !== undefined && typeof kid !== 'string') return undefined;
    if (use !== undefined && use !== 'sig') return undefined;
    if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return undefined;
    if (alg !== undefined && (typeof alg !== 'string' || FITTING[alg]?.kty !== kty)) return undefined;
    const more = alg === undefined ? {} : { alg };
    // Public parts alone: who puts a private key into a set has it verify all the same, and we never hold it.
    if (kty === 'RSA' && typeof n === 'string' && typeof e === 'string') return isSaneRsa(n, e) ? new SetKey(kid, { kty, n, e, ...more }) : undefined;
    if (kty === 'EC' && typeof crv === 'string' && typeof x === 'string' && typeof y === 'string') return new SetKey(kid, { kty, crv, x, y, ...more });
    if (kty === 'OKP' && typeof crv === 'string' && typeof x === 'string') return new SetKey(kid, { kty, crv, x, ...more });
    if (kty === 'oct' && typeof k === 'string') return new SetKey(kid, { kty, k, ...more });
    return undefined;
  }

  fits(algorithm: string): boolean {
    const { kty, crv, k, alg } = this.#jwk;
    const fitting = FITTING[algorithm];
    if (fitting === undefined || fitting.kty !== kty || (alg !== undefined && !isSame(alg, algorithm))) return false;
    if (fitting.crv !== undefined && fitting.crv !== crv) return false;
    return fitting.bytes === undefined || Buffer.from(k ?? '', 'base64url').length >= fitting.bytes;
  }

  /** RFC 8017 sections 8.1.2 and 8.2.2: an RSA signature is as long as the modulus. OpenSSL takes a PSS one without its leading zeros, too. */
  takes(signature: Buffer): boolean {
    return this.#modulusBytes === undefined || signature.length === this.#modulusBytes;
  }

  /** @param algorithm one that it fits @throws (rejects) where it is no point of its curve and the like */
  import(algorithm: string): Promise<ImportedKey> {
    let imported = this.#imported.get(algorithm);
    if (imported === undefined) {
      imported = this.#import(algorithm);
      this.#imported.set(algorithm, imported);
    }
    return imported;
  }

  async #import(algorithm: string): Promise<ImportedKey> {
    const key = await importKey(this.#jwk, algorithm);
    if (key.quickCheck !== undefined) this.#quickChecks.set(algorithm, key.quickCheck);
    return key;
  }

  /** Undefined before it is imported, and where there is none. */
  quickCheck(algorithm: string): QuickCheck | undefined {
    return this.#quickChecks.get(algorithm);
  }
}

export class KeySet {
  readonly #keys: readonly SetKey[];

  private constructor(keys: readonly SetKey[]) {
    this.#keys = keys;
  }

  /** @returns undefined where the text is no JWK set at all */
  static read(text: string): KeySet | undefined {
    let content: unknown;
    try {
      content = JSON.parse(text);
    } catch {
      return undefined;
    }
    const keys = typeof content === 'object' && content !== null ? (content as { readonly keys?: unknown }).keys : undefined;
    if (!Array.isArray(keys)) return undefined;
    return new KeySet(keys.slice(0, MAX_KEYS).flatMap((key) => SetKey.of(key) ?? []));
  }

  /** Whether a key goes by that name, of whatever type. */
  has(kid: string): boolean {
    return this.#keys.some((key) => key.kid === kid);
  }

  /** Keys that may have signed such a token: `kid` is a look-up and nothing else. @param kid absent: each of fitting type */
  candidates(algorithm: string, kid: string | undefined): readonly SetKey[] {
    return this.#keys.filter((key) => (kid === undefined || key.kid === kid) && key.fits(algorithm));
  }
}

function isSaneRsa(n: string, e: string): boolean {
  const modulus = Buffer.from(n, 'base64url');
  const exponent = Buffer.from(e, 'base64url');
  const bits = bitLength(modulus);
  // With an exponent of 1 a signature is its own message; even ones are none.
  const exponentBits = bitLength(exponent);
  return bits >= LEAST_RSA_BITS && bits <= MOST_RSA_BITS && exponentBits >= 2 && exponentBits <= 64 && ((exponent.at(-1) ?? 0) & 1) === 1;
}

function bitLength(bytes: Uint8Array): number {
  const first = bytes.findIndex((byte) => byte !== 0);
  return first < 0 ? 0 : (bytes.length - first) * 8 - Math.clz32(bytes[first] as number) + 24;
}
