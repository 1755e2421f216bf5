/** What can go wrong with TLS on an outgoing connection, in words that log and metrics show. */

export type TlsFailure =
  /** The server's certificate, or one of its chain, has expired. */
  | 'expired'
  | 'not_yet_valid'
  /** The certificate is for other names. */
  | 'name'
  /** No authority that is trusted here has issued it. */
  | 'untrusted'
  /** As `untrusted`: it has issued itself. */
  | 'self_signed'
  | 'revoked'
  /** Anything else about the certificate: its signature, purpose, key. */
  | 'certificate'
  /** The server wants a certificate of ours, or another one. */
  | 'client_certificate'
  /** No application protocol in common (RFC 7301). */
  | 'alpn'
  /** No version or suite in common. */
  | 'version'
  /** What came is no TLS. */
  | 'protocol'
  /** The server closed the connection, or broke off, in the middle of the handshake. */
  | 'handshake';

/** An outgoing connection that failed because of TLS. `code` is Node's, or OpenSSL's. */
export class TlsError extends Error {
  readonly failure: TlsFailure;
  readonly code: string;

  constructor(failure: TlsFailure, code: string, message: string) {
    super(message);
    this.failure = failure;
    this.code = code;
  }
}

/** Results of verification, by the names that Node gives them (X509_V_ERR_...), and errors of the handshake. */
const FAILURES: Readonly<Record<string, TlsFailure>> = {
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not_yet_valid',
  ERR_TLS_CERT_ALTNAME_INVALID: 'name',
  ERR_TLS_CERT_ALTNAME_FORMAT: 'name',
  HOSTNAME_MISMATCH: 'name',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'self_signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'untrusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'untrusted',
  CERT_UNTRUSTED: 'untrusted',
  CERT_REJECTED: 'untrusted',
  CERT_REVOKED: 'revoked',
  ERR_TLS_NO_APPLICATION_PROTOCOL: 'alpn',
  ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: 'alpn',
  ERR_SSL_BAD_EXTENSION: 'alpn',
  ERR_SSL_WRONG_VERSION_NUMBER: 'protocol',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'protocol',
  ERR_SSL_HTTP_REQUEST: 'protocol',
  ERR_SSL_UNEXPECTED_MESSAGE: 'protocol',
  ERR_SSL_INVALID_CONTENT_TYPE: 'protocol',
  ERR_SSL_BAD_RECORD_TYPE: 'protocol',
  ERR_SSL_RECORD_LAYER_FAILURE: 'protocol',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'version',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'version',
  ERR_SSL_NO_PROTOCOLS_AVAILABLE: 'version',
  ERR_SSL_TLSV1_ALERT_INSUFFICIENT_SECURITY: 'version',
};

/** Alerts by which a server refuses our certificate, or that there is none (RFC 8446 section 6.2). */
const ABOUT_OUR_CERTIFICATE = /ALERT_(?:CERTIFICATE_|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|NO_CERTIFICATE)/;

/** Errors of OpenSSL's verification that have no word of their own above. */
const ABOUT_A_CERTIFICATE =
  /^(?:CERT_|CRL_|ERROR_IN_C|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|KEYUSAGE|CA_MD_TOO_WEAK|EE_KEY|CA_KEY|UNABLE_TO_|ERR_SSL_CERTIFICATE_)/;

/**
 * The error of an outgoing TLS connection as a TlsError, where TLS is what failed; another error is returned as it is.
 * @param up the handshake was done before
 */
export function tlsErrorOf(error: Error, up: boolean): Error {
  if (error instanceof TlsError) return error;
  const { code = '', syscall } = error as NodeJS.ErrnoException;
  const failure = failureOf(code, up || syscall !== undefined);
  return failure === undefined ? error : new TlsError(failure, code, error.message);
}

/** @param ofSystem an error of the connection below is no failure of TLS */
function failureOf(code: string, ofSystem: boolean): TlsFailure | undefined {
  const known = FAILURES[code];
  if (known !== undefined) return known;
  if (ABOUT_OUR_CERTIFICATE.test(code)) return 'client_certificate';
  if (code.startsWith('ERR_SSL_')) return ABOUT_A_CERTIFICATE.test(code) ? 'certificate' : 'handshake';
  if (ABOUT_A_CERTIFICATE.test(code)) return 'certificate';
  return ofSystem ? undefined : 'handshake';
}
