import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { decode } from './decode.ts';
import { fieldPath, parseFieldPath } from './field-path.ts';

type Fields = Readonly<Record<string, unknown>>;

const metadata = { name: 'x', namespace: 'shop' };

const route = (spec: Fields): Fields => ({ apiVersion: 'tidegate.dev/v1alpha1', kind: 'ApiRoute', metadata, spec });
const backendRefs = [{ name: 's', port: 80 }];
const rule = (fields: Fields): Fields => route({ rules: [{ backendRefs, ...fields }] });
const match = (fields: Fields): Fields => rule({ matches: [fields] });
const filters = (fields: Fields): Fields => rule({ filters: fields });
const limitPolicy = (spec: Fields): Fields => ({ apiVersion: 'tidegate.dev/v1alpha1', kind: 'RateLimitPolicy', metadata, spec });
const target = { group: 'tidegate.dev', kind: 'ApiRoute', name: 'x' };
const limit = (fields: Fields): Fields => limitPolicy({ targetRefs: [target], limits: [{ requests: 5, ...fields }] });
const backendPolicy = (fields: Fields): Fields => ({
  ...{ apiVersion: 'tidegate.dev/v1alpha1', kind: 'BackendPolicy', metadata },
  spec: { targetRefs: [{ kind: 'Service', name: 's' }], ...fields },
});
const ingress = (spec: Fields): Fields => ({ apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata, spec });
const backend = { service: { name: 's', port: { number: 80 } } };
const path = (fields: Fields): Fields => ingress({ rules: [{ http: { paths: [{ path: '/', pathType: 'Prefix', backend, ...fields }] } }] });
const service = (spec: Fields): Fields => ({ apiVersion: 'v1', kind: 'Service', metadata, spec });
const slice = (fields: Fields): Fields => ({ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata, addressType: 'IPv4', ...fields });

type Expected = readonly [field: string, message: RegExp, hint: RegExp];

