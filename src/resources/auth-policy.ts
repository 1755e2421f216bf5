/** tidegate.dev/v1alpha1 AuthPolicy: who may call, and how that is found out. */
import { z } from 'zod';
import { requestHead } from '../expressions/environments.ts';
import { credentialSources } from './auth/credential-source.ts';
import { externalAuthorization } from './auth/external-authorization.ts';
import { jwtMethod } from './auth/jwt.ts';
import { introspectionMethod } from './auth/oauth2-introspection.ts';
import { oidcMethod } from './auth/oidc.ts';
import type { SecretReference } from './auth/secret-reference.ts';
import { expression } from './expression-text.ts';
import { dnsSubdomain, headerNameFlaw, headerValueFlaw, oneOf, quote, text } from './fields.ts';
import { namespacedMetadata, unused } from './metadata.ts';
import { CONNECTION_FIELDS } from './owned-fields.ts';
import { targetRefs } from './policy-target.ts';
import type { ClosedTarget } from './resource-set.ts';
import { type Flaw, flaws, strictObject } from './strict-object.ts';

/** Of the Secret that method basic names, as ingress-nginx has it. */
export const HTPASSWD_KEY = 'auth';

const apiKeyMethod = strictObject({
  from: credentialSources([{ header: 'x-api-key' }], 'the header x-api-key'),
});

const basicMethod = strictObject({
  secretRef: strictObject({ name: dnsSubdomain.describe('Name of the Secret, in the same namespace.') }).describe(
    'A Secret that holds an htpasswd file under the key auth: bcrypt, SHA-1 or apr1. Lines with plain text are refused.',
  ),
  realm: text((value) => headerValueFlaw(value), { minLength: 1, maxLength: 128 })
    .exactOptional()
    .describe("What browsers call the place that asks for a password. Absent: the policy's name."),
});

const METHOD_SCHEMAS = {
  jwt: jwtMethod.exactOptional().describe('A signed token (RFC 7519) of an issuer whose keys are known.'),
  apiKey: apiKeyMethod.exactOptional().describe('A key of an ApiConsumer of the same namespace.'),
  basic: basicMethod.exactOptional().describe('User name and password (RFC 7617).'),
  oauth2Introspection: introspectionMethod.exactOptional().describe('A token that an authorization server is asked about (RFC 7662).'),
  oidc: oidcMethod.exactOptional().describe('Browsers sign in at an OpenID provider.'),
  clientCertificate: strictObject({}).exactOptional().describe("The TLS client certificate that was verified as the ApiRoute's tls.clientValidation says."),
};

export type AuthMethodName = keyof typeof METHOD_SCHEMAS;
const METHOD_NAMES = Object.keys(METHOD_SCHEMAS) as readonly AuthMethodName[];

const method = strictObject(METHOD_SCHEMAS, {
  cel: [
    {
      rule: `[${METHOD_NAMES.map((name) => `has(self.${name})`).join(', ')}].filter(x, x).size() == 1`,
      message: `each method is one of ${METHOD_NAMES.join(', ')}`,
    },
  ],
}).superRefine(
  flaws((value) => {
    const named = METHOD_NAMES.filter((name) => value[name] !== undefined);
    if (named.length !== 1) {
      const message = named.length === 0 ? 'the method is none' : `there are several methods in one item: ${named.join(', ')}`;
      return { message, hint: `write one of ${METHOD_NAMES.join(', ')} in each item` };
    }
    return undefined;
  }),
);

const rule = strictObject({
  expression: expression(requestHead, 'bool').describe('CEL that gives true or false, with the variables request and identity.'),
  message: z.string().min(1).max(256).exactOptional().describe('What clients are told where it does not hold. Absent: nothing but that this is not allowed.'),
});

/** Fields that say who the client is to the gateway itself, or where a message goes. */
const FORWARDED_NEVER = /^(host|x-forwarded-.*|forwarded|x-real-ip|x-request-id|traceparent|tracestate|client-cert(-chain)?|ssl-client-.*)$/;

const forwardedName = (name: string): Flaw | undefined => {
  const flaw = headerNameFlaw(name);
  if (flaw !== undefined) return flaw;
  const lower = name.toLowerCase();
  if (CONNECTION_FIELDS.has(lower) || FORWARDED_NEVER.test(lower)) {
    return { message: `${quote(name)} is the gateway's own to write`, hint: 'use a header of your own, such as x-user-id' };
  }
  if (lower.includes('_')) return { message: `${quote(name)} has an underscore`, hint: 'write - in its place' };
  return undefined;
};

