/** Where of a request a credential stands. */
import { z } from 'zod';
import type { CredentialSource } from '../../snapshot/auth.ts';
import { cookieName, headerName, headerValueFlaw, quote, text } from '../fields.ts';
import { flaws, strictObject } from '../strict-object.ts';

/** Text before the credential, within a header's value; a space at its end is part of it. */
const prefix = text(
  (value) => {
    if (/^[\x21-\x7e]+ ?$/.test(value)) return undefined;
    return headerValueFlaw(value) ?? { message: `${quote(value)} is not a prefix of a header's value`, hint: 'write a word such as "Bearer "' };
  },
  { minLength: 1, maxLength: 64 },
);

/** Name of a query parameter, as it is once percent-decoded. */
const parameterName = z.string().min(1).max(256);

const credentialSource = strictObject(
  {
    header: headerName.exactOptional().describe('Name of a header.'),
    prefix: prefix.exactOptional().describe('With header: what stands before the credential, such as "Bearer "; case does not matter. Absent: nothing.'),
    cookie: cookieName.exactOptional().describe('Name of a cookie.'),
    queryParam: parameterName.exactOptional().describe('Name of a query parameter. Its values are left out of the access log.'),
  },
  {
    cel: [
      { rule: '[has(self.header), has(self.cookie), has(self.queryParam)].filter(x, x).size() == 1', message: 'write one of header, cookie and queryParam' },
      { rule: '!has(self.prefix) || has(self.header)', message: 'prefix goes with header only' },
    ],
  },
)
  .superRefine(
    flaws(({ header, prefix, cookie, queryParam }) => {
      const named = [header, cookie, queryParam].filter((name) => name !== undefined).length;
      if (named !== 1) {
        const message = named === 0 ? 'the credential is nowhere' : 'the credential is in several places';
        return { message, hint: 'write one of header, cookie and queryParam; further places are further items' };
      }
      if (prefix !== undefined && header === undefined)
        return { message: 'prefix has no meaning here', hint: 'leave it out, or name a header', path: ['prefix'] };
      return undefined;
    }),
  )
  .transform(({ header, prefix, cookie, queryParam }): CredentialSource => {
    if (header !== undefined) return { type: 'Header', name: header, prefix: prefix ?? '' };
    return cookie === undefined ? { type: 'QueryParam', name: queryParam ?? '' } : { type: 'Cookie', name: cookie };
  });

/** @param fallback places that are looked at where none are written */
export function credentialSources(fallback: readonly { readonly header: string; readonly prefix?: string }[], told: string) {
  return z
    .array(credentialSource)
    .min(1)
    .max(8)
    .prefault([...fallback])
    .describe(`Where the credential is looked for, in that order. Absent: ${told}.`)
    .meta({ 'x-kubernetes-list-type': 'atomic' });
}