/** Each is wrong in one place: the problem names the field, what is wrong, what would be right. */
const BAD: readonly (readonly [what: string, raw: unknown, ...expected: Expected])[] = [
  ['a number', 5, '', /no mapping/, /apiVersion, kind/],
  ['a list', [], '', /is a list/, /apiVersion, kind/],
  ['nothing', null, '', /empty/, /apiVersion, kind/],
  ['no apiVersion', { kind: 'ApiRoute' }, 'apiVersion', /missing/, /apiVersion and kind/],
  ['no kind', { apiVersion: 'v1' }, 'kind', /missing/, /apiVersion and kind/],
  ['a kind that is a number', { apiVersion: 'v1', kind: 5 }, 'kind', /no name/, /./],
  ['version of later', { ...rule({}), apiVersion: 'tidegate.dev/v1' }, 'apiVersion', /version "tidegate.dev\/v1" of kind ApiRoute/, /v1alpha1/],
  ['version of old', { ...path({}), apiVersion: 'extensions/v1beta1' }, 'apiVersion', /not in "extensions\/v1beta1"/, /networking.k8s.io\/v1/],
  ['version before', { ...path({}), apiVersion: 'networking.k8s.io/v1beta1' }, 'apiVersion', /version "networking.k8s.io\/v1beta1"/, /networking.k8s.io\/v1/],
  ['another group', { ...rule({}), apiVersion: 'gateway.networking.k8s.io/v1' }, 'apiVersion', /ApiRoute is not in/, /tidegate.dev/],
  ['a misspelt kind of ours', { ...rule({}), kind: 'ApiRuote' }, 'kind', /no kind "ApiRuote"/, /ApiRoute\?/],
  ['a kind that our group lacks', { ...rule({}), kind: 'Teapot' }, 'kind', /no kind "Teapot"/, /ApiRoute, RateLimitPolicy/],
  ['a misspelt kind of Kubernetes', { ...service({}), kind: 'Servise' }, 'kind', /no kind "Servise"/, /Service\?/],
  ['AuthPolicy', { ...rule({}), kind: 'AuthPolicy' }, 'kind', /not supported in this version/, /remove/],
  ['ApiConsumer', { ...rule({}), kind: 'ApiConsumer' }, 'kind', /not supported in this version/, /remove/],

  ['no name', { ...rule({}), metadata: {} }, 'metadata.name', /missing/, /string/],
  ['no metadata', { ...rule({}), metadata: undefined }, 'metadata', /missing/, /mapping/],
  ['name in upper case', { ...rule({}), metadata: { name: 'Shop' } }, 'metadata.name', /"Shop" is not a DNS/, /lower-case/],
  ['namespace with a dot', { ...rule({}), metadata: { name: 'x', namespace: 'a.b' } }, 'metadata.namespace', /DNS label/, /lower-case/],
  ['name that is a number', { ...rule({}), metadata: { name: 5 } }, 'metadata.name', /must be a string, not the number 5/, /"5"/],
  [
    'annotation that is a boolean',
    { ...path({}), metadata: { ...metadata, annotations: { 'a.b/c': true } } },
    'metadata.annotations["a.b/c"]',
    /boolean true/,
    /quotes: YAML 1.1/,
  ],
  ['annotation with a bad key', { ...path({}), metadata: { ...metadata, annotations: { 'a b': 'x' } } }, 'metadata.annotations["a b"]', /not a name/, /prefix/],
  ['metadata misspelt', { ...rule({}), metadata: { ...metadata, annotation: {} } }, 'metadata.annotation', /unknown field/, /annotations\?/],
  ['a date that is none', { ...rule({}), metadata: { ...metadata, creationTimestamp: 'yesterday' } }, 'metadata.creationTimestamp', /not a time/, /RFC 3339/],

  ['unknown field of the object', { ...rule({}), specs: {} }, 'specs', /unknown field "specs"/, /spec\?/],
  ['unknown field of the spec', route({ hostname: 'a.example', rules: [{ backendRefs }] }), 'spec.hostname', /unknown field/, /hostnames\?/],
  ['unknown field, nothing near', filters({ zzz: 1 }), 'spec.rules[0].filters.zzz', /unknown field/, /requestHeaderModifier/],
  ['no rules', route({}), 'spec.rules', /missing/, /list/],
  ['empty rules', route({ rules: [] }), 'spec.rules', /empty/, /at least one/],
  ['rules that are a mapping', route({ rules: {} }), 'spec.rules', /must be a list, not a mapping/, /-/],
  ['host with a port', route({ hostnames: ['a.example:80'], rules: [{ backendRefs }] }), 'spec.hostnames[0]', /not a host name/, /without port/],
  ['host in upper case', route({ hostnames: ['A.example'], rules: [{ backendRefs }] }), 'spec.hostnames[0]', /not a host name/, /write a\.example/],
  ['wildcard inside', route({ hostnames: ['a.*.example'], rules: [{ backendRefs }] }), 'spec.hostnames[0]', /not a host name/, /\*\.example/],
  ['host that is an address', route({ hostnames: ['10.0.0.1'], rules: [{ backendRefs }] }), 'spec.hostnames[0]', /address/, /DNS name/],
  ['null in a list', route({ hostnames: [null], rules: [{ backendRefs }] }), 'spec.hostnames[0]', /must be a string, not null/, /string/],
  [
    'tls without boolean',
    route({ tls: { redirect: 'yes' }, rules: [{ backendRefs }] }),
    'spec.tls.redirect',
    /true or false, not the string/,
    /without quotes/,
  ],
  [
    'rule name twice',
    route({
      rules: [
        { name: 'a', backendRefs },
        { name: 'a', backendRefs },
      ],
    }),
    'spec.rules[1].name',
    /taken by rule 0/,
    /own/,
  ],
  ['rule name that is an index', route({ rules: [{ name: '1', backendRefs }, { backendRefs }] }), 'spec.rules[0].name', /index of another rule/, /letter/],

  ['path without slash', match({ path: { value: 'orders' } }), 'spec.rules[0].matches[0].path.value', /does not begin with/, /write \/orders/],
  ['path with a query', match({ path: { value: '/a?b=c' } }), 'spec.rules[0].matches[0].path.value', /no path has/, /./],
  ['path with a stray escape', match({ path: { value: '/a%zz' } }), 'spec.rules[0].matches[0].path.value', /escapes nothing/, /%25/],
  ['path with an encoded slash', match({ path: { value: '/a%2Fb' } }), 'spec.rules[0].matches[0].path.value', /encoded slash/, /without/],
  ['path type misspelt', match({ path: { type: 'Prefix', value: '/' } }), 'spec.rules[0].matches[0].path.type', /"Prefix" is not one of/, /PathPrefix\?/],
  ['regex that is none', match({ path: { type: 'RegularExpression', value: '/(' } }), 'spec.rules[0].matches[0].path.value', /not a regular expression/, /RE2/],
  [
    'regex with lookahead',
    match({ path: { type: 'RegularExpression', value: '/(?=a)' } }),
    'spec.rules[0].matches[0].path.value',
    /not a regular expression/,
    /lookaround/,
  ],
  [
    'regex of a header too long',
    match({ headers: [{ name: 'a', type: 'RegularExpression', value: 'a'.repeat(1025) }] }),
    'spec.rules[0].matches[0].headers[0].value',
    /1025 characters/,
    /1024/,
  ],
  ['method in lower case', match({ methods: ['get'] }), 'spec.rules[0].matches[0].methods[0]', /not an HTTP method/, /write GET/],
  [
    'header name with a space',
    match({ headers: [{ name: 'x y', value: 'a' }] }),
    'spec.rules[0].matches[0].headers[0].name',
    /not a header name/,
    /without spaces/,
  ],
  [
    'header value with CR LF',
    match({ headers: [{ name: 'x', value: 'a\r\nb: c' }] }),
    'spec.rules[0].matches[0].headers[0].value',
    /control character/,
    /one line/,
  ],
  [
    'header value that YAML took for a boolean',
    match({ headers: [{ name: 'x', value: true }] }),
    'spec.rules[0].matches[0].headers[0].value',
    /boolean true/,
    /YAML 1.1/,
  ],
  ['header without value', match({ headers: [{ name: 'x' }] }), 'spec.rules[0].matches[0].headers[0].value', /missing/, /Present/],
  [
    'Present with a value',
    match({ headers: [{ name: 'x', type: 'Present', value: 'a' }] }),
    'spec.rules[0].matches[0].headers[0].value',
    /takes no value/,
    /leave value out/,
  ],
  [
    'header twice',
    match({
      headers: [
        { name: 'x', value: 'a' },
        { name: 'X', value: 'b' },
      ],
    }),
    'spec.rules[0].matches[0].headers[1].name',
    /twice/,
    /keep one/,
  ],
  ['cookie name', match({ cookies: [{ name: 'a b', value: 'c' }] }), 'spec.rules[0].matches[0].cookies[0].name', /not a cookie name/, /letters/],
  ['CIDR too long', match({ clientCIDRs: ['10.0.0.0/33'] }), 'spec.rules[0].matches[0].clientCIDRs[0]', /not a CIDR/, /10.0.0.0\/8/],
  ['CIDR that is none', match({ clientCIDRs: ['ten'] }), 'spec.rules[0].matches[0].clientCIDRs[0]', /not a CIDR/, /10.0.0.0\/8/],
  ['scheme', match({ scheme: 'ftp' }), 'spec.rules[0].matches[0].scheme', /"ftp" is not one of http, https/, /http/],

  ['port of nothing', rule({ backendRefs: [{ name: 's' }] }), 'spec.rules[0].backendRefs[0].port', /missing/, /number or a string/],
  ['port 0', rule({ backendRefs: [{ name: 's', port: 0 }] }), 'spec.rules[0].backendRefs[0].port', /out of range/, /65535/],
  ['port 65536', rule({ backendRefs: [{ name: 's', port: 65536 }] }), 'spec.rules[0].backendRefs[0].port', /out of range/, /65535/],
  ['port in quotes', rule({ backendRefs: [{ name: 's', port: '80' }] }), 'spec.rules[0].backendRefs[0].port', /number in quotes/, /80 without quotes/],
  [
    'port that is a boolean',
    rule({ backendRefs: [{ name: 's', port: true }] }),
    'spec.rules[0].backendRefs[0].port',
    /number or a string, not the boolean/,
    /quotes/,
  ],
  ['weight below zero', rule({ backendRefs: [{ name: 's', port: 80, weight: -1 }] }), 'spec.rules[0].backendRefs[0].weight', /out of range/, /0 to/],
  [
    'weight of a half',
    rule({ backendRefs: [{ name: 's', port: 80, weight: 0.5 }] }),
    'spec.rules[0].backendRefs[0].weight',
    /not a whole number/,
    /whole number/,
  ],
  [
    'filter that no backend has',
    rule({ backendRefs: [{ name: 's', port: 80, filters: { urlRewrite: {} } }] }),
    'spec.rules[0].backendRefs[0].filters.urlRewrite',
    /unknown field/,
    /requestHeaderModifier/,
  ],
  ['duration without unit', rule({ timeouts: { request: '10' } }), 'spec.rules[0].timeouts.request', /"10" is not a duration/, /10s/],
  ['duration that is a number', rule({ timeouts: { request: 10 } }), 'spec.rules[0].timeouts.request', /must be a string, not the number 10/, /quotes/],
  ['duration with a fraction', rule({ timeouts: { idle: '1.5s' } }), 'spec.rules[0].timeouts.idle', /not a duration/, /1m30s/],
  [
    'try longer than all',
    rule({ timeouts: { request: '1s', backendRequest: '2s' } }),
    'spec.rules[0].timeouts.backendRequest',
    /longer than request/,
    /at most/,
  ],

  [
    'two answers',
    filters({ requestRedirect: { scheme: 'https' }, directResponse: { statusCode: 200 } }),
    'spec.rules[0].filters.directResponse',
    /both answer/,
    /keep one/,
  ],
  ['redirect and rewrite', filters({ requestRedirect: {}, urlRewrite: { hostname: 'a' } }), 'spec.rules[0].filters.urlRewrite', /exclude/, /requestRedirect/],
  [
    'status of a redirect',
    filters({ requestRedirect: { statusCode: 200 } }),
    'spec.rules[0].filters.requestRedirect.statusCode',
    /200 is not the status of a redirect/,
    /301, 302/,
  ],
  ['port of a redirect', filters({ requestRedirect: { port: 70000 } }), 'spec.rules[0].filters.requestRedirect.port', /out of range/, /65535/],
  ['host of a redirect', filters({ requestRedirect: { hostname: '*.a' } }), 'spec.rules[0].filters.requestRedirect.hostname', /wildcard/, /DNS name/],
  ['status of an answer', filters({ directResponse: { statusCode: 99 } }), 'spec.rules[0].filters.directResponse.statusCode', /out of range/, /200 to 599/],
  ['interim status', filters({ directResponse: { statusCode: 101 } }), 'spec.rules[0].filters.directResponse.statusCode', /out of range/, /200 to 599/],
  [
    'status that is text',
    filters({ directResponse: { statusCode: '503' } }),
    'spec.rules[0].filters.directResponse.statusCode',
    /must be a number, not the string/,
    /503 without quotes/,
  ],
  ['body of 204', filters({ directResponse: { statusCode: 204, body: 'x' } }), 'spec.rules[0].filters.directResponse.body', /no body/, /another status/],
  [
    'content type with a line break',
    filters({ directResponse: { statusCode: 200, contentType: 'a\nb' } }),
    'spec.rules[0].filters.directResponse.contentType',
    /control character/,
    /one line/,
  ],
  [
    'framing by hand',
    filters({ directResponse: { statusCode: 200, headers: [{ name: 'Content-Length', value: '5' }] } }),
    'spec.rules[0].filters.directResponse.headers[0].name',
    /gateway's own/,
    /leave it out/,
  ],
  [
    'content type twice',
    filters({ directResponse: { statusCode: 200, headers: [{ name: 'content-type', value: 'a/b' }] } }),
    'spec.rules[0].filters.directResponse.headers[0].name',
    /field of its own/,
    /contentType/,
  ],
  [
    'NUL in a header',
    filters({ requestHeaderModifier: { set: [{ name: 'a', value: '\u0000' }] } }),
    'spec.rules[0].filters.requestHeaderModifier.set[0].value',
    /control character/,
    /one line/,
  ],
  [
    'colon in a header name',
    filters({ responseHeaderModifier: { remove: ['a:'] } }),
    'spec.rules[0].filters.responseHeaderModifier.remove[0]',
    /not a header name/,
    /colon/,
  ],
  [
    'hop-by-hop header',
    filters({ requestHeaderModifier: { remove: ['Connection'] } }),
    'spec.rules[0].filters.requestHeaderModifier.remove[0]',
    /gateway's own/,
    /leave it out/,
  ],
  [
    'Host by modifier',
    filters({ requestHeaderModifier: { set: [{ name: 'Host', value: 'a' }] } }),
    'spec.rules[0].filters.requestHeaderModifier.set[0].name',
    /Host/,
    /urlRewrite.hostname/,
  ],
  [
    'header set twice',
    filters({
      requestHeaderModifier: {
        set: [
          { name: 'a', value: '1' },
          { name: 'A', value: '2' },
        ],
      },
    }),
    'spec.rules[0].filters.requestHeaderModifier.set[1].name',
    /set twice/,
    /keep one/,
  ],
  ['rewrite of nothing', filters({ urlRewrite: {} }), 'spec.rules[0].filters.urlRewrite', /changes nothing/, /hostname, path/],
  [
    'rewrite without value',
    filters({ urlRewrite: { path: { type: 'ReplaceFullPath' } } }),
    'spec.rules[0].filters.urlRewrite.path.value',
    /needs value/,
    /write value/,
  ],
  [
    'rewrite with a value too much',
    filters({ urlRewrite: { path: { type: 'ReplaceRegex', value: '/', pattern: 'a', substitution: 'b' } } }),
    'spec.rules[0].filters.urlRewrite.path.value',
    /no meaning/,
    /pattern and substitution/,
  ],
  [
    'rewrite to no path',
    filters({ urlRewrite: { path: { type: 'ReplaceFullPath', value: 'a' } } }),
    'spec.rules[0].filters.urlRewrite.path.value',
    /does not begin/,
    /write \/a/,
  ],
  [
    'rewrite with a line break',
    filters({ urlRewrite: { path: { type: 'ReplaceFullPath', value: '/a\r\n' } } }),
    'spec.rules[0].filters.urlRewrite.path.value',
    /control character/,
    /one line/,
  ],
  [
    'group that the pattern lacks',
    filters({ urlRewrite: { path: { type: 'ReplaceRegex', pattern: '(a)', substitution: '\\2' } } }),
    'spec.rules[0].filters.urlRewrite.path.substitution',
    /1 groups/,
    /groups/,
  ],
  [
    'backslash before no digit',
    filters({ urlRewrite: { path: { type: 'ReplaceRegex', pattern: 'a', substitution: '\\x' } } }),
    'spec.rules[0].filters.urlRewrite.path.substitution',
    /backslash/,
    /\\1/,
  ],
  [
    'prefix of an exact path',
    rule({ matches: [{ path: { type: 'Exact', value: '/a' } }], filters: { urlRewrite: { path: { type: 'ReplacePrefixMatch', value: '/' } } } }),
    'spec.rules[0].filters.urlRewrite.path.type',
    /needs a prefix/,
    /PathPrefix/,
  ],
  ['no bytes at all', filters({ limits: { maxRequestBodyBytes: 0 } }), 'spec.rules[0].filters.limits.maxRequestBodyBytes', /out of range/, /1 or more/],
  ['access for nobody', filters({ ipAccess: {} }), 'spec.rules[0].filters.ipAccess', /nobody/, /CIDRs/],
  ['access by a bad CIDR', filters({ ipAccess: { deny: ['::/129'] } }), 'spec.rules[0].filters.ipAccess.deny[0]', /not a CIDR/, /2001:db8/],

  ['no targets', limitPolicy({ targetRefs: [], limits: [{ requests: 1, period: '1s' }] }), 'spec.targetRefs', /empty/, /at least one/],
  [
    'target of a kind that has no limits',
    limitPolicy({ targetRefs: [{ kind: 'Service', name: 's' }], limits: [{ requests: 1, period: '1s' }] }),
    'spec.targetRefs[0].kind',
    /"Service" is not one of/,
    /ApiRoute/,
  ],
  [
    'target of another group',
    limitPolicy({ targetRefs: [{ ...target, group: 'x' }], limits: [{ requests: 1, period: '1s' }] }),
    'spec.targetRefs[0].group',
    /not a kind of group/,
    /tidegate.dev/,
  ],
  ['no limits', limitPolicy({ targetRefs: [target], limits: [] }), 'spec.limits', /empty/, /at least one/],
  ['no period', limit({}), 'spec.limits[0].period', /missing/, /1m/],
  ['period of nothing', limit({ period: '0s' }), 'spec.limits[0].period', /longer than zero/, /1s/],
  ['calendar beside period', limit({ algorithm: 'FixedWindow', calendar: 'Day', period: '1h' }), 'spec.limits[0].calendar', /beside period/, /keep one/],
  ['calendar without windows', limit({ calendar: 'Day' }), 'spec.limits[0].calendar', /no meaning with TokenBucket/, /FixedWindow/],
  ['calendar of a week', limit({ algorithm: 'FixedWindow', calendar: 'Week' }), 'spec.limits[0].calendar', /"Week" is not one of Day, Month/, /Day/],
  ['burst without bucket', limit({ algorithm: 'SlidingWindow', period: '1s', burst: 5 }), 'spec.limits[0].burst', /no meaning/, /TokenBucket/],
  ['burst of nothing', limit({ period: '1s', burst: 0 }), 'spec.limits[0].burst', /lets nothing through/, /1 or more/],
  ['no requests', limit({ requests: 0, period: '1s' }), 'spec.limits[0].requests', /out of range/, /1 to/],
  ['key without name', limit({ period: '1s', key: [{ type: 'Header' }] }), 'spec.limits[0].key[0].name', /needs a name/, /Header/],
  [
    'key with a name too much',
    limit({ period: '1s', key: [{ type: 'ClientIP', name: 'x' }] }),
    'spec.limits[0].key[0].name',
    /takes no name/,
    /leave name out/,
  ],
  ['key with a bad header', limit({ period: '1s', key: [{ type: 'Header', name: 'a b' }] }), 'spec.limits[0].key[0].name', /not a header name/, /letters/],
  ['limit name', limit({ period: '1s', name: 'a"b' }), 'spec.limits[0].name', /not a name for a limit/, /letters/],
  [
    'limit name twice',
    limitPolicy({
      targetRefs: [target],
      limits: [
        { name: 'a', requests: 1, period: '1s' },
        { name: 'a', requests: 2, period: '1m' },
      ],
    }),
    'spec.limits[1].name',
    /twice/,
    /own/,
  ],

  ['hash of nothing', backendPolicy({ loadBalancer: { type: 'ConsistentHash' } }), 'spec.loadBalancer.consistentHash', /needs consistentHash/, /Header/],
  [
    'hash for another balancer',
    backendPolicy({ loadBalancer: { consistentHash: { type: 'Path' } } }),
    'spec.loadBalancer.consistentHash',
    /no meaning with type RoundRobin/,
    /ConsistentHash/,
  ],
  [
    'hash of a nameless header',
    backendPolicy({ loadBalancer: { type: 'ConsistentHash', consistentHash: { type: 'Header' } } }),
    'spec.loadBalancer.consistentHash.name',
    /needs a name/,
    /Header/,
  ],
  ['balancer misspelt', backendPolicy({ loadBalancer: { type: 'RoundRobbin' } }), 'spec.loadBalancer.type', /is not one of/, /RoundRobin\?/],
  ['no time to connect', backendPolicy({ connection: { connectTimeout: '0s' } }), 'spec.connection.connectTimeout', /longer than zero/, /1s/],

  ['Ingress of nothing', ingress({}), 'spec.rules', /neither rules nor defaultBackend/, /at least one/],
  ['Ingress path without type', path({ pathType: undefined }), 'spec.rules[0].http.paths[0].pathType', /missing/, /Exact, Prefix/],
  ['Ingress path without slash', path({ path: 'a' }), 'spec.rules[0].http.paths[0].path', /does not begin/, /write \/a/],
  ['Ingress path with dots', path({ path: '/a/../b' }), 'spec.rules[0].http.paths[0].path', /"\/\.\.\/"/, /normal form/],
  ['Ingress path type misspelt', path({ pathType: 'PathPrefix' }), 'spec.rules[0].http.paths[0].pathType', /is not one of/, /Prefix/],
  ['backend without service', path({ backend: {} }), 'spec.rules[0].http.paths[0].backend', /names no service/, /service:/],
  [
    'port by name and number',
    path({ backend: { service: { name: 's', port: { name: 'a', number: 1 } } } }),
    'spec.rules[0].http.paths[0].backend.service.port',
    /both name and number/,
    /keep one/,
  ],
  ['port by neither', path({ backend: { service: { name: 's', port: {} } } }), 'spec.rules[0].http.paths[0].backend.service.port', /neither/, /number: 80/],
  [
    'the backend of v1beta1',
    path({ backend: { serviceName: 's', service: backend.service } }),
    'spec.rules[0].http.paths[0].backend.serviceName',
    /unknown field/,
    /service/,
  ],
  [
    'Ingress host',
    ingress({ rules: [{ host: 'a_b', http: { paths: [{ pathType: 'Prefix', path: '/', backend }] } }] }),
    'spec.rules[0].host',
    /not a host name/,
    /DNS name/,
  ],
  [
    'Ingress tls host',
    ingress({ defaultBackend: backend, tls: [{ hosts: ['https://a'] }] }),
    'spec.tls[0].hosts[0]',
    /address, or no name|not a host name/,
    /scheme/,
  ],
  [
    'IngressClass field',
    { apiVersion: 'networking.k8s.io/v1', kind: 'IngressClass', metadata: { name: 'a' }, spec: { controler: 'x' } },
    'spec.controler',
    /unknown field/,
    /controller\?/,
  ],

  ['Service without ports', service({}), 'spec.ports', /no ports/, /port: 80/],
  ['Service port in quotes', service({ ports: [{ port: '80' }] }), 'spec.ports[0].port', /must be a number/, /80 without quotes/],
  ['Service ports without names', service({ ports: [{ port: 80 }, { name: 'b', port: 81 }] }), 'spec.ports[0].name', /no name/, /name each port/],
  [
    'Service port twice',
    service({
      ports: [
        { name: 'a', port: 80 },
        { name: 'b', port: 80 },
      ],
    }),
    'spec.ports[1].port',
    /twice/,
    /once/,
  ],
  [
    'Service port name twice',
    service({
      ports: [
        { name: 'a', port: 80 },
        { name: 'a', port: 81 },
      ],
    }),
    'spec.ports[1].name',
    /twice/,
    /own/,
  ],
  ['target port', service({ ports: [{ port: 80, targetPort: 0 }] }), 'spec.ports[0].targetPort', /not a port/, /65535/],
  ['protocol', service({ ports: [{ port: 80, protocol: 'HTTP' }] }), 'spec.ports[0].protocol', /is not one of TCP/, /TCP/],
  ['ExternalName of nothing', service({ type: 'ExternalName' }), 'spec.externalName', /needs externalName/, /DNS name/],
  ['Service field', service({ ports: [{ port: 80 }], selectors: {} }), 'spec.selectors', /unknown field/, /selector\?/],
  ['slice without type', { ...slice({}), addressType: undefined }, 'addressType', /missing/, /IPv4/],
  ['slice with a name for an address', slice({ endpoints: [{ addresses: ['pod-1'] }] }), 'endpoints[0].addresses[0]', /not an IPv4 address/, /10.0.0.1/],
  ['slice with IPv6 among IPv4', slice({ endpoints: [{ addresses: ['::1'] }] }), 'endpoints[0].addresses[0]', /not an IPv4 address/, /addressType/],
  ['endpoint without address', slice({ endpoints: [{ addresses: [] }] }), 'endpoints[0].addresses', /empty/, /at least one/],
  ['slice port', slice({ ports: [{ port: 99999 }] }), 'ports[0].port', /out of range/, /65535/],
];

