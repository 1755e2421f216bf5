import type { BadObject } from './bad-routes.ts';
import { backendRefs, match, route } from './objects.ts';

/** ApiRoutes, each wrong in one of its matches. */
export const BAD_MATCHES: readonly BadObject[] = [
  ['path without slash', match({ path: { value: 'orders' } }), 'spec.rules[0].matches[0].path.value', /does not begin with/, /write \/orders/],
  ['path with a query', match({ path: { value: '/a?b=c' } }), 'spec.rules[0].matches[0].path.value', /no path has/, /./],
  ['path with a stray escape', match({ path: { value: '/a%zz' } }), 'spec.rules[0].matches[0].path.value', /escapes nothing/, /%25/],
  ['path with an encoded slash', match({ path: { value: '/a%2Fb' } }), 'spec.rules[0].matches[0].path.value', /encoded slash/, /without/],
  ...(
    [
      ['/users/{id}.json', /"\{id\}\.json" has a brace/, /whole segment/],
      ['/users/{', /has a brace/, /%7B/],
      ['/users/{}', /"" cannot be the name/, /user_id/],
      ['/users/{a-b}', /"a-b" cannot be the name/, /letters, digits/],
      ['/users/{in}', /"in" cannot be the name/, /word of CEL/],
      ['/{id}/{id}', /"id" is there twice/, /of its own/],
    ] as const
  ).map(([value, message, hint]): BadObject => [`path ${value}`, match({ path: { value } }), 'spec.rules[0].matches[0].path.value', message, hint]),
  ...(
    [
      ['filters.requestHeaderModifier.set[0].expression', { filters: { requestHeaderModifier: { set: [{ name: 'x-a', expression: 'request.path.id' }] } } }],
      ['filters.responseHeaderModifier.add[0].expression', { filters: { responseHeaderModifier: { add: [{ name: 'x-a', expression: 'request.path.id' }] } } }],
      ['filters.transform.request.body', { filters: { transform: { request: { body: "{'id': request.path.id}" } } } }],
      ['filters.transform.response.headers.x-a', { filters: { transform: { response: { headers: { 'x-a': 'request.path.id' } } } } }],
    ] as const
  ).map(([field, rule]): BadObject => {
    const rules = [{ matches: [{ path: { value: '/users/{user}' } }], backendRefs, ...rule }];
    return [`segment that no path names: ${field}`, route({ rules }), `spec.rules[0].${field}`, /no path of the rule has a segment \{id\}/, /name it/];
  }),
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
    'regex with counts that make it huge',
    match({ path: { type: 'RegularExpression', value: '/(([a-z]{1,20}-){1,20}[0-9]{1,9}){1,9}' } }),
    'spec.rules[0].matches[0].path.value',
    /8\d{3} parts when its counts are written out/,
    /4000: write \* or \+/,
  ],
  [
    'regexes of one object that are too much together',
    route({
      rules: Array.from({ length: 13 }, (_, index) => ({
        matches: [{ path: { type: 'RegularExpression', value: `/${index}/[a-z]{1,1000}[a-z]{1,990}` } }],
        backendRefs,
      })),
    }),
    'spec.rules[12].matches[0].path.value',
    /more than 50000 parts together/,
    /fewer or smaller/,
  ],
  [
    'regex of a header too long',
    match({ headers: [{ name: 'a', type: 'RegularExpression', value: 'a'.repeat(1025) }] }),
    'spec.rules[0].matches[0].headers[0].value',
    /1025 characters/,
    /1024/,
  ],
  ['method that is never served', match({ methods: ['GET', 'TRACE'] }), 'spec.rules[0].matches[0].methods[1]', /never served/, /leave it out/],
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
  [
    'query parameter without a name',
    match({ queryParams: [{ name: '', value: 'a' }] }),
    'spec.rules[0].matches[0].queryParams[0].name',
    /name is empty/,
    /name/,
  ],
  ['cookie name', match({ cookies: [{ name: 'a b', value: 'c' }] }), 'spec.rules[0].matches[0].cookies[0].name', /not a cookie name/, /letters/],
  ['CIDR too long', match({ clientCIDRs: ['10.0.0.0/33'] }), 'spec.rules[0].matches[0].clientCIDRs[0]', /not a CIDR/, /10.0.0.0\/8/],
  ['CIDR that is none', match({ clientCIDRs: ['ten'] }), 'spec.rules[0].matches[0].clientCIDRs[0]', /not a CIDR/, /10.0.0.0\/8/],
  ['scheme', match({ scheme: 'ftp' }), 'spec.rules[0].matches[0].scheme', /"ftp" is not one of http, https/, /http/],
];
