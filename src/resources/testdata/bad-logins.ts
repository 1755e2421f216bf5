import type { BadObject } from './bad-routes.ts';
import { type Fields, metadata, target } from './objects.ts';

const authPolicy = (spec: Fields): Fields => ({ apiVersion: 'tidegate.dev/v1alpha1', kind: 'AuthPolicy', metadata, spec: { targetRefs: [target], ...spec } });
const secret = { name: 'login', key: 'client' };
const oidc = (change: Fields): Fields =>
  authPolicy({ methods: [{ oidc: { issuer: 'https://id.test', clientId: 'web', clientSecretRef: secret, ...change } }] });
const external = (spec: Fields): Fields => authPolicy({ externalAuthorization: spec });
const ref = { name: 'check', port: 80 };

const OIDC = 'spec.methods[0].oidc';
const EXTERNAL = 'spec.externalAuthorization';

/** OpenID logins and external authorization. */
export const BAD_LOGINS: readonly BadObject[] = [
  ['login without an issuer', oidc({ issuer: undefined }), `${OIDC}.issuer`, /missing/, /./],
  ['issuer that is no URL', oidc({ issuer: 'id.test' }), `${OIDC}.issuer`, /not a URL/, /https:/],
  ['issuer with a password', oidc({ issuer: 'https://a:b@id.test' }), `${OIDC}.issuer`, /password/, /./],
  ['login without a client secret', oidc({ clientSecretRef: undefined }), `${OIDC}.clientSecretRef`, /missing/, /./],
  ['client secret without a key', oidc({ clientSecretRef: { name: 'login' } }), `${OIDC}.clientSecretRef.key`, /missing/, /./],
  ['redirectPath with a query', oidc({ redirectPath: '/back?x' }), `${OIDC}.redirectPath`, /not a path/, /callback/],
  ['redirectPath that is relative', oidc({ redirectPath: 'back' }), `${OIDC}.redirectPath`, /not a path/, /absolute/],
  ['redirectPath with dots', oidc({ redirectPath: '/a/../b' }), `${OIDC}.redirectPath`, /not a path/, /./],
  ['logoutPath that is the redirectPath', oidc({ logoutPath: '/oauth2/callback' }), `${OIDC}.logoutPath`, /is the redirectPath/, /its own/],
  ['scopes without openid', oidc({ scopes: ['email'] }), `${OIDC}.scopes`, /openid is missing/, /beside/],
  ['cookie name with a blank', oidc({ cookieName: 'a b' }), `${OIDC}.cookieName`, /./, /./],
  ['external authorization by nobody', external({}), EXTERNAL, /nothing to ask/, /backendRef and url/],
  ['external authorization by two', external({ backendRef: ref, url: 'http://a.test' }), EXTERNAL, /stands beside/, /one of/],
  ['check path that is relative', external({ backendRef: ref, path: 'check' }), `${EXTERNAL}.path`, /does not begin with/, /\/check/],
  ['check path with a blank', external({ backendRef: ref, path: '/a b' }), `${EXTERNAL}.path`, /no place in a path/, /escape/],
  ['check path with a fragment', external({ backendRef: ref, path: '/a#b' }), `${EXTERNAL}.path`, /no place in a path/, /escape/],
  [
    'check path with gRPC',
    external({ backendRef: ref, path: '/check', protocol: 'GRPC' }),
    `${EXTERNAL}.path`,
    /no meaning with protocol GRPC/,
    /leave it out/,
  ],
  ['URL of gRPC with a path', external({ url: 'http://a.test/x', protocol: 'GRPC' }), `${EXTERNAL}.url`, /has no path/, /host and port/],
  ['check path beside that of a URL', external({ url: 'http://a.test/x', path: '/y' }), `${EXTERNAL}.path`, /beside a url/, /one of the two/],
  ['check that may take for ever', external({ backendRef: ref, timeout: '0s' }), `${EXTERNAL}.timeout`, /./, /./],
  ['header of the check that is none', external({ backendRef: ref, headersToBackend: ['a b'] }), `${EXTERNAL}.headersToBackend[0]`, /./, /./],
];