describe('what is wrong with one object', () => {
  for (const [what, raw, field, message, hint] of BAD) {
    test(what, () => {
      const decoded = decode(raw);
      assert.ok(decoded, 'it is ours');
      assert.equal(decoded.object, undefined, 'it gives no object');
      assert.deepEqual(
        decoded.problems.map((problem) => problem.field),
        [field],
        JSON.stringify(decoded.problems),
      );
      const [problem] = decoded.problems;
      assert.equal(problem?.severity, 'error');
      assert.match(problem?.message ?? '', message);
      assert.match(problem?.hint ?? '', hint);
      assert.doesNotMatch(problem?.message ?? '', /[.\n]$|undefined/);
    });
  }
});

/** Fields and values of the format that this version does not serve. */
const LATER: readonly (readonly [raw: Fields, field: string])[] = [
  ...['aggregate', 'cors', 'mirror', 'compression', 'cache', 'transform', 'faultInjection'].map(
    (name) => [filters({ [name]: {} }), `spec.rules[0].filters.${name}`] as const,
  ),
  ...['retry', 'hedge', 'fallback', 'priority'].map((name) => [rule({ [name]: {} }), `spec.rules[0].${name}`] as const),
  ...['mode', 'clientValidation'].map((name) => [route({ tls: { secretName: 'a', [name]: {} }, rules: [{ backendRefs }] }), `spec.tls.${name}`] as const),
  [route({ priority: 'High', rules: [{ backendRefs }] }), 'spec.priority'],
  [match({ path: { value: '/users/{id}' } }), 'spec.rules[0].matches[0].path.value'],
  [limitPolicy({ targetRefs: [target], scope: 'Global', limits: [{ requests: 1, period: '1s' }] }), 'spec.scope'],
  [limitPolicy({ targetRefs: [target], onStoreFailure: 'Allow', limits: [{ requests: 1, period: '1s' }] }), 'spec.onStoreFailure'],
  [limit({ period: '1s', when: 'true' }), 'spec.limits[0].when'],
  [limit({ period: '1s', cost: '1' }), 'spec.limits[0].cost'],
  ...['Claim', 'Consumer', 'Expression'].map((type) => [limit({ period: '1s', key: [{ type }] }), 'spec.limits[0].key[0].type'] as const),
  ...['sessionAffinity', 'healthCheck', 'circuitBreaker', 'protocol', 'tls', 'proxyProtocol'].map(
    (name) => [backendPolicy({ [name]: {} }), `spec.${name}`] as const,
  ),
  ...['slowStart', 'zoneAware'].map((name) => [backendPolicy({ loadBalancer: { [name]: true } }), `spec.loadBalancer.${name}`] as const),
];

