/** `tls` of a BackendPolicy (Gateway API's BackendTLSPolicy): how backends are verified, and what they are shown. */
import { z } from 'zod';
import { dnsSubdomain, oneOf, preciseHostname } from './fields.ts';
import { strictObject } from './strict-object.ts';
import { trustReferences } from './trust-reference.ts';

export const backendTls = strictObject({
  hostname: preciseHostname
    .exactOptional()
    .describe("Sent as server name, and the name that the backend's certificate must be for. Absent: SERVICE.NAMESPACE.svc, or an externalName."),
  caCertificateRefs: trustReferences('ConfigMaps or Secrets whose ca.crt holds the authorities that are trusted, PEM.'),
  wellKnownCACertificates: oneOf(['System'])
    .exactOptional()
    .describe('System: the well-known authorities are trusted. They are, too, where caCertificateRefs is empty.'),
  clientCertificateRef: strictObject({ name: dnsSubdomain.describe('Name of a Secret of type kubernetes.io/tls, in the same namespace.') })
    .exactOptional()
    .describe('The certificate that backends are shown which ask for one.'),
  insecureSkipVerify: z.boolean().default(false).describe("Backends' certificates are not verified: whoever answers is taken for the backend."),
});
