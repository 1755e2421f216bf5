/** AuthPolicy, externalAuthorization: a service that is asked about each request. */
import { z } from 'zod';
import { dnsLabel, duration, headerName, oneOf, portReference, quote, text } from '../fields.ts';
import { flaws, strictObject } from '../strict-object.ts';
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
    path: text((value) => (value.startsWith('/') ? undefined : { message: `${quote(value)} does not begin with /`, hint: `write /${value}` }), {
      minLength: 1,
      maxLength: 1024,
    })
      .exactOptional()
      .describe('With protocol HTTP and backendRef: path of the check. Absent: /.'),
    timeout: duration({ positive: true, max: 60_000 }).prefault('200ms').describe('How long an answer is waited for.'),
    requestHeaders: names('Headers of the client that go to the check. Absent: all of them.'),
    headersToBackend: names("Headers of the check's answer that go to the backend. Clients' own ones of these names are removed."),
    failOpen: z.boolean().default(false).describe('Let requests pass when the check fails or is late. Else they are answered with 503.'),
  },
  { cel: [{ rule: 'has(self.backendRef) != has(self.url)', message: 'write one of backendRef and url' }] },
).superRefine(
  flaws(({ backendRef, url }) => {
    if ((backendRef === undefined) !== (url === undefined)) return undefined;
    const message = url === undefined ? 'there is nothing to ask' : 'backendRef stands beside url';
    return { message, hint: 'write one of backendRef and url' };
  }),
);