describe('what comes in a later version is refused, not ignored', () => {
  for (const [raw, field] of LATER) {
    test(`${raw.kind} ${field}`, () => {
      const problems = decode(raw)?.problems ?? [];
      const found = problems.find((problem) => problem.field === field);
      assert.match(found?.message ?? '', /not supported in this version$/, JSON.stringify(problems));
      assert.equal(found?.reason, 'UnsupportedValue');
      assert.equal(decode(raw)?.object, undefined);
    });
  }
});

describe('what is none of ours is passed over', () => {
  for (const [apiVersion, kind] of [
    ['apps/v1', 'Deployment'],
    ['v1', 'ConfigMap'],
    ['v1', 'Namespace'],
    ['v1', 'ServiceAccount'],
    ['v1', 'Endpoints'],
    ['networking.k8s.io/v1', 'NetworkPolicy'],
    ['serving.knative.dev/v1', 'Service'],
    ['kuadrant.io/v1', 'AuthPolicy'],
    ['kustomize.config.k8s.io/v1beta1', 'Kustomization'],
    ['gateway.networking.k8s.io/v1', 'HTTPRoute'],
  ]) {
    test(`${apiVersion} ${kind}`, () => assert.equal(decode({ apiVersion, kind, metadata, nonsense: true }), undefined));
  }
});

