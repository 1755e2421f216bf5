/** AuthPolicy, method oauth2Introspection (RFC 7662). */
import { z } from 'zod';
import { duration } from '../fields.ts';
import { strictObject } from '../strict-object.ts';
import { credentialSources } from './credential-source.ts';
import { secretReference } from './secret-reference.ts';
import { fetchedUrl } from './url.ts';

export const introspectionMethod = strictObject({
  endpoint: fetchedUrl.describe("URL of the authorization server's introspection endpoint."),
  clientId: z.string().min(1).max(1024).describe('Name by which the gateway authenticates there.'),
  clientSecretRef: secretReference.describe('The password that goes with it.'),
  from: credentialSources([{ header: 'Authorization', prefix: 'Bearer ' }], 'the Authorization header, after "Bearer "'),
  cacheFor: duration({ max: 3600 * 1000 })
    .prefault('30s')
    .describe('How long an answer is used again, at most until the token expires.'),
});
