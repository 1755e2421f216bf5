import { X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import { secureContextOptions } from '../../wire/secure-context.ts';

/** A certificate with its key, both PEM. */
export interface KeyPair {
  readonly id: string;
  /** Leaf first. */
  readonly chain: string;
  readonly key: string;
}

/**
 * What one or more server names are served with: one certificate, or several with different types of key. Its context is
 * made when it is first asked for, and once only: making one takes half a millisecond and memory outside the heap, and most
 * of many names are quiet.
 */
export class CertificateMaterial {
  readonly pairs: readonly KeyPair[];
  readonly #onProblem: (certificates: string, error: Error) => void;
  #context: SecureContext | undefined = undefined;
  #failed = false;

  /**
   * @param pairs in order of preference; of those with the same type of key the first counts
   * @param onProblem called at most once, when no context can be made of them
   */
  constructor(pairs: readonly KeyPair[], onProblem: (certificates: string, error: Error) => void) {
    this.pairs = pairs;
    this.#onProblem = onProblem;
  }

  /** Undefined when none can be made of these certificates. */
  get context(): SecureContext | undefined {
    if (this.#context === undefined && !this.#failed) {
      try {
        this.#context = makeContext(this.pairs);
      } catch (error) {
        this.#failed = true;
        this.#onProblem(this.pairs.map((pair) => pair.id).join(', '), error instanceof Error ? error : new Error(String(error)));
      }
    }
    return this.#context;
  }

  holds(pairs: readonly KeyPair[]): boolean {
    return (
      pairs.length === this.pairs.length &&
      pairs.every((pair, index) => {
        const own = this.pairs[index];
        return own !== undefined && own.id === pair.id && own.chain === pair.chain && own.key === pair.key;
      })
    );
  }
}

/** @throws when a certificate or key can't be read, they don't belong together, or OpenSSL finds them too weak */
function makeContext(pairs: readonly KeyPair[]): SecureContext {
  const chosen = pairs.length > 1 ? onePerKeyType(pairs) : pairs;
  return createSecureContext({
    ...secureContextOptions,
    cert: chosen.map((pair) => pair.chain),
    key: chosen.map((pair) => pair.key),
    // No roots: without client certificates there is nothing to verify, and they are most of a context's memory.
    ca: [],
  });
}

/** OpenSSL keeps one certificate a type of key, the last one given. ECDSA first: its handshake is several times cheaper. */
function onePerKeyType(pairs: readonly KeyPair[]): KeyPair[] {
  const byType = new Map<string, KeyPair>();
  for (const pair of pairs) {
    const type = new X509Certificate(pair.chain).publicKey.asymmetricKeyType ?? '';
    if (!byType.has(type)) byType.set(type, pair);
  }
  const ecdsa = byType.get('ec');
  byType.delete('ec');
  return ecdsa === undefined ? [...byType.values()] : [ecdsa, ...byType.values()];
}