describe('normal form', () => {
  test('ApiRoute: defaults are filled, durations are milliseconds, header names in lower case', () => {
    const decoded = decode(
      route({
        hostnames: ['*.example.com'],
        tls: {},
        rules: [
          {
            matches: [{ headers: [{ name: 'X-Tenant', value: 'a' }], cookies: [{ name: 'C', type: 'Present' }] }],
            filters: { requestRedirect: {}, responseHeaderModifier: { remove: ['Server'] } },
            timeouts: { request: '1m30s', idle: '0s' },
          },
          { backendRefs },
        ],
      }),
    );
    assert.deepEqual(decoded?.problems, []);
    assert.deepEqual(decoded?.object, {
      apiVersion: 'tidegate.dev/v1alpha1',
      kind: 'ApiRoute',
      metadata: { name: 'x', namespace: 'shop', annotations: {}, labels: {} },
      spec: {
        hostnames: ['*.example.com'],
        tls: { redirect: false },
        rules: [
          {
            matches: [
              {
                path: { type: 'PathPrefix', value: '/' },
                methods: [],
                headers: [{ name: 'x-tenant', type: 'Exact', value: 'a' }],
                queryParams: [],
                cookies: [{ name: 'C', type: 'Present', value: '' }],
                clientCIDRs: [],
              },
            ],
            filters: { requestRedirect: { statusCode: 302 }, responseHeaderModifier: { set: [], add: [], remove: ['server'] } },
            timeouts: { request: 90_000, idle: 0 },
            backendRefs: [],
          },
          {
            matches: [{ path: { type: 'PathPrefix', value: '/' }, methods: [], headers: [], queryParams: [], cookies: [], clientCIDRs: [] }],
            filters: {},
            timeouts: {},
            backendRefs: [{ name: 's', port: 80, weight: 1, backup: false, filters: {} }],
          },
        ],
      },
    });
  });

  test('RateLimitPolicy: burst by algorithm, group by kind', () => {
    const object = decode(
      limitPolicy({
        targetRefs: [{ kind: 'Ingress', name: 'i', sectionName: '0' }],
        limits: [
          { requests: 5, period: '1m', key: [{ type: 'Header', name: 'X-A' }] },
          { requests: 5, period: '1m', algorithm: 'LeakyBucket' },
          { name: 'quota', requests: 5, calendar: 'Month', algorithm: 'FixedWindow', mode: 'Shadow' },
        ],
      }),
    )?.object as { spec: unknown };
    assert.deepEqual(object.spec, {
      targetRefs: [{ group: 'networking.k8s.io', kind: 'Ingress', name: 'i', sectionName: '0' }],
      scope: 'Local',
      limits: [
        { algorithm: 'TokenBucket', requests: 5, period: 60_000, burst: 5, key: [{ type: 'Header', name: 'x-a' }], mode: 'Enforce' },
        { algorithm: 'LeakyBucket', requests: 5, period: 60_000, burst: 0, key: [], mode: 'Enforce' },
        { name: 'quota', algorithm: 'FixedWindow', requests: 5, period: 0, calendar: 'Month', burst: 0, key: [], mode: 'Shadow' },
      ],
    });
  });

  test('BackendPolicy: the defaults of the reference', () => {
    const object = decode(backendPolicy({}))?.object as { spec: unknown };
    assert.deepEqual(object.spec, {
      targetRefs: [{ group: '', kind: 'Service', name: 's' }],
      loadBalancer: { type: 'RoundRobin' },
      connection: { connectTimeout: 5000, idleTimeout: 60_000, maxRequests: 0 },
    });
  });

  test('EndpointSlice: unknown conditions count as ready', () => {
    const object = decode(
      slice({ endpoints: [{ addresses: ['10.0.0.1'] }, { addresses: ['10.0.0.2'], conditions: { ready: false, serving: true, terminating: true } }] }),
    )?.object as { endpoints: readonly Fields[] };
    assert.deepEqual(
      object.endpoints.map(({ conditions }) => conditions),
      [
        { ready: true, serving: true, terminating: false },
        { ready: false, serving: true, terminating: true },
      ],
    );
  });

  test('Ingress: an absent path of type ImplementationSpecific is every path', () => {
    const object = decode(path({ path: undefined, pathType: 'ImplementationSpecific' }))?.object as {
      spec: { rules: readonly { paths: readonly Fields[] }[] };
    };
    assert.equal(object.spec.rules[0]?.paths[0]?.path, '/');
  });

  test('null is the same as absent, as in Kubernetes, and the namespace is default', () => {
    const raw = { ...path({}), metadata: { name: 'x', annotations: null, labels: null }, status: null };
    const decoded = decode(raw);
    assert.deepEqual(decoded?.problems, []);
    assert.equal(decoded?.namespace, 'default');
    assert.equal(raw.metadata.annotations, null, 'what was read is not changed');
  });

  test('an IngressClass has no namespace, whatever it says', () => {
    const decoded = decode({ apiVersion: 'networking.k8s.io/v1', kind: 'IngressClass', metadata: { name: 'a', namespace: 'b' }, spec: { controller: 'c' } });
    assert.deepEqual([decoded?.namespace, decoded?.problems], ['', []]);
  });

  test('every field of the Kubernetes kinds is known', () => {
    const full = service({
      ...{ type: 'LoadBalancer', clusterIP: '10.0.0.1', clusterIPs: [], selector: { a: 'b' }, externalIPs: [], sessionAffinity: 'None' },
      ...{ sessionAffinityConfig: {}, loadBalancerIP: '', loadBalancerSourceRanges: [], externalTrafficPolicy: 'Local', healthCheckNodePort: 1 },
      ...{ publishNotReadyAddresses: false, ipFamilies: [], ipFamilyPolicy: 'SingleStack', allocateLoadBalancerNodePorts: true },
      ...{ loadBalancerClass: 'a', internalTrafficPolicy: 'Cluster', trafficDistribution: 'PreferClose' },
      ports: [{ name: 'a', protocol: 'TCP', appProtocol: 'http', port: 80, targetPort: 'web', nodePort: 30000 }],
    });
    assert.deepEqual(decode({ ...full, status: { loadBalancer: {} } })?.problems, []);
  });

  test('__proto__ is a field like any other, and unknown', () => {
    const raw = JSON.parse('{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":80}],"__proto__":{"x":1}}}') as unknown;
    assert.deepEqual(
      decode(raw)?.problems.map(({ field }) => field),
      ['spec.__proto__'],
    );
  });
});

