/** References to ConfigMaps and Secrets that say whom to trust. */
import { z } from 'zod';
import { dnsSubdomain, oneOf } from './fields.ts';
import { strictObject } from './strict-object.ts';

const trustReference = strictObject({
  kind: oneOf(['ConfigMap', 'Secret']).default('ConfigMap').describe('Kind of the object.'),
  name: dnsSubdomain.describe('Its name, in the same namespace.'),
});

export type TrustReference = z.output<typeof trustReference>;

/** @param what stands under which key there */
export function trustReferences(what: string) {
  return z.array(trustReference).max(8).default([]).describe(what).meta(ATOMIC);
}

/** As `trustReferences`, at least one. */
export function someTrustReferences(what: string) {
  return z.array(trustReference).min(1).max(8).describe(what).meta(ATOMIC);
}

const ATOMIC = { 'x-kubernetes-list-type': 'atomic' };
