/** ConfigMap: certificates of authorities (`ca.crt`), revocation lists (`ca.crl`), and binary data such as descriptor sets; of other texts, nothing is kept. */
import { z } from 'zod';
import { namespacedMetadata, unused } from './metadata.ts';
import { strictObject } from './strict-object.ts';
import { readTrustAnchors } from './trust-anchors.ts';

export const configMapSchema = strictObject({
  apiVersion: z.literal('v1'),
  kind: z.literal('ConfigMap'),
  metadata: namespacedMetadata(),
  data: z.record(z.string(), z.string()).default({}),
  binaryData: z.record(z.string(), z.string()).default({}),
  immutable: unused,
}).transform(({ apiVersion, kind, metadata, data, binaryData }) => ({
  apiVersion,
  kind,
  metadata,
  ...(Object.keys(binaryData).length === 0 ? {} : { binaryData }),
  // What is wrong there is told to those who refer to it: most ConfigMaps are no business of ours.
  trust: readTrustAnchors((key) => (Object.hasOwn(data, key) ? data[key] : undefined)),
}));

export type ConfigMap = z.output<typeof configMapSchema>;