describe('Secret', () => {
  const read = (file: string): string => readFileSync(join(import.meta.dirname, '../wire/testdata', file), 'utf8');
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const secret = (fields: Fields): Fields => ({ apiVersion: 'v1', kind: 'Secret', metadata, type: 'kubernetes.io/tls', ...fields });
  const good = secret({ data: { 'tls.crt': base64(read('rsa.crt')), 'tls.key': base64(read('rsa.key')) } });
  const tlsOf = (raw: unknown, now?: number) =>
    (decode(raw, now === undefined ? {} : { now })?.object as { tls?: { keyType: string; dnsNames: string[]; chain: string } } | undefined)?.tls;

  test('a pair, from data or stringData', () => {
    assert.equal(tlsOf(good)?.keyType, 'RSA');
    assert.deepEqual(tlsOf(good)?.dnsNames, ['rsa.test', 'localhost']);
    const plain = tlsOf(secret({ stringData: { 'tls.crt': `about it\n${read('ecdsa.crt')}`, 'tls.key': read('ecdsa.key') } }));
    assert.equal(plain?.keyType, 'ECDSA');
    assert.match(plain?.chain ?? '', /^-----BEGIN/);
  });

  test('stringData wins over data, and base64 may be broken into lines', () => {
    const crossed = secret({
      data: { 'tls.crt': base64(read('rsa.crt')).replace(/.{64}/g, '$&\n'), 'tls.key': base64(read('ecdsa.key')) },
      stringData: { 'tls.key': read('rsa.key') },
    });
    assert.equal(tlsOf(crossed)?.keyType, 'RSA');
  });

  test('no key shows in what is printed', () => {
    const text = `${JSON.stringify(decode(good))} ${Object.values(decode(good) ?? {}).join(' ')}`;
    assert.doesNotMatch(text, /PRIVATE/);
    assert.match(text, /redacted/);
  });

  const bad: readonly (readonly [string, Fields, string, RegExp])[] = [
    ['no certificate', { data: { 'tls.key': base64(read('rsa.key')) } }, 'data["tls.crt"]', /needs "tls.crt"/],
    ['no key', { data: { 'tls.crt': base64(read('rsa.crt')) } }, 'data["tls.key"]', /needs "tls.key"/],
    ['no base64', { data: { 'tls.crt': '-----', 'tls.key': base64('x') } }, 'data["tls.crt"]', /not base64/],
    ['no PEM', { data: { 'tls.crt': base64('hello'), 'tls.key': base64(read('rsa.key')) } }, 'data["tls.crt"]', /no PEM certificate/],
    [
      'a broken certificate',
      { stringData: { 'tls.crt': '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', 'tls.key': 'x' } },
      'stringData["tls.crt"]',
      /certificate 1/,
    ],
    ['a broken key', { stringData: { 'tls.crt': read('rsa.crt'), 'tls.key': 'x' } }, 'stringData["tls.key"]', /no private key/],
    ["another certificate's key", { stringData: { 'tls.crt': read('rsa.crt'), 'tls.key': read('ecdsa.key') } }, 'stringData["tls.key"]', /does not match/],
    ['a number', { stringData: { 'tls.crt': 123_456, 'tls.key': 'x' } }, 'stringData["tls.crt"]', /must be a string, not a number/],
  ];
  for (const [what, fields, field, message] of bad) {
    test(what, () => {
      const decoded = decode(secret(fields));
      assert.deepEqual(
        decoded?.problems.map((problem) => problem.field),
        [field],
      );
      assert.match(decoded?.problems[0]?.message ?? '', message);
      assert.doesNotMatch(JSON.stringify(decoded?.problems), /123456/);
      assert.equal(decoded?.object, undefined);
    });
  }

  test('a key that no TLS library takes: RSA of 1024 bits', () => {
    const decoded = decode(
      secret({ stringData: { 'tls.crt': read('../../resources/testdata/rsa-1024.crt'), 'tls.key': read('../../resources/testdata/rsa-1024.key') } }),
    );
    assert.deepEqual(
      decoded?.problems.map(({ field, message }) => [field, message]),
      [['stringData["tls.crt"]', 'no TLS with this certificate and key: ee key too small']],
    );
  });

  test('a chain in the wrong order is told so', () => {
    const decoded = decode(secret({ stringData: { 'tls.crt': read('ecdsa.crt') + read('rsa.crt'), 'tls.key': read('rsa.key') } }));
    assert.match(decoded?.problems[0]?.hint ?? '', /leaf certificate first/);
  });

  test('expired, or not valid yet: a warning, by the time given', () => {
    const problems = (now?: number) => decode(good, now === undefined ? {} : { now })?.problems.map(({ severity, message }) => `${severity} ${message}`);
    assert.deepEqual(problems(), []);
    assert.deepEqual(problems(Date.parse('2100-01-01')), []);
    assert.match(problems(Date.parse('2200-01-01'))?.[0] ?? '', /^warning the certificate expired at 2126-/);
    assert.match(problems(0)?.[0] ?? '', /^warning the certificate is not valid before 2026-/);
    assert.ok(decode(good, { now: 0 })?.object, 'it serves all the same');
  });

  test('a Secret of another type is taken, whatever it holds', () => {
    assert.deepEqual(decode(secret({ type: 'Opaque', data: { a: 'AAEC' } }))?.problems, []);
  });
});

