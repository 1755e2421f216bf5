/** AuthPolicy, externalAuthorization: a service that is asked about each request. */
import { z } from 'zod';
import { dnsLabel, duration, headerName, oneOf, portReference, quote, text } from '../fields.ts';
import { type Flaw, flaws, strictObject } from '../strict-object.ts';
import { fetchedUrl } from './url.ts';

const names = (told: string) => z.array(headerName).max(64).default([]).describe(told).meta({ 'x-kubernetes-list-type': 'atomic' });

export const externalAuthorization = strictObject(
  {
    backendRef: strictObject({
      name: dnsLabel.describe('Name of the Service.'),
      namespace: dnsLabel.exactOptional().describe('Its namespace; another one needs a ReferenceGrant there. Absent: that of the policy.'),
      port: portReference.describe('Its port, by number or name.'),
    })
      .exactOptional()
      .describe('A Service that is asked.'),
    url: fetchedUrl.exactOptional().describe('In place of backendRef: a URL that is asked.'),
    protocol: oneOf(['HTTP', 'GRPC']).default('HTTP').describe("HTTP: the answer's status decides, 2xx allows. GRPC: envoy.service.auth.v3.Authorization."),
    path: text(pathFlaw, { pattern: /^\//, minLength: 1, maxLength: 1024 })
      .exactOptional()
      .describe('With protocol HTTP: path of the check, which may have a query. Absent: /, or that of the URL.'),
    timeout: duration({ positive: true, max: 60_000 }).prefault('200ms').describe('How long an answer is waited for.'),
    requestHeaders: names('Headers of the client that go to the check. Absent: all of them.'),
    headersToBackend: names("Headers of the check's answer that go to the backend. Clients' own ones of these names are removed."),
    failOpen: z
      .boolean()
      .default(false)
      .describe('Let requests pass when the check can not be made, is late, or the service is in trouble (5xx). Else they are answered with 503.'),
  },
  {
    cel: [
      { rule: 'has(self.backendRef) != has(self.url)', message: 'write one of backendRef and url' },
      { rule: "!has(self.path) || !has(self.protocol) || self.protocol == 'HTTP'", message: 'path goes with protocol HTTP only' },
    ],
  },
).superRefine(
  flaws(({ backendRef, url, protocol, path }) => {
    if ((backendRef === undefined) === (url === undefined)) {
      const message = url === undefined ? 'there is nothing to ask' : 'backendRef stands beside url';
      return { message, hint: 'write one of backendRef and url' };
    }
    const ownPath = url !== undefined && /^https?:\/\/[^/?]*(\/?$)/i.exec(url) === null;
    if (protocol === 'GRPC') {
      if (path !== undefined) return { message: 'path has no meaning with protocol GRPC, whose method is fixed', hint: 'leave it out', path: ['path'] };
      if (ownPath) return { message: 'the URL of a gRPC server has no path', hint: 'write scheme, host and port alone', path: ['url'] };
    }
    if (path !== undefined && ownPath) return { message: 'path stands beside a url that has one', hint: 'write it in one of the two', path: ['path'] };
    return undefined;
  }),
);

function pathFlaw(value: string): Flaw | undefined {
  if (!value.startsWith('/')) return { message: `${quote(value)} does not begin with /`, hint: `write /${value}` };
  if (/^[\x21-\x7e]+$/.test(value) && !value.includes('#')) return undefined;
  return { message: `${quote(value)} has what has no place in a path`, hint: 'escape blanks, # and what is not ASCII, such as %20' };
}

export type ExternalAuthorizationFields = z.output<typeof externalAuthorization>;
