/** gateway.networking.k8s.io ReferenceGrant: its namespace lets objects of other namespaces refer to objects of its own. */
import { z } from 'zod';
import { dnsLabel, oneOf, text } from './fields.ts';
import { namespacedMetadata, unused } from './metadata.ts';
import { strictObject } from './strict-object.ts';

/** The versions that clusters serve it in; what it says is the same in all of them. */
export const REFERENCE_GRANT_VERSIONS = ['gateway.networking.k8s.io/v1', 'gateway.networking.k8s.io/v1beta1', 'gateway.networking.k8s.io/v1alpha2'] as const;

const kindName = text((value) => (value === '' ? { message: 'the kind is empty', hint: 'write a kind, such as ApiRoute or Service' } : undefined));

export const referenceGrantSchema = strictObject({
  apiVersion: oneOf(REFERENCE_GRANT_VERSIONS),
  kind: z.literal('ReferenceGrant'),
  metadata: namespacedMetadata(),
  spec: strictObject({
    from: z.array(strictObject({ group: z.string().default(''), kind: kindName, namespace: dnsLabel })).min(1),
    to: z.array(strictObject({ group: z.string().default(''), kind: kindName, name: z.string().exactOptional() })).min(1),
  }),
  status: unused,
});

export type ReferenceGrant = z.output<typeof referenceGrantSchema>;
