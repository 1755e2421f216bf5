/** AuthPolicy, method oidc: browsers sign in at an OpenID provider, and keep a session by a cookie. */
import { z } from 'zod';
import { cookieName, quote, text } from '../fields.ts';
import { flaws, strictObject } from '../strict-object.ts';
import { secretReference } from './secret-reference.ts';
import { fetchedUrl } from './url.ts';

/** A whole path of the routes' hosts, in the form in which requests' paths are compared. */
const ownPath = text(
  (value) =>
    /^\/[A-Za-z0-9\-._~!$&'()*+,;=:@/]*$/.test(value) && !/\/\.{1,2}(\/|$)/.test(value)
      ? undefined
      : { message: `${quote(value)} is not a path`, hint: 'write an absolute path without a query, such as /oauth2/callback' },
  { pattern: /^\//, minLength: 1, maxLength: 1024 },
);

export const oidcMethod = strictObject({
  issuer: fetchedUrl.describe('The OpenID provider; its configuration is read from /.well-known/openid-configuration below it.'),
  clientId: z.string().min(1).max(1024).describe('Name of the gateway at the provider.'),
  clientSecretRef: secretReference.describe('The password that goes with it.'),
  sessionSecretRef: secretReference
    .exactOptional()
    .describe('Key by which sessions are sealed, the same for all replicas: 32 bytes or more. Absent: each pod makes one, and sessions end with it.'),
  redirectPath: ownPath
    .prefault('/oauth2/callback')
    .describe('Path that the provider sends browsers back to. Opened without a code, it begins a login that ends at its parameter return_to, a path, or at /.'),
  logoutPath: ownPath.prefault('/logout').describe('Path that ends the session.'),
  scopes: z
    .array(z.string().min(1).max(256))
    .max(32)
    .default(['openid'])
    .describe('What is asked for at the provider. Absent: openid alone.')
    .meta({ 'x-kubernetes-list-type': 'atomic' }),
  cookieName: cookieName
    .prefault('tg_session')
    .describe('Name of the session cookie. Long sessions take NAME.1 and NAME.2, too; logins under way NAME_login.0 to 3.'),
}).superRefine(
  flaws(({ redirectPath, logoutPath, scopes }) => {
    if (redirectPath === logoutPath) return { message: 'logoutPath is the redirectPath, too', hint: 'give each a path of its own', path: ['logoutPath'] };
    // OpenID Connect Core 1.0, section 3.1.2.1: without it there is no ID token.
    if (!scopes.includes('openid')) return { message: 'the scope openid is missing', hint: 'write it beside the others', path: ['scopes'] };
    return undefined;
  }),
);

export type OidcMethod = z.output<typeof oidcMethod>;
