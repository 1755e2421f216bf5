/** What the CRDs of AuthPolicy and ApiConsumer refuse by CEL, and a spec of each in which every object is there. */

export interface CrdRule {
  readonly kind: string;
  /** Place of the rule in the schema. */
  readonly path: string;
  readonly message: string;
  /** Specs that keep the rule, each for a reason of its own. */
  readonly kept: readonly unknown[];
  readonly broken: readonly unknown[];
}

const targetRefs = [{ kind: 'ApiRoute', name: 'shop' }];
const methods = [{ apiKey: {} }];
const targets = (...refs: readonly object[]): object[] => refs.map((ref) => ({ targetRefs: [{ name: 'shop', ...ref }], methods }));
const withMethods = (...all: readonly object[]): object[] => all.map((method) => ({ targetRefs, methods: [method] }));
const secretRef = { name: 'a', key: 'b' };
const jwks = (...all: readonly object[]): object[] => withMethods(...all.map((one) => ({ jwt: { issuer: 'a', jwks: one } })));
const asked = (...all: readonly object[]): object[] => all.map((externalAuthorization) => ({ targetRefs, externalAuthorization }));
const backendRef = { name: 'check', port: 80 };

/** Methods that look for a credential, with all that they must have. */
const SOURCED: Readonly<Record<string, object>> = {
  jwt: { issuer: 'a', jwks: { secretRef } },
  apiKey: {},
  oauth2Introspection: { endpoint: 'https://id.example.com/introspect', clientId: 'a', clientSecretRef: secretRef },
};

const sources: CrdRule[] = Object.entries(SOURCED).flatMap(([name, fields]) => {
  const from = (...all: readonly object[]): object[] => withMethods(...all.map((one) => ({ [name]: { ...fields, from: [one] } })));
  const path = `spec.methods[].${name}.from[]`;
  return [
    {
      ...{ kind: 'AuthPolicy', path, message: 'write one of header, cookie and queryParam' },
      kept: from({ header: 'a' }, { cookie: 'a' }, { queryParam: 'a' }),
      broken: from({}, { header: 'a', cookie: 'a' }, { cookie: 'a', queryParam: 'a' }),
    },
    {
      ...{ kind: 'AuthPolicy', path, message: 'prefix goes with header only' },
      kept: from({ header: 'a', prefix: 'Key ' }),
      broken: from({ cookie: 'a', prefix: 'Key ' }),
    },
  ];
});

export const AUTH_RULES: readonly CrdRule[] = [
  {
    ...{ kind: 'AuthPolicy', path: 'spec', message: 'write methods, externalAuthorization or authorization' },
    kept: [{ targetRefs, methods }, { targetRefs, authorization: [{ expression: 'true' }] }, ...asked({ backendRef })],
    broken: [{ targetRefs }, { targetRefs, methods: [], authorization: [] }],
  },
  {
    ...{ kind: 'AuthPolicy', path: 'spec.targetRefs[]', message: 'the group of kind ApiRoute is "tidegate.dev"' },
    kept: targets({ kind: 'ApiRoute' }, { kind: 'ApiRoute', group: 'tidegate.dev' }),
    broken: targets({ kind: 'ApiRoute', group: 'networking.k8s.io' }),
  },
  {
    ...{ kind: 'AuthPolicy', path: 'spec.targetRefs[]', message: 'the group of kind Ingress is "networking.k8s.io"' },
    kept: targets({ kind: 'Ingress' }, { kind: 'Ingress', group: 'networking.k8s.io' }),
    broken: targets({ kind: 'Ingress', group: 'tidegate.dev' }),
  },
  {
    ...{ kind: 'AuthPolicy', path: 'spec.methods[]', message: 'each method is one of jwt, apiKey, basic, oauth2Introspection, oidc, clientCertificate' },
    kept: withMethods({ apiKey: {} }, { clientCertificate: {} }),
    broken: withMethods({}, { apiKey: {}, clientCertificate: {} }),
  },
  {
    ...{ kind: 'AuthPolicy', path: 'spec.methods[].jwt.jwks', message: 'write one of uri, secretRef and inline' },
    kept: jwks({ uri: 'https://a/keys' }, { secretRef }, { inline: '{}' }),
    broken: jwks({}, { secretRef, inline: '{}' }),
  },
  {
    ...{ kind: 'AuthPolicy', path: 'spec.methods[].jwt.jwks', message: 'cacheFor goes with uri only' },
    kept: jwks({ uri: 'https://a/keys', cacheFor: '1m' }),
    broken: jwks({ secretRef, cacheFor: '1m' }),
  },
  ...sources,
  {
    ...{ kind: 'AuthPolicy', path: 'spec.externalAuthorization', message: 'write one of backendRef and url' },
    kept: asked({ backendRef }, { url: 'https://a/check' }),
    broken: asked({}, { backendRef, url: 'https://a/check' }),
  },
  {
    ...{ kind: 'AuthPolicy', path: 'spec.externalAuthorization', message: 'path goes with protocol HTTP only' },
    kept: asked({ backendRef, path: '/check' }, { backendRef, protocol: 'GRPC' }),
    broken: asked({ backendRef, protocol: 'GRPC', path: '/check' }),
  },
];

export const AUTH_EXAMPLES: Readonly<Record<string, unknown>> = {
  AuthPolicy: {
    targetRefs: [{ group: 'tidegate.dev', kind: 'ApiRoute', name: 'shop', sectionName: 'orders' }],
    methods: [
      {
        jwt: {
          issuer: 'https://id.example.com',
          audiences: ['shop'],
          jwks: { secretRef },
          algorithms: ['ES256'],
          from: [{ header: 'Authorization', prefix: 'Bearer ' }],
          clockSkew: '30s',
        },
      },
      { apiKey: { from: [{ header: 'x-api-key' }] } },
      { basic: { secretRef: { name: 'users' }, realm: 'shop' } },
      { oauth2Introspection: { endpoint: 'https://id/introspect', clientId: 'gw', clientSecretRef: secretRef, from: [{ cookie: 'token' }], cacheFor: '30s' } },
      {
        oidc: {
          issuer: 'https://id.example.com',
          clientId: 'web',
          clientSecretRef: secretRef,
          sessionSecretRef: secretRef,
          redirectPath: '/back',
          logoutPath: '/logout',
          scopes: ['openid'],
          cookieName: 'session',
        },
      },
      { clientCertificate: {} },
    ],
    externalAuthorization: {
      backendRef,
      protocol: 'HTTP',
      path: '/check',
      timeout: '200ms',
      requestHeaders: [],
      headersToBackend: ['x-user'],
      failOpen: false,
    },
    anonymous: 'Deny',
    authorization: [{ expression: "'gold' in identity.groups", message: 'needs gold' }],
    forward: { headers: { 'x-user-id': 'identity.subject' }, token: 'Keep' },
  },
  ApiConsumer: {
    groups: ['gold'],
    apiKeys: [{ secretRef }],
    jwt: { claim: 'azp', value: 'acme' },
    basicUsers: ['acme'],
    certificateSubjects: ['CN=acme'],
  },
};