const forward = strictObject({
  headers: z
    .record(z.string(), expression(requestHead, 'text'))
    .superRefine(
      flaws((headers) => {
        const found: Flaw[] = [];
        const seen = new Set<string>();
        for (const name of Object.keys(headers)) {
          const flaw = forwardedName(name);
          if (flaw !== undefined) found.push({ ...flaw, path: [name] });
          if (seen.has(name.toLowerCase())) found.push({ message: `${quote(name)} is there twice, in another case`, hint: 'keep one of them', path: [name] });
          seen.add(name.toLowerCase());
        }
        if (seen.size > 32) found.push({ message: `there are ${seen.size} headers`, hint: 'keep it within 32' });
        return found;
      }),
    )
    .default({})
    .describe('Headers for the backend by name: CEL, with the variables request and identity. Headers of these names are removed from every request first.'),
  token: oneOf(['Keep', 'Strip']).default('Keep').describe('Strip: the credential does not go to the backend.'),
});

export const authPolicySchema = strictObject({
  apiVersion: z.literal('tidegate.dev/v1alpha1'),
  kind: z.literal('AuthPolicy'),
  metadata: namespacedMetadata(dnsSubdomain),
  spec: strictObject(
    {
      targetRefs: targetRefs(['ApiRoute', 'Ingress'], { ApiRoute: 'tidegate.dev', Ingress: 'networking.k8s.io' }, 'a rule; it replaces a policy on the whole'),
      methods: z
        .array(method)
        .max(8)
        .default([])
        .describe('Ways to know who calls. They are tried in order, and the first whose credential is present decides.')
        .meta({ 'x-kubernetes-list-type': 'atomic' }),
      externalAuthorization: externalAuthorization.exactOptional().describe('A service that is asked about each request, after everything else.'),
      anonymous: oneOf(['Deny', 'Allow']).default('Deny').describe('What becomes of requests without any credential, where there are methods.'),
      authorization: z
        .array(rule)
        .max(32)
        .default([])
        .describe('What must hold besides, in CEL; all of it. Requests for which it does not are answered with 403.')
        .meta({ 'x-kubernetes-list-type': 'atomic' }),
      forward: forward.prefault({}).describe('What the backend is told of who calls.'),
    },
    {
      cel: [
        {
          rule: '(has(self.methods) && size(self.methods) > 0) || has(self.externalAuthorization) || (has(self.authorization) && size(self.authorization) > 0)',
          message: 'write methods, externalAuthorization or authorization',
        },
      ],
    },
  ).superRefine(
    flaws((spec) =>
      spec.methods.length === 0 && spec.externalAuthorization === undefined && spec.authorization.length === 0
        ? { message: 'the policy asks for nothing', hint: 'write methods, such as [{ apiKey: {} }]', path: ['methods'] }
        : undefined,
    ),
  ),
  status: unused,
});

export type AuthPolicy = z.output<typeof authPolicySchema>;
export type AuthMethod = AuthPolicy['spec']['methods'][number];

/** The values of Secrets that its methods need. */
export function policySecrets({ spec }: AuthPolicy): readonly SecretReference[] {
  return spec.methods.flatMap(({ jwt, basic, oauth2Introspection, oidc }) => [
    ...(jwt?.jwks.secretRef === undefined ? [] : [jwt.jwks.secretRef]),
    ...(basic === undefined ? [] : [{ name: basic.secretRef.name, key: HTPASSWD_KEY }]),
    ...(oauth2Introspection === undefined ? [] : [oauth2Introspection.clientSecretRef]),
    ...(oidc === undefined ? [] : [oidc.clientSecretRef, ...(oidc.sessionSecretRef === undefined ? [] : [oidc.sessionSecretRef])]),
  ]);
}

/**
 * What of an AuthPolicy that never was good must be closed: those of its targets that can be read.
 * @param value the object as read
 */
export function closedTargets(value: Readonly<Record<string, unknown>>): readonly ClosedTarget[] {
  const spec = value.spec as { readonly targetRefs?: unknown } | undefined;
  const refs = typeof spec === 'object' && spec !== null && Array.isArray(spec.targetRefs) ? (spec.targetRefs as readonly unknown[]) : [];
  return refs.slice(0, 64).flatMap((ref) => {
    if (typeof ref !== 'object' || ref === null) return [];
    const { kind, name, sectionName } = ref as Readonly<Record<string, unknown>>;
    if ((kind !== 'ApiRoute' && kind !== 'Ingress') || typeof name !== 'string') return [];
    const group = kind === 'ApiRoute' ? 'tidegate.dev' : 'networking.k8s.io';
    return [{ group, kind, name, ...(typeof sectionName === 'string' && sectionName !== '' ? { sectionName } : {}) }];
  });
}
