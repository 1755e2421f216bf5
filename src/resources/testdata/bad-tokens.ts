import type { BadObject } from './bad-routes.ts';
import { type Fields, metadata, target } from './objects.ts';

const authPolicy = (spec: Fields): Fields => ({ apiVersion: 'tidegate.dev/v1alpha1', kind: 'AuthPolicy', metadata, spec: { targetRefs: [target], ...spec } });
const jwt = (change: Fields): Fields => authPolicy({ methods: [{ jwt: { issuer: 'https://id.test', jwks: { uri: 'https://id.test/keys' }, ...change } }] });
const keys = (jwks: Fields): Fields => jwt({ jwks });
const introspection = (change: Fields): Fields =>
  authPolicy({
    methods: [{ oauth2Introspection: { endpoint: 'https://id.test/introspect', clientId: 'gw', clientSecretRef: { name: 'gw', key: 'password' }, ...change } }],
  });

const JWT = 'spec.methods[0].jwt';
const INTROSPECTION = 'spec.methods[0].oauth2Introspection';

/** Tokens: methods jwt and oauth2Introspection, each wrong in one place. */
export const BAD_TOKENS: readonly BadObject[] = [
  ['tokens of no issuer', jwt({ issuer: undefined }), `${JWT}.issuer`, /missing/, /./],
  ['tokens without keys', jwt({ jwks: undefined }), `${JWT}.jwks`, /missing/, /./],
  ['keys from nowhere', keys({}), `${JWT}.jwks`, /one place/, /uri, secretRef and inline/],
  ['keys from two places', keys({ uri: 'https://id.test/keys', inline: '{"keys":[]}' }), `${JWT}.jwks`, /one place/, /uri, secretRef and inline/],
  ['keys of a file', keys({ uri: 'file:///keys' }), `${JWT}.jwks.uri`, /not a URL/, /https:/],
  ['keys behind a password', keys({ uri: 'https://a:b@id.test/keys' }), `${JWT}.jwks.uri`, /password/, /./],
  ['keys of a Secret without a key', keys({ secretRef: { name: 'a' } }), `${JWT}.jwks.secretRef.key`, /missing/, /./],
  ['keys that are no JSON', keys({ inline: '<html>' }), `${JWT}.jwks.inline`, /no JSON/, /keys/],
  ['keys that are no set', keys({ inline: '{"kty":"RSA"}' }), `${JWT}.jwks.inline`, /no JWK set/, /keys/],
  ['keys that are private', keys({ inline: '{"keys":[{"kty":"EC","d":"x"}]}' }), `${JWT}.jwks.inline`, /private key/, /public keys/],
  ['keys in the policy that are fetched anew', keys({ inline: '{"keys":[]}', cacheFor: '1m' }), `${JWT}.jwks.cacheFor`, /uri only/, /leave it out/],
  ['keys that are never fresh', keys({ uri: 'https://id.test/keys', cacheFor: '0s' }), `${JWT}.jwks.cacheFor`, /./, /./],
  ['algorithm none', jwt({ algorithms: ['none'] }), `${JWT}.algorithms[0]`, /not one of/, /./],
  ['algorithm in lower case', jwt({ algorithms: ['rs256'] }), `${JWT}.algorithms[0]`, /not one of/, /RS256/],
  ['no algorithm', jwt({ algorithms: [] }), `${JWT}.algorithms`, /./, /./],
  ['a clock that is days wrong', jwt({ clockSkew: '24h' }), `${JWT}.clockSkew`, /./, /./],
  ['tokens of nowhere', jwt({ from: [] }), `${JWT}.from`, /./, /./],
  ['question to nobody', introspection({ endpoint: '/introspect' }), `${INTROSPECTION}.endpoint`, /not a URL/, /https:/],
  ['question of nobody', introspection({ clientId: '' }), `${INTROSPECTION}.clientId`, /./, /./],
  ['question without a password', introspection({ clientSecretRef: undefined }), `${INTROSPECTION}.clientSecretRef`, /missing/, /./],
  ['answers that last for days', introspection({ cacheFor: '24h' }), `${INTROSPECTION}.cacheFor`, /./, /./],
];
