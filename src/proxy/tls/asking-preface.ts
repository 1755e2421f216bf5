import type { Preface, PrefaceOutcome, PrefaceReader } from '../../wire/wire.ts';
import type { CertificateStore } from './certificate-store.ts';
import { readClientHello } from './client-hello.ts';
import type { ClientValidations } from './client-validations.ts';

type Begun = Exclude<PrefaceOutcome, 'refused'>;

/**
 * Of the TLS listener: looks at the server name of a ClientHello, so that the handshake asks for a certificate where the host
 * does. It has to be known before TLS begins, since the tickets of sessions are read first of all. Where no host asks,
 * nothing is looked at.
 */
export class AskingPreface implements Preface {
  readonly timeout: number;
  readonly #inner: Preface | undefined;
  readonly #validations: () => ClientValidations;
  readonly #certificates: CertificateStore;

  /**
   * @param inner what is read before the ClientHello
   * @param validations those in force now
   * @param timeout milliseconds for all of it
   */
  constructor(inner: Preface | undefined, validations: () => ClientValidations, certificates: CertificateStore, timeout: number) {
    this.#inner = inner;
    this.#validations = validations;
    this.#certificates = certificates;
    this.timeout = timeout;
  }

  begin(remoteAddress: string): PrefaceReader | undefined {
    const inner = this.#inner?.begin(remoteAddress);
    const validations = this.#validations();
    return validations.isEmpty ? inner : new HelloReader(inner, validations, this.#certificates);
  }
}

class HelloReader implements PrefaceReader {
  readonly #inner: PrefaceReader | undefined;
  readonly #validations: ClientValidations;
  readonly #certificates: CertificateStore;
  /** What came of `inner`, once that is known. */
  #begun: Begun | undefined;
  /** Bytes of the ClientHello before another look at it is worth it. */
  #need = 1;

  constructor(inner: PrefaceReader | undefined, validations: ClientValidations, certificates: CertificateStore) {
    this.#inner = inner;
    this.#begun = inner === undefined ? { skip: 0 } : undefined;
    this.#validations = validations;
    this.#certificates = certificates;
  }

  read(bytes: Buffer): PrefaceOutcome | undefined {
    if (this.#begun === undefined) {
      const outcome = this.#inner?.read(bytes);
      if (outcome === undefined || outcome === 'refused' || outcome.accept !== undefined) return outcome;
      this.#begun = outcome;
    }
    const { skip } = this.#begun;
    if (bytes.length - skip < this.#need) return undefined;
    const hello = readClientHello(bytes.subarray(skip));
    if (hello.type === 'more') {
      this.#need = hello.need;
      return undefined;
    }
    const serverName = hello.type === 'hello' ? hello.serverName : undefined;
    const validation = serverName === undefined ? undefined : this.#validations.find(serverName);
    // What can't be read goes to TLS as it is: should that find a name there, the connection was asked for nothing, and is not served.
    if (serverName === undefined || validation === undefined) return this.#begun;
    const secureContext = this.#certificates.contextAsking(serverName, validation);
    return { ...this.#begun, handshake: { id: validation.id, secureContext } };
  }

  abandoned(): void {
    if (this.#begun === undefined) this.#inner?.abandoned();
  }
}
