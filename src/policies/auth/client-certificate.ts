/** Method clientCertificate: the certificate that TLS has verified as the ApiRoute's `tls.clientValidation` says. */
import { certificateSubject } from '../../exchange/certificate-subject.ts';
import type { Exchange } from '../../exchange/exchange.ts';
import type { AuthSpec } from '../../snapshot/auth.ts';
import type { Consumers } from './consumers.ts';
import { type AuthMethod, badCredential, type Judgement } from './method.ts';

const NO_CLAIMS = Object.freeze({});
const NO_GROUPS: readonly string[] = [];
const CHALLENGE = 'ClientCertificate';
const NOT_GOOD = badCredential('client_certificate_not_good', CHALLENGE);

export class ClientCertificateMethod implements AuthMethod {
  readonly name = 'clientCertificate';
  /** No scheme is registered for it; a 401 must have one (RFC 9110 section 15.5.2). */
  readonly challenge = CHALLENGE;
  readonly #namespace: string;
  readonly #consumers: Consumers;

  constructor({ namespace }: AuthSpec, consumers: Consumers) {
    this.#namespace = namespace;
    this.#consumers = consumers;
  }

  describe(): string {
    return 'clientCertificate';
  }

  authenticate(exchange: Exchange): Judgement | undefined {
    // Whether it was verified for this very host was seen to before the route was looked for (proxy/tls/client-validations.ts).
    const certificate = exchange.tls?.clientCertificate;
    if (certificate === undefined || !certificate.isShown) return undefined;
    if (!certificate.isGood(Date.now())) return NOT_GOOD;
    const subject = certificateSubject(certificate.subject);
    const consumer = this.#consumers.bySubject(this.#namespace, subject);
    return { method: 'clientCertificate', subject, claims: NO_CLAIMS, consumer: consumer?.name, groups: consumer?.groups ?? NO_GROUPS };
  }

  /** What the backend is told of it (RFC 9440) is no credential. */
  strip(): void {}
}
