import { backendRefs, route, rule } from './objects.ts';

export type BadObject = readonly [what: string, raw: unknown, field: string, message: RegExp, hint: RegExp];

/** ApiRoutes, each wrong in its hosts, rules, backends or time-outs: the problem names the field, what is wrong, what would be right. */
export const BAD_ROUTES: readonly BadObject[] = [
  ['no rules', route({}), 'spec.rules', /missing/, /list/],
  ['empty rules', route({ rules: [] }), 'spec.rules', /empty/, /at least one/],
  ['rules that are a mapping', route({ rules: {} }), 'spec.rules', /must be a list, not a mapping/, /-/],
  ['host with a port', route({ hostnames: ['a.example:80'], rules: [{ backendRefs }] }), 'spec.hostnames[0]', /not a host name/, /without port/],
  ['host in upper case', route({ hostnames: ['A.example'], rules: [{ backendRefs }] }), 'spec.hostnames[0]', /not a host name/, /write a\.example/],
  ['wildcard inside', route({ hostnames: ['a.*.example'], rules: [{ backendRefs }] }), 'spec.hostnames[0]', /not a host name/, /\*\.example/],
  ['host that is an address', route({ hostnames: ['10.0.0.1'], rules: [{ backendRefs }] }), 'spec.hostnames[0]', /address/, /DNS name/],
  ['null in a list', route({ hostnames: [null], rules: [{ backendRefs }] }), 'spec.hostnames[0]', /must be a string, not null/, /string/],
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
];
