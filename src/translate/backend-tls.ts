/** How backends are reached by TLS: `tls` of BackendPolicies, with what its references lead to. */
import type { BackendPolicy } from '../resources/backend-policy.ts';
import type { Entry } from '../resources/resource-set.ts';
import { AUTHORITIES_KEY } from '../resources/trust-anchors.ts';
import type { UpstreamTls } from '../snapshot/upstream.ts';
import type { Certificates } from './certificates.ts';
import type { Trust } from './trust.ts';

/** Without a name where the policy gives none. */
export type BackendTlsSettings = Omit<UpstreamTls, 'hostname'> & { readonly hostname?: string };

/** TLS without anything further: the well-known authorities, and the Service's own name. */
export const PLAIN_TLS: BackendTlsSettings = { verify: true, wellKnownAuthorities: true, authorities: [] };

/** @returns undefined where the policy has no `tls`. Authorities that can't be had leave nothing that verifies: no request gets through. */
export function backendTlsOf(entry: Entry<BackendPolicy>, trust: Trust, certificates: Certificates): BackendTlsSettings | undefined {
  const written = entry.object?.spec.tls;
  if (written === undefined) return undefined;
  const { hostname, caCertificateRefs, wellKnownCACertificates, clientCertificateRef, insecureSkipVerify } = written;
  const authorities = trust.resolve(entry, 'spec.tls.caCertificateRefs', caCertificateRefs, AUTHORITIES_KEY);
  const client = clientCertificateRef && certificates.forClient(entry, 'spec.tls.clientCertificateRef.name', clientCertificateRef.name);
  return {
    ...(hostname === undefined ? {} : { hostname }),
    verify: !insecureSkipVerify,
    wellKnownAuthorities: wellKnownCACertificates !== undefined || caCertificateRefs.length === 0,
    authorities: authorities ?? [],
    ...(client === undefined ? {} : { clientCertificate: client }),
  };
}
