/** The methods that AuthPolicies may have: a line for each. */
import type { AuthMethodSpec, AuthSpec } from '../../snapshot/auth.ts';
import type { PolicyContext } from '../policy.ts';
import { ApiKeyMethod } from './api-key.ts';
import { Authorization } from './authorization.ts';
import { BasicMethod } from './basic.ts';
import { ClientCertificateMethod } from './client-certificate.ts';
import { ExternalAuthorizationCheck } from './external/external-authorization.ts';
import { IntrospectionMethod } from './introspection/introspection-method.ts';
import { JwtMethod } from './jwt/jwt-method.ts';
import type { AuthCheck, AuthMethod } from './method.ts';
import { OidcMethod } from './oidc/oidc.ts';

type Makers = {
  readonly [Type in AuthMethodSpec['type']]: (spec: AuthMethodSpec & { readonly type: Type }, owner: AuthSpec, context: PolicyContext) => AuthMethod;
};

const MAKERS: Makers = {
  jwt: (spec, owner, { auth }) => new JwtMethod(spec, owner, auth.consumers, auth.jwt),
  apiKey: (spec, owner, { auth }) => new ApiKeyMethod(spec, owner, auth.consumers),
  basic: (spec, owner, context) => new BasicMethod(spec, owner, context),
  clientCertificate: (_spec, owner, { auth }) => new ClientCertificateMethod(owner, auth.consumers),
  oidc: (spec, owner, context) => new OidcMethod(spec, owner, context),
  oauth2Introspection: (spec, owner, { auth }) => new IntrospectionMethod(spec, owner, auth.consumers, auth.introspectors),
};

export function compileMethods(owner: AuthSpec, context: PolicyContext): AuthMethod[] {
  return owner.methods.map((spec) =>
    (MAKERS[spec.type] as (spec: AuthMethodSpec, owner: AuthSpec, context: PolicyContext) => AuthMethod)(spec, owner, context),
  );
}

/** What is asked after the methods, in this order. */
export function compileChecks({ authorization, externalAuthorization }: AuthSpec, context: PolicyContext): AuthCheck[] {
  return [
    ...(authorization === undefined ? [] : [new Authorization(authorization)]),
    // What costs a call comes last.
    ...(externalAuthorization === undefined ? [] : [new ExternalAuthorizationCheck(externalAuthorization, context)]),
  ];
}
