/** The methods that AuthPolicies may have: a line for each. */
import type { AuthMethodSpec, AuthSpec } from '../../snapshot/auth.ts';
import type { PolicyContext } from '../policy.ts';
import { ApiKeyMethod } from './api-key.ts';
import { ClientCertificateMethod } from './client-certificate.ts';
import type { AuthCheck, AuthMethod } from './method.ts';

type Makers = {
  readonly [Type in AuthMethodSpec['type']]: (spec: AuthMethodSpec & { readonly type: Type }, owner: AuthSpec, context: PolicyContext) => AuthMethod;
};

const MAKERS: Makers = {
  apiKey: (spec, owner, { auth }) => new ApiKeyMethod(spec, owner, auth.consumers),
  clientCertificate: (_spec, owner, { auth }) => new ClientCertificateMethod(owner, auth.consumers),
};

export function compileMethods(owner: AuthSpec, context: PolicyContext): AuthMethod[] {
  return owner.methods.map((spec) =>
    (MAKERS[spec.type] as (spec: AuthMethodSpec, owner: AuthSpec, context: PolicyContext) => AuthMethod)(spec, owner, context),
  );
}

/** What is asked after the methods, in this order. */
export function compileChecks(_owner: AuthSpec, _context: PolicyContext): AuthCheck[] {
  return [];
}
