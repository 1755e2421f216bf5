import type { BadObject } from './bad-routes.ts';
import { type Fields, route } from './objects.ts';

const AT = 'spec.rules[0].filters.aggregate';
const ref = { name: 'users', port: 80 };

function calls(...list: Fields[]): Fields {
  return { calls: list, response: { body: '1' } };
}

function call(change: Fields = {}, request: Fields = {}): Fields {
  return { name: 'user', backendRef: ref, request: { path: "'/u'", ...request }, ...change };
}

function aggregate(spec: Fields, more: Fields = {}): Fields {
  return route({ rules: [{ filters: { aggregate: spec }, ...more }] });
}

const whole = (change: Fields) => aggregate({ ...calls(call()), ...change });
const one = (change: Fields, request: Fields = {}) => aggregate(calls(call(change, request)));
const two = (first: Fields, second: Fields) => aggregate(calls(call(first), call({ name: 'orders', ...second })));

const grpcJson = (change: Fields): Fields =>
  route({ rules: [{ filters: { grpcJson: { backendRef: ref, descriptorSetRef: { name: 'shop', key: 'shop.pb' }, services: ['shop.Orders'], ...change } } }] });

export const BAD_AGGREGATES: readonly BadObject[] = [
  ['grpcJson without services', grpcJson({ services: [] }), 'spec.rules[0].filters.grpcJson.services', /./, /./],
  [
    'grpcJson with a service that is none',
    grpcJson({ services: ['shop/Orders'] }),
    'spec.rules[0].filters.grpcJson.services[0]',
    /no name of a gRPC/,
    /shop\.v1/,
  ],
  [
    'grpcJson with metadata of gRPC itself',
    grpcJson({ requestHeaders: ['x-a', 'Grpc-Timeout'] }),
    'spec.rules[0].filters.grpcJson.requestHeaders[1]',
    /no metadata/,
    /./,
  ],
  [
    'grpcJson with the trace context, which the gateway writes',
    grpcJson({ requestHeaders: ['Traceparent'] }),
    'spec.rules[0].filters.grpcJson.requestHeaders[0]',
    /no metadata/,
    /./,
  ],
  [
    'grpcJson with a header of framing',
    grpcJson({ responseHeaders: ['content-length'] }),
    'spec.rules[0].filters.grpcJson.responseHeaders[0]',
    /no metadata/,
    /./,
  ],
  ['grpcJson without descriptors', grpcJson({ descriptorSetRef: { name: 'shop' } }), 'spec.rules[0].filters.grpcJson.descriptorSetRef.key', /missing/, /./],
  ['aggregate without calls', whole({ calls: [] }), `${AT}.calls`, /./, /./],
  ['aggregate without response', aggregate({ calls: [call()] }), `${AT}.response`, /missing/, /./],
  ['aggregate with a time-out of nothing', whole({ timeout: '0s' }), `${AT}.timeout`, /longer than zero/, /1s/],
  ['call name that is a variable', one({ name: 'request' }), `${AT}.calls[0].name`, /has a meaning/, /another name/],
  ['call name that is none', one({ name: 'a-b' }), `${AT}.calls[0].name`, /cannot be a variable/, /letters/],
  ['call name of a prototype', one({ name: '__proto__' }), `${AT}.calls[0].name`, /cannot be a variable/, /letters/],
  ['call name twice', aggregate(calls(call(), call())), `${AT}.calls[1].name`, /"user" is there twice/, /of its own/],
  ['call without a Service', one({ backendRef: undefined }), `${AT}.calls[0].backendRef`, /missing/, /./],
  ['call path that does not parse', one({}, { path: "'/u" }), `${AT}.calls[0].request.path`, /does not parse/, /./],
  ['call path without a beginning', one({}, { path: 'request.query.url' }), `${AT}.calls[0].request.path`, /does not begin with a text/, /'\/users\/'/],
  ['call path of an unknown variable', one({}, { path: "'/u/' + usr.body" }), `${AT}.calls[0].request.path`, /usr/, /request, identity, user/],
  ['call path of an unknown field', one({}, { path: "'/u/' + request.pth" }), `${AT}.calls[0].request.path`, /pth/, /./],
  ['call with a body and GET', one({}, { body: '1' }), `${AT}.calls[0].request.body`, /GET has no body/, /POST/],
  [
    'call header of the connection',
    one({}, { headers: { 'content-length': "'1'" } }),
    `${AT}.calls[0].request.headers.content-length`,
    /own to write/,
    /leave/,
  ],
  ['call header twice', one({}, { headers: { 'x-a': "'1'", 'X-A': "'1'" } }), `${AT}.calls[0].request.headers.X-A`, /there twice/, /keep one/],
  ['call header that is no text', one({}, { headers: { 'x-a': '[1]' } }), `${AT}.calls[0].request.headers.x-a`, /gives list<int>/, /text/],
  ['call when that is no condition', one({ when: '1' }), `${AT}.calls[0].when`, /gives int, not bool/, /condition/],
  ['call that needs itself', one({ when: 'user.status == 200' }), `${AT}.calls[0]`, /needs its own result/, /without/],
  ['calls in a circle', two({ when: 'orders.failed' }, { onError: { value: 'user.body' } }), `${AT}.calls[0]`, /user needs orders needs user/, /without/],
  ['response status that is no number', whole({ response: { status: "'ok'" } }), `${AT}.response.status`, /gives string, not int/, /whole number/],
  ['response body that is a whole result', whole({ response: { body: 'user' } }), `${AT}.response.body`, /gives Call/, /fields/],
  ['response header that is the gateway’s', whole({ response: { headers: { connection: "'close'" } } }), `${AT}.response.headers.connection`, /own/, /leave/],
  [
    'a segment that no path names',
    aggregate(calls(call({}, { path: "'/u/' + request.path.id" })), { matches: [{ path: { value: '/users/{id}' } }, { path: { value: '/u' } }] }),
    `${AT}.calls[0].request.path`,
    /match 1 has no segment \{id\}/,
    /every match/,
  ],
  [
    'an aggregate beside a direct response',
    route({ rules: [{ filters: { aggregate: calls(call()), directResponse: { statusCode: 200 } } }] }),
    AT,
    /both answer/,
    /keep one/,
  ],
];
