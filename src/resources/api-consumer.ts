/** tidegate.dev/v1alpha1 ApiConsumer: a known API client, by what it is recognised, and its groups. */
import { z } from 'zod';
import { secretReference } from './auth/secret-reference.ts';
import { dnsSubdomain, quote, text } from './fields.ts';
import { namespacedMetadata, unused } from './metadata.ts';
import { flaws, strictObject } from './strict-object.ts';

const group = text(
  (value) =>
    /^[A-Za-z0-9]([A-Za-z0-9._:/-]*[A-Za-z0-9])?$/.test(value) && value.length <= 128
      ? undefined
      : { message: `${quote(value)} is not a name of a group`, hint: 'use letters, digits, -, _, ., : and /, beginning and ending with a letter or digit' },
  { minLength: 1, maxLength: 128 },
);

/** RFC 7617 section 2: no colon, no control characters. */
const userName = text(
  (value) =>
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
    /^[^:\u0000-\u001f\u007f]+$/.test(value) ? undefined : { message: `${quote(value)} is not a user name`, hint: 'leave out colons and control characters' },
  { minLength: 1, maxLength: 256 },
);

const atomic = { 'x-kubernetes-list-type': 'atomic' };

export const apiConsumerSchema = strictObject({
  apiVersion: z.literal('tidegate.dev/v1alpha1'),
  kind: z.literal('ApiConsumer'),
  metadata: namespacedMetadata(dnsSubdomain),
  spec: strictObject({
    groups: z.array(group).max(64).default([]).describe('Groups that the consumer is in, for expressions: identity.groups.').meta(atomic),
    apiKeys: z
      .array(strictObject({ secretRef: secretReference.describe('Where the key stands.') }))
      .max(8)
      .default([])
      .describe('Its API keys; each is good. With two of them a new key comes into use before the old one goes.')
      .meta(atomic),
    jwt: strictObject({
      claim: z.string().min(1).max(256).describe('Name of a claim.'),
      value: z.string().min(1).max(1024).describe('Its value; where the claim is a list, one of its values.'),
    })
      .exactOptional()
      .describe('Tokens of the consumer are those with this claim.'),
    basicUsers: z.array(userName).max(64).default([]).describe('User names (method basic) of the consumer.').meta(atomic),
    certificateSubjects: z
      .array(
        text((value) => (/^[A-Za-z0-9.]+ *=/.test(value) ? undefined : { message: `${quote(value)} is not a subject`, hint: 'write it as CN=acme,O=Acme' }), {
          minLength: 1,
          maxLength: 1024,
        }),
      )
      .max(64)
      .default([])
      .describe('Subjects of client certificates of the consumer, as RFC 4514 writes them: CN=acme,O=Acme.')
      .meta(atomic),
  }).superRefine(
    flaws(({ apiKeys, jwt, basicUsers, certificateSubjects }) =>
      apiKeys.length === 0 && jwt === undefined && basicUsers.length === 0 && certificateSubjects.length === 0
        ? { message: 'nothing tells the consumer from others', hint: 'write apiKeys, jwt, basicUsers or certificateSubjects' }
        : undefined,
    ),
  ),
  status: unused,
});

export type ApiConsumer = z.output<typeof apiConsumerSchema>;