test('a rule that answers nothing is taken, with a warning', () => {
  const decoded = decode(route({ rules: [{}] }));
  assert.ok(decoded?.object);
  assert.deepEqual(
    decoded.problems.map(({ severity, field }) => [severity, field]),
    [['warning', 'spec.rules[0].backendRefs']],
  );
});

test('parameters of our IngressClass are told to mean nothing, those of others are none of ours', () => {
  const ingressClass = (controller: string): Fields => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'IngressClass',
    metadata: { name: 'a' },
    spec: { controller, parameters: { kind: 'A', name: 'b' } },
  });
  assert.match(decode(ingressClass('tidegate.dev/ingress-controller'))?.problems[0]?.message ?? '', /no parameters/);
  assert.deepEqual(decode(ingressClass('example.com/other'))?.problems, []);
});

test('all problems of an object are told at once', () => {
  const decoded = decode(route({ hostname: 'x', rules: [{ filters: { cors: {} }, timeouts: { request: '1' }, backendRefs: [{ name: 'S', port: 80 }] }] }));
  assert.deepEqual(decoded?.problems.map(({ field }) => field).sort(), [
    'spec.hostname',
    'spec.rules[0].backendRefs[0].name',
    'spec.rules[0].filters.cors',
    'spec.rules[0].timeouts.request',
  ]);
});

