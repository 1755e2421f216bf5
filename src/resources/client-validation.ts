/** `tls.clientValidation` of an ApiRoute: clients are asked for a certificate. */
import { oneOf } from './fields.ts';
import { strictObject } from './strict-object.ts';
import { someTrustReferences, trustReferences } from './trust-reference.ts';

export const clientValidation = strictObject({
  caCertificateRefs: someTrustReferences('ConfigMaps or Secrets whose ca.crt holds the authorities that issue client certificates, PEM.'),
  crlRefs: trustReferences('ConfigMaps or Secrets whose ca.crl holds their revocation lists, PEM. Where there is one, each authority of a chain needs one.'),
  mode: oneOf(['Require', 'Request'])
    .default('Require')
    .describe('Require: who has no good certificate gets 403. Request: he is served, too, without an identity.'),
});
