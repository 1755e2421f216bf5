import type { BadObject } from './bad-routes.ts';
import { type Fields, metadata, target } from './objects.ts';

const policy = (spec: Fields): Fields => ({ apiVersion: 'tidegate.dev/v1alpha1', kind: 'AuthPolicy', metadata, spec: { targetRefs: [target], ...spec } });
const method = (one: Fields): Fields => policy({ methods: [one] });
const keys = (from: Fields): Fields => method({ apiKey: { from: [from] } });
const rule = (expression: string): Fields => policy({ authorization: [{ expression }] });
const forwards = (headers: Fields): Fields => policy({ methods: [{ apiKey: {} }], forward: { headers } });
const consumer = (spec: Fields): Fields => ({ apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiConsumer', metadata, spec });

/** AuthPolicies and ApiConsumers, each wrong in one place. */
export const BAD_AUTH: readonly BadObject[] = [
  ['policy that asks for nothing', policy({}), 'spec.methods', /asks for nothing/, /apiKey/],
  ['method of no kind', method({}), 'spec.methods[0]', /the method is none/, /one of jwt, apiKey/],
  [
    'two methods in one item',
    method({ apiKey: {}, clientCertificate: {} }),
    'spec.methods[0]',
    /several methods in one item: apiKey, clientCertificate/,
    /one of/,
  ],
  ['credential from nowhere', keys({}), 'spec.methods[0].apiKey.from[0]', /nowhere/, /header, cookie and queryParam/],
  ['credential from two places', keys({ header: 'a', cookie: 'b' }), 'spec.methods[0].apiKey.from[0]', /several places/, /further items/],
  ['prefix of a cookie', keys({ cookie: 'a', prefix: 'x' }), 'spec.methods[0].apiKey.from[0].prefix', /no meaning/, /leave it out/],
  ['passwords of no Secret', method({ basic: {} }), 'spec.methods[0].basic.secretRef', /missing/, /mapping/],
  ['expression that does not parse', rule('1 +'), 'spec.authorization[0].expression', /does not parse/, /CEL/],
  ['expression that is no condition', rule('request.method'), 'spec.authorization[0].expression', /gives string, not bool/, /condition/],
  ['expression of what is not there', rule('request.body == 1'), 'spec.authorization[0].expression', /body/, /field/],
  ['forwarded header of the gateway', forwards({ 'X-Forwarded-For': '"a"' }), 'spec.forward.headers.X-Forwarded-For', /own to write/, /x-user-id/],
  ['forwarded header that frames', forwards({ 'content-length': '"1"' }), 'spec.forward.headers.content-length', /own to write/, /x-user-id/],
  ['forwarded header twice', forwards({ 'x-a': '"1"', 'X-A': '"2"' }), 'spec.forward.headers.X-A', /twice/, /keep one/],
  ['consumer without anything', consumer({ groups: ['gold'] }), 'spec', /nothing tells the consumer/, /apiKeys/],
  ['user with a colon', consumer({ basicUsers: ['a:b'] }), 'spec.basicUsers[0]', /not a user name/, /colons/],
  [
    'key of a Secret that can be none',
    consumer({ apiKeys: [{ secretRef: { name: 'a', key: 'a/b' } }] }),
    'spec.apiKeys[0].secretRef.key',
    /not a key/,
    /letters/,
  ],
  ['subject of another form', consumer({ certificateSubjects: ['acme'] }), 'spec.certificateSubjects[0]', /not a subject/, /CN=acme/],
];