test('whatever stands where, there is an object or a problem that names a field', () => {
  const good = [
    route({
      hostnames: ['a.example'],
      tls: {},
      rules: [
        {
          matches: [{ headers: [{ name: 'a', value: 'b' }] }],
          filters: { urlRewrite: { path: { type: 'ReplaceFullPath', value: '/' } } },
          timeouts: { request: '1s' },
          backendRefs,
        },
      ],
    }),
    limit({ period: '1s', key: [{ type: 'Header', name: 'a' }] }),
    backendPolicy({ loadBalancer: { type: 'ConsistentHash', consistentHash: { type: 'Path' } }, connection: {} }),
    path({}),
    service({ ports: [{ port: 80 }] }),
    slice({ endpoints: [{ addresses: ['10.0.0.1'], conditions: {} }], ports: [{ port: 80 }] }),
    { apiVersion: 'v1', kind: 'Secret', metadata, type: 'kubernetes.io/tls', data: {}, stringData: { 'tls.crt': 'x', 'tls.key': 'y' } },
  ];
  /** Puts `value` at a place in a copy of `node` that the numbers lead to. */
  const replaced = (node: unknown, way: readonly number[], value: unknown): unknown => {
    const [step, ...rest] = way;
    if (step === undefined || typeof node !== 'object' || node === null) return value;
    const keys = Object.keys(node);
    const key = keys[step % (keys.length + 1)] ?? 'added';
    const copy = (Array.isArray(node) ? [...node] : { ...node }) as Record<string, unknown>;
    copy[key] = replaced(copy[key], rest, value);
    return copy;
  };
  fc.assert(
    fc.property(fc.constantFrom(...good), fc.array(fc.nat({ max: 9 }), { minLength: 1, maxLength: 9 }), fc.jsonValue({ maxDepth: 2 }), (object, way, value) => {
      const raw = replaced(object, way, value);
      const decoded = decode(raw);
      if (decoded === undefined) return;
      const errors = decoded.problems.filter(({ severity }) => severity === 'error');
      assert.equal(decoded.object === undefined, errors.length > 0);
      for (const { field, message, hint } of decoded.problems) {
        assert.ok(message !== '' && hint !== '', JSON.stringify(decoded.problems));
        assert.equal(fieldPath(parseFieldPath(field)), field);
      }
    }),
    { numRuns: 3000 },
  );
});
