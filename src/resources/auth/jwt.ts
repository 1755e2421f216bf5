/** AuthPolicy, method jwt. */
import { z } from 'zod';
import { duration, oneOf } from '../fields.ts';
import { flaws, strictObject } from '../strict-object.ts';
import { credentialSources } from './credential-source.ts';
import { hasPrivateKey, jwkSetFlaw } from './jwk-set.ts';
import { secretReference } from './secret-reference.ts';
import { fetchedUrl } from './url.ts';

const ASYMMETRIC = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const;
const ALGORITHMS = [...ASYMMETRIC, 'HS256', 'HS384', 'HS512'] as const;

const jwks = strictObject(
  {
    uri: fetchedUrl.exactOptional().describe('URL of a JWK set.'),
    cacheFor: duration({ positive: true, max: 86_400 * 1000 })
      .exactOptional()
      .describe('With uri: how long the keys are used before they are asked for again. Absent: 10m.'),
    secretRef: secretReference.exactOptional().describe('A Secret that holds a JWK set.'),
    inline: z.string().min(2).max(65_536).exactOptional().describe('The JWK set itself, as JSON. Keys of HMAC belong into a Secret.'),
  },
  {
    cel: [
      { rule: '[has(self.uri), has(self.secretRef), has(self.inline)].filter(x, x).size() == 1', message: 'write one of uri, secretRef and inline' },
      { rule: '!has(self.cacheFor) || has(self.uri)', message: 'cacheFor goes with uri only' },
    ],
  },
).superRefine(
  flaws(({ uri, cacheFor, secretRef, inline }) => {
    if ([uri, secretRef, inline].filter((one) => one !== undefined).length !== 1) {
      return { message: 'the keys come from one place', hint: 'write one of uri, secretRef and inline' };
    }
    const flaw = inline === undefined ? undefined : jwkSetFlaw(inline);
    if (flaw !== undefined) return { message: `the text ${flaw.message}`, hint: flaw.hint, path: ['inline'] };
    if (inline !== undefined && hasPrivateKey(inline)) {
      return {
        message: 'a private key is among the keys, for all to read',
        hint: 'write public keys, and make new ones in place of what stood here',
        path: ['inline'],
      };
    }
    if (cacheFor !== undefined && uri === undefined) return { message: 'cacheFor goes with uri only', hint: 'leave it out', path: ['cacheFor'] };
    return undefined;
  }),
);

export const jwtMethod = strictObject({
  issuer: z.string().min(1).max(2048).describe('The issuer of the tokens (claim iss), character by character.'),
  audiences: z
    .array(z.string().min(1).max(2048))
    .max(16)
    .default([])
    .describe('Audiences, one of which a token must be for (claim aud). Absent: audiences are not looked at.')
    .meta({ 'x-kubernetes-list-type': 'atomic' }),
  jwks: jwks.describe('The keys by which signatures are verified.'),
  algorithms: z
    .array(oneOf(ALGORITHMS))
    .min(1)
    .max(ALGORITHMS.length)
    .default([...ASYMMETRIC])
    .describe('Algorithms that a token may be signed with. Absent: the asymmetric ones. HMAC (HS256, HS384, HS512) only when it is named.')
    .meta({ 'x-kubernetes-list-type': 'atomic' }),
  from: credentialSources([{ header: 'Authorization', prefix: 'Bearer ' }], 'the Authorization header, after "Bearer "'),
  clockSkew: duration({ max: 600 * 1000 })
    .prefault('30s')
    .describe("How far the issuer's clock may be from the gateway's."),
});
