/** What a ConfigMap or Secret may hold for the verification of others: certificates of authorities, and what these have revoked. */
import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';

/** Where the certificates of authorities stand, as in Gateway API. */
export const AUTHORITIES_KEY = 'ca.crt';
/** Where revocation lists stand, as ingress-nginx has it. */
export const REVOCATIONS_KEY = 'ca.crl';

/** PEM blocks, each with one certificate or list; or what is wrong with them. */
export type PemReading = { readonly blocks: readonly string[] } | { readonly flaw: string; readonly hint: string };

export interface TrustAnchors {
  /** Of `ca.crt`; absent where there is no such key. */
  readonly authorities?: PemReading;
  /** When the first of the authorities expires, in milliseconds since the epoch. */
  readonly notAfter?: number;
  /** Of `ca.crl`. */
  readonly revocations?: PemReading;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;
const REVOCATION_LIST = /-----BEGIN X509 CRL-----[A-Za-z0-9+/=\s]+-----END X509 CRL-----/g;

/** @param value the text of a key, undefined where it is not there */
export function readTrustAnchors(value: (key: string) => string | undefined): TrustAnchors {
  const authorities = value(AUTHORITIES_KEY);
  const revocations = value(REVOCATIONS_KEY);
  return {
    ...(authorities === undefined ? {} : readAuthorities(authorities)),
    ...(revocations === undefined ? {} : { revocations: readRevocations(revocations) }),
  };
}

function readAuthorities(text: string): Pick<TrustAnchors, 'authorities' | 'notAfter'> {
  const blocks = text.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) return { authorities: { flaw: `${AUTHORITIES_KEY} holds no PEM certificate`, hint: 'it begins with -----BEGIN CERTIFICATE-----' } };
  let notAfter = Number.POSITIVE_INFINITY;
  for (const [index, block] of blocks.entries()) {
    try {
      notAfter = Math.min(notAfter, new X509Certificate(block).validToDate.getTime());
    } catch {
      return { authorities: { flaw: `certificate ${index + 1} in ${AUTHORITIES_KEY} cannot be read`, hint: 'write whole PEM blocks' } };
    }
  }
  return { authorities: { blocks }, notAfter };
}

function readRevocations(text: string): PemReading {
  const blocks = text.match(REVOCATION_LIST) ?? [];
  if (blocks.length === 0) return { flaw: `${REVOCATIONS_KEY} holds no PEM revocation list`, hint: 'it begins with -----BEGIN X509 CRL-----' };
  for (const [index, block] of blocks.entries()) {
    try {
      createSecureContext({ ca: [], crl: block });
    } catch {
      return { flaw: `list ${index + 1} in ${REVOCATIONS_KEY} cannot be read`, hint: 'write whole PEM blocks' };
    }
  }
  return { blocks };
}
