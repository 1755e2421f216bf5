import { X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { ClientValidation } from '../../snapshot/tls.ts';
import { secureContextOptions, sessionIdContextOf } from '../../wire/secure-context.ts';
import type { HandshakeOffer } from '../../wire/wire.ts';

/** Contexts with clients' authorities that one certificate keeps. */
const MOST_ASKING = 8;

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
  readonly #options: Readonly<SecureContextOptions>;
  #context: SecureContext | undefined = undefined;
  #failed = false;
  /** A context for each type of key, the preferred one first; none where there is only one type. */
  #single: readonly TypedContext[] = [];
  /** One for each type of key. */
  #pairsInUse: readonly KeyPair[];
  /** By the id of the validation. */
  readonly #asking = new Map<string, SecureContext>();

  /**
   * @param pairs in order of preference; of those with the same type of key the first counts
   * @param onProblem called at most once, when no context can be made of them
   * @param options versions and suites
   */
  constructor(
    pairs: readonly KeyPair[],
    onProblem: (certificates: string, error: Error) => void,
    options: Readonly<SecureContextOptions> = secureContextOptions,
  ) {
    this.pairs = pairs;
    this.#pairsInUse = pairs;
    this.#onProblem = onProblem;
    this.#options = options;
  }

  /** A context with all certificates; OpenSSL chooses by what the client offers. Undefined when none can be made. */
  get context(): SecureContext | undefined {
    if (this.#context === undefined && !this.#failed) {
      try {
        this.#make();
      } catch (error) {
        this.#failed = true;
        this.#onProblem(this.pairs.map((pair) => pair.id).join(', '), error instanceof Error ? error : new Error(String(error)));
      }
    }
    return this.#context;
  }

  /**
   * A context with one certificate, for a client that offers this: Node takes over no more than one where a context takes
   * another's place in a handshake. ECDSA where the client has it, because its handshake is several times cheaper; but with
   * TLS 1.2 RSA: there the cipher suites have a say as well, which Node does not tell, and the RSA certificate is the one
   * that is there for the sake of old clients.
   */
  contextFor(offer: HandshakeOffer): SecureContext | undefined {
    const context = this.context;
    if (this.#single.length === 0) return context;
    const signatures = offer.getSharedSigalgs();
    const takes = ({ signature }: TypedContext) => signatures.some((name) => name.startsWith(signature));
    const single = offer.getProtocol() === 'TLSv1.3' ? this.#single.find(takes) : this.#single.findLast(takes);
    return single?.context ?? context;
  }

  /**
   * A context with all certificates that verifies clients' ones. Made once, while the same is asked for: of names that share a
   * certificate, hardly any two ask for different ones.
   */
  contextAsking(validation: ClientValidation): SecureContext | undefined {
    const known = this.#asking.get(validation.id);
    if (known !== undefined || this.context === undefined) return known;
    if (this.#asking.size >= MOST_ASKING) this.#asking.clear();
    const context = makeAskingContext(this.#pairsInUse, validation, this.#options);
    this.#asking.set(validation.id, context);
    return context;
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

  #make(): void {
    const byType = this.pairs.length > 1 ? onePerKeyType(this.pairs) : [];
    if (byType.length > 1)
      this.#single = byType.map(({ type, pair }) => ({ signature: SIGNATURES[type] ?? type, context: makeContext([pair], this.#options) }));
    if (byType.length > 0) this.#pairsInUse = byType.map(({ pair }) => pair);
    this.#context = makeContext(this.#pairsInUse, this.#options);
  }
}

interface TypedContext {
  /** How the names of its signature algorithms begin. */
  readonly signature: string;
  readonly context: SecureContext;
}

const SIGNATURES: Readonly<Record<string, string>> = { ec: 'ECDSA', rsa: 'RSA', 'rsa-pss': 'RSA-PSS', ed25519: 'Ed25519', ed448: 'Ed448' };

/** @throws when a certificate or key can't be read, they don't belong together, or OpenSSL finds them too weak */
function makeContext(pairs: readonly KeyPair[], options: Readonly<SecureContextOptions>): SecureContext {
  return createSecureContext({
    ...options,
    cert: pairs.map((pair) => pair.chain),
    key: pairs.map((pair) => pair.key),
    // No roots: without client certificates there is nothing to verify, and they are most of a context's memory.
    ca: [],
  });
}

function makeAskingContext(
  pairs: readonly KeyPair[],
  { id, authorities, revocationLists }: ClientValidation,
  options: Readonly<SecureContextOptions>,
): SecureContext {
  return createSecureContext({
    ...options,
    cert: pairs.map((pair) => pair.chain),
    key: pairs.map((pair) => pair.key),
    ca: [...authorities],
    ...(revocationLists.length === 0 ? {} : { crl: [...revocationLists] }),
    sessionIdContext: sessionIdContextOf(id),
  });
}

/** OpenSSL keeps one certificate a type of key. ECDSA comes first, the others in their order of preference. */
function onePerKeyType(pairs: readonly KeyPair[]): { readonly type: string; readonly pair: KeyPair }[] {
  const byType = new Map<string, KeyPair>();
  for (const pair of pairs) {
    const type = new X509Certificate(pair.chain).publicKey.asymmetricKeyType ?? '';
    if (!byType.has(type)) byType.set(type, pair);
  }
  return [...byType].map(([type, pair]) => ({ type, pair })).sort((one, other) => Number(other.type === 'ec') - Number(one.type === 'ec'));
}
