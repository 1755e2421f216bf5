/** Who may call a route, and the API clients that are known. */
import type { ExternalAuthorization } from './external-authorization.ts';
import type { IntrospectionSpec } from './introspection.ts';
import type { JwtKeys, JwtRules } from './jwt.ts';
import type { Sensitive } from './sensitive.ts';

/** Where of a request a credential stands. */
export type CredentialSource =
  /** The name is in lower case; the prefix may be empty, and its case does not matter. */
  | { readonly type: 'Header'; readonly name: string; readonly prefix: string }
  | { readonly type: 'Cookie'; readonly name: string }
  /** As it is once percent-decoded. */
  | { readonly type: 'QueryParam'; readonly name: string };

/** `namespace/name/key` of a Secret's value. The values are apart (`Snapshot.secrets`), and change without the routes. */
export type SecretId = string;

/** Browsers log in at an OpenID provider. */
export interface OidcSpec {
  readonly type: 'oidc';
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: SecretId;
  /** Absent: each pod makes one. */
  readonly sessionSecret?: SecretId;
  readonly redirectPath: string;
  readonly logoutPath: string;
  readonly scopes: readonly string[];
  readonly cookieName: string;
}
export type AuthMethodSpec =
  | { readonly type: 'jwt'; readonly from: readonly CredentialSource[]; readonly rules: JwtRules; readonly keys: JwtKeys }
  | { readonly type: 'apiKey'; readonly from: readonly CredentialSource[] }
  /** The Secret's value is an htpasswd file. */
  | { readonly type: 'basic'; readonly secret: SecretId; readonly realm: string }
  | { readonly type: 'oauth2Introspection'; readonly from: readonly CredentialSource[]; readonly introspection: IntrospectionSpec }
  | { readonly type: 'clientCertificate' }
  | OidcSpec;

export interface AuthSpec {
  /** `namespace/name` of the AuthPolicy. Consumers are those of its namespace. */
  readonly policy: string;
  readonly namespace: string;
  /** The first whose credential is present decides. */
  readonly methods: readonly AuthMethodSpec[];
  /** Asked after the methods. */
  readonly externalAuthorization?: ExternalAuthorization;
  /** What becomes of requests without any, where there are methods. */
  readonly anonymous: 'Deny' | 'Allow';
  /** All must hold, for anonymous requests too; absent: nothing is asked. */
  readonly authorization?: readonly AuthorizationRule[];
  /** What the backend is told; absent: nothing. */
  readonly forward?: readonly ForwardedHeader[];
  /** The credential does not go to the backend. */
  readonly stripToken: boolean;
  /** Names of query parameters that hold credentials: their values are not for the log. */
  readonly credentialParameters: readonly string[];
}

export interface AuthorizationRule {
  /** CEL, with the variables of `requestHead` (expressions/environments.ts). */
  readonly expression: string;
  /** What a client is told that may not pass. */
  readonly message?: string;
}

export interface ForwardedHeader {
  /** In lower case. */
  readonly name: string;
  /** CEL, as in `AuthorizationRule`. */
  readonly value: string;
}

/** An ApiConsumer. */
export interface ConsumerSpec {
  readonly namespace: string;
  readonly name: string;
  readonly groups: readonly string[];
  /** SHA-256 of each of its API keys, 64 hexadecimal digits, one after the other. */
  readonly keyDigests: Sensitive;
  readonly jwt?: { readonly claim: string; readonly value: string };
  readonly basicUsers: readonly string[];
  /** As `certificateSubject` (exchange/certificate-subject.ts) writes them. */
  readonly certificateSubjects: readonly string[];
}
