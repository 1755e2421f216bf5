import { X509Certificate } from 'node:crypto';

/** What became of asking a client for its certificate. */
export class ClientCertificate {
  /** `HandshakeStart.id`. */
  readonly validation: string;
  /** Why it is not good: OpenSSL's word, such as CERT_HAS_EXPIRED; undefined when it was when the session began. */
  readonly failure: string | undefined;
  /** As OpenSSL writes it, such as `CN=client`, one attribute a line; empty where none was shown. */
  readonly subject: string;
  /** subjectAltName, such as `DNS:client.test, URI:spiffe://a/b`. */
  readonly subjectAltName: string;
  /** SHA-256 of the certificate, lower-case hex. */
  readonly fingerprint: string;
  /** DER, in base64. */
  readonly der: string;
  /** When it expires, in milliseconds since the epoch. */
  readonly notAfter: number;

  /** @param der undefined: none was shown @param failure of the verification, if it failed */
  constructor(validation: string, der: Buffer | undefined, failure: string | undefined) {
    this.validation = validation;
    if (der === undefined) {
      this.failure = NONE_SHOWN;
      this.subject = '';
      this.subjectAltName = '';
      this.fingerprint = '';
      this.der = '';
      this.notAfter = 0;
      return;
    }
    const certificate = new X509Certificate(der);
    this.failure = failure;
    this.subject = certificate.subject ?? '';
    this.subjectAltName = certificate.subjectAltName ?? '';
    this.fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
    this.der = der.toString('base64');
    this.notAfter = certificate.validToDate.getTime();
  }

  /** False where the client has shown no certificate at all. */
  get isShown(): boolean {
    return this.der !== '';
  }

  /** It was verified, and has not expired since. @param now milliseconds since the epoch */
  isGood(now: number): boolean {
    return this.failure === undefined && now < this.notAfter;
  }
}

const NONE_SHOWN = 'NO_CERTIFICATE';
