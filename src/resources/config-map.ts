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
}).transform(({ apiVersion, kind, metadata, data, binaryData }) => {
  const binaries = { ...binariesAmongTexts(data), ...binaryData };
  return {
    apiVersion,
    kind,
    metadata,
    ...(Object.keys(binaries).length === 0 ? {} : { binaryData: binaries }),
    // What is wrong there is told to those who refer to it: most ConfigMaps are no business of ours.
    trust: readTrustAnchors((key) => (Object.hasOwn(data, key) ? data[key] : undefined)),
  };
});

/** kubectl puts a file whose bytes happen to be UTF-8 among the texts. A descriptor set begins with the tag of its first file, which is a line break. */
function binariesAmongTexts(data: Readonly<Record<string, string>>): Record<string, string> {
  const found = Object.entries(data).filter(([, text]) => text.startsWith('\n'));
  return Object.fromEntries(found.map(([key, text]) => [key, Buffer.from(text, 'utf8').toString('base64')]));
}

export type ConfigMap = z.output<typeof configMapSchema>;
