/** tidegate.dev/v1alpha1 ApiRoute. */
import { z } from 'zod';
import { segmentFlaws } from './aggregate.ts';
import { backendFiltersSchema, routeFiltersSchema } from './api-route-filters.ts';
import { passthroughFlaws } from './api-route-passthrough.ts';
import { clientValidation } from './client-validation.ts';
import {
  cidr,
  cookieName,
  dnsLabel,
  dnsSubdomain,
  duration,
  headerName,
  headerValueFlaw,
  hostname,
  method,
  oneOf,
  portReference,
  quote,
  regexFlaw,
  text,
  wholeNumber,
} from './fields.ts';
import { namespacedMetadata, unused } from './metadata.ts';
import { fallbackSchema, hedgeSchema, retrySchema } from './recovery.ts';
import { segmentsOfPath, unnamedSegments } from './segment-names.ts';
import { type Flaw, flaws, strictObject } from './strict-object.ts';

const ATOMIC = { 'x-kubernetes-list-type': 'atomic' };
const BY_NAME = { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] };
export const MAX_RULES = 10_000;

/** In a cluster fewer, since the API server bounds what CEL may cost in the worst case; 1.5 MiB hold not many more. */
const MAX_RULES_IN_CLUSTER = 1000;

const pathMatch = strictObject({
  type: oneOf(['Exact', 'PathPrefix', 'RegularExpression'])
    .default('PathPrefix')
    .describe(
      'Exact: the whole path. PathPrefix: whole elements from the start, so /a takes /a and /a/b and not /ab. RegularExpression: RE2, on the whole path.',
    ),
  value: z
    .string()
    .min(1)
    .max(1024)
    .default('/')
    .describe(
      'What the path is compared with, once it is normalised: dot segments gone, escaped letters plain. In Exact and PathPrefix {name} takes any one element that is not empty, which expressions see as request.path.name.',
    ),
}).superRefine(flaws((path) => pathFlaw(path.type, path.value)));

function pathFlaw(type: string, value: string): Flaw | undefined {
  const path = ['value'];
  if (type === 'RegularExpression') {
    const flaw = regexFlaw(value);
    return flaw === undefined ? undefined : { ...flaw, path };
  }
  if (!value.startsWith('/')) return { message: `${quote(value)} does not begin with /`, hint: `write /${value}`, path };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  if (/[?#\u0000-\u0020\u007f]/.test(value))
    return { message: `${quote(value)} has a character that no path has (?, #, a space or control character)`, hint: 'write a path alone', path };
  if (/%(?![0-9A-Fa-f]{2})/.test(value)) return { message: `${quote(value)} has a % that escapes nothing`, hint: 'write %25 for a percent sign', path };
  if (/%(2f|5c|00)/i.test(value))
    return { message: `${quote(value)} has an encoded slash, backslash or NUL; requests with one are refused`, hint: 'write a path without it', path };
  const flaw = segmentFlaw(value);
  return flaw === undefined ? undefined : { ...flaw, path };
}

/** Words that CEL keeps for itself: `request.path.in` would not parse. */
const RESERVED = new Set('as break const continue else false for function if import in let loop namespace null package return true var void while'.split(' '));

/** Of segments that a path names, as in `/users/{id}`. */
function segmentFlaw(value: string): Flaw | undefined {
  const seen = new Set<string>();
  for (const element of value.split('/')) {
    if (!/[{}]/.test(element)) continue;
    const name = /^\{([^{}]*)\}$/.exec(element)?.[1];
    if (name === undefined) {
      return { message: `${quote(element)} has a brace, and is no named segment`, hint: 'write {name} for a whole segment, %7B and %7D for braces' };
    }
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(name) || RESERVED.has(name)) {
      return { message: `${quote(name)} cannot be the name of a path segment`, hint: 'write letters, digits and _, as in {user_id}, and no word of CEL' };
    }
    if (seen.has(name)) return { message: `the path segment ${quote(name)} is there twice`, hint: 'give each segment a name of its own' };
    seen.add(name);
  }
  return undefined;
}

/** A header, query parameter or cookie that a request must have. */
function fieldMatch(name: z.ZodType<string, string>, valueFlaw: (value: string) => Flaw | undefined) {
  return strictObject(
    {
      name: name.describe('Name of what is compared.'),
      type: oneOf(['Exact', 'RegularExpression', 'Present']).default('Exact').describe('How value is compared; Present takes no value.'),
      value: z.string().max(4096).exactOptional().describe('What all of its value is compared with: text for Exact, an RE2 expression for RegularExpression.'),
    },
    {
      cel: [{ rule: "has(self.value) != (has(self.type) && self.type == 'Present')", message: 'Present takes no value, the other types need one' }],
    },
  )
    .superRefine(
      flaws((match) => {
        if (match.type === 'Present') {
          return match.value === undefined
            ? undefined
            : { message: 'type Present takes no value', hint: 'leave value out, or use type Exact', path: ['value'] };
        }
        if (match.value === undefined) return { message: 'value is missing', hint: 'write the value to match, or type: Present', path: ['value'] };
        const flaw = match.type === 'RegularExpression' ? regexFlaw(match.value) : valueFlaw(match.value);
        return flaw === undefined ? undefined : { ...flaw, path: ['value'] };
      }),
    )
    .transform((match) => ({ name: match.name, type: match.type, value: match.value ?? '' }));
}

/** Query values are percent-decoded before they are compared, and so may hold anything. */
const anyText = (): undefined => undefined;

const queryParamName = text(
  (value) => {
    if (value === '') return { message: 'the name is empty', hint: 'write the name of the query parameter' };
    return value.length <= 256 ? undefined : { message: 'the name is too long', hint: 'keep it within 256 characters' };
  },
  { minLength: 1, maxLength: 256 },
);

function unique<T extends { readonly name: string }>(what: string) {
  return flaws((list: readonly T[]) => {
    const seen = new Set<string>();
    const found: Flaw[] = [];
    for (const [index, { name }] of list.entries()) {
      if (seen.has(name))
        found.push({
          message: `the ${what} ${quote(name)} is there twice`,
          hint: 'all parts of a match must hold: keep one, or write another match',
          path: [index, 'name'],
        });
      seen.add(name);
    }
    return found;
  });
}

export const ROOT_PREFIX = { type: 'PathPrefix' as const, value: '/' };

const match = strictObject({
  path: pathMatch.default(ROOT_PREFIX).describe('What the path must be. Absent: every path.'),
  methods: z.array(method).max(32).default([]).describe('Any of these methods, such as GET. Absent: every method.').meta(ATOMIC),
  headers: z
    .array(fieldMatch(headerName, headerValueFlaw))
    .max(16)
    .superRefine(unique('header'))
    .default([])
    .describe('The request has all of these headers. Of a header that is repeated, one value must fit.')
    .meta(BY_NAME),
  queryParams: z
    .array(fieldMatch(queryParamName, anyText))
    .max(16)
    .superRefine(unique('query parameter'))
    .default([])
    .describe('The request has all of these query parameters. Of one that is repeated, the first counts.')
    .meta(BY_NAME),
  cookies: z
    .array(fieldMatch(cookieName, headerValueFlaw))
    .max(16)
    .superRefine(unique('cookie'))
    .default([])
    .describe('The request has all of these cookies.')
    .meta(BY_NAME),
  clientCIDRs: z
    .array(cidr)
    .max(1024)
    .default([])
    .describe("The client's address is in one of these, such as 10.0.0.0/8 or one address. Absent: every address.")
    .meta(ATOMIC),
  scheme: oneOf(['http', 'https']).exactOptional().describe('The scheme of the request. Absent: both.'),
});

/** What a rule without matches matches. */
const MATCH_ALL: z.output<typeof match> = { path: ROOT_PREFIX, methods: [], headers: [], queryParams: [], cookies: [], clientCIDRs: [] };

const backendRef = strictObject({
  name: dnsLabel.describe('Name of a Service.'),
  namespace: dnsLabel.exactOptional().describe("Its namespace, where a ReferenceGrant must allow the reference. Absent: the route's own."),
  port: portReference.describe("The Service's port, by number or by name."),
  weight: wholeNumber({ min: 0, max: 1_000_000 })
    .default(1)
    .describe('Its share among the backendRefs: of 90 and 10, the second gets one request in ten. 0 gets nothing.'),
  backup: z.boolean().default(false).describe('Only used when no other backendRef has a healthy endpoint.'),
  filters: backendFiltersSchema.default({}).describe('Header modifiers for this backend alone.'),
});

const timeouts = strictObject(
  {
    request: duration().exactOptional().describe("From the head's first byte to the answer's last, and for how long a WebSocket may live; 0s: none."),
    backendRequest: duration().exactOptional().describe('One try, until its response head; 0s: none.'),
    idle: duration().exactOptional().describe('Without a byte in either direction; 0s: none.'),
  },
  {
    cel: [
      {
        rule: "!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s') && duration(self.backendRequest) > duration(self.request))",
        message: 'backendRequest cannot be longer than request',
      },
    ],
  },
).superRefine(
  flaws((value) =>
    value.request && value.backendRequest !== undefined && value.backendRequest > value.request
      ? { message: 'backendRequest is longer than request', hint: 'make it at most as long: request bounds all tries together', path: ['backendRequest'] }
      : undefined,
  ),
);

const priority = oneOf(['Low', 'Normal', 'High'])
  .exactOptional()
  .describe('When the gateway has more requests than it can serve, Low is refused first and High last. Absent: Normal.');

const rule = strictObject({
  name: dnsSubdomain.exactOptional().describe('Name of the rule, for policies (sectionName), metrics and logs; unique in the route.'),
  matches: z.array(match).max(64).default([]).describe('The rule takes a request that fits any of these. Absent: every request.').meta(ATOMIC),
  filters: routeFiltersSchema.default({}).describe("What is done with the request and its answer. The order is the gateway's, not that of the fields."),
  timeouts: timeouts.default({}).describe('How long things may take; a request that takes longer gets 504.'),
  priority,
  retry: retrySchema.exactOptional(),
  hedge: hedgeSchema.exactOptional(),
  fallback: fallbackSchema.exactOptional(),
  backendRefs: z
    .array(backendRef)
    .max(64)
    .default([])
    .describe('Where requests go: Services, in proportion to their weights. May be absent when a filter answers.')
    .meta(ATOMIC),
})
  .transform((value) => ({
    ...value,
    // An empty list of matches matches every request, as in Gateway API.
    matches: value.matches.length > 0 ? value.matches : [MATCH_ALL],
  }))
  .superRefine(
    flaws((value) => {
      const found: Flaw[] = [];
      for (const filter of ['urlRewrite', 'requestRedirect'] as const) {
        if (value.filters[filter]?.path?.type !== 'ReplacePrefixMatch') continue;
        if (value.matches.every((one) => one.path.type === 'PathPrefix')) continue;
        found.push({
          message: 'ReplacePrefixMatch needs a prefix, and the rule has a match whose path is none',
          hint: 'match by PathPrefix, or use ReplaceFullPath or ReplaceRegex',
          path: ['filters', filter, 'path', 'type'],
        });
      }
      const { aggregate } = value.filters;
      const segments = value.matches.map(({ path }) => (path.type === 'RegularExpression' ? new Set<string>() : segmentsOfPath(path.value)));
      found.push(...unnamedSegments(value, new Set(segments.flatMap((names) => [...names]))));
      if (aggregate !== undefined) {
        for (const flaw of segmentFlaws(aggregate, segments)) found.push({ ...flaw, path: ['filters', 'aggregate', ...(flaw.path ?? [])] });
      }
      return found;
    }),
  );

const spec = strictObject(
  {
    ingressClassName: dnsSubdomain
      .exactOptional()
      .describe("The IngressClass of the gateway that is to serve the route. Absent: taken when Tidegate's class is the default one, or has no rival."),
    hostnames: z
      .array(hostname)
      .max(1024)
      .default([])
      .describe('Hosts that the route is for, such as shop.example.com. "*.example.com" covers any number of labels. Absent: any host.')
      .meta(ATOMIC),
    tls: strictObject({
      secretName: dnsSubdomain.exactOptional().describe('Secret of type kubernetes.io/tls in the same namespace; absent: the default certificate.'),
      redirect: z.boolean().default(false).describe('Send requests by HTTP to HTTPS, with 308.'),
      mode: oneOf(['Terminate', 'Passthrough'])
        .default('Terminate')
        .describe(
          'Terminate: TLS ends at the gateway. Passthrough: connections go to the backendRefs of the only rule as they are, by the server name that the client asks for; nothing in them is seen.',
        ),
      clientValidation: clientValidation
        .exactOptional()
        .describe('Clients are asked for a certificate. It holds for the hostnames, so routes that share one share it; by plain HTTP nothing is served.'),
    })
      .exactOptional()
      .describe('TLS for the hostnames. Absent: they answer on HTTPS under the default certificate.'),
    priority: priority.describe('That of the rules which name none.'),
    rules: z
      .array(rule)
      .min(1)
      .max(MAX_RULES)
      .describe(
        'What is served, and how. Of all rules of all routes the most specific one takes a request, whatever their order: an exact host before a wildcard; then path Exact, the longest PathPrefix, RegularExpression; of paths with as many elements the one that says first what another one names; then one with methods, more headers, more query parameters, more cookies; then the oldest object, then the order of rules.',
      )
      .meta({ ...ATOMIC, maxItems: MAX_RULES_IN_CLUSTER }),
  },
  {
    cel: [
      {
        rule: "!has(self.tls) || !has(self.tls.mode) || self.tls.mode != 'Passthrough' || (has(self.hostnames) && size(self.hostnames) > 0 && size(self.rules) == 1 && !has(self.tls.secretName) && (!has(self.tls.redirect) || !self.tls.redirect) && !has(self.rules[0].matches) && !has(self.rules[0].filters) && has(self.rules[0].backendRefs) && size(self.rules[0].backendRefs) > 0 && self.rules[0].backendRefs.all(b, !has(b.filters)))",
        message:
          'with tls.mode Passthrough there are hostnames, one rule with backendRefs, and nothing that looks into requests: no secretName, redirect, matches or filters',
      },
    ],
  },
).superRefine(
  flaws((value) => {
    const found: Flaw[] = value.tls?.mode === 'Passthrough' ? passthroughFlaws(value, MATCH_ALL) : [];
    const names = new Map<string, number>();
    for (const [index, { name }] of value.rules.entries()) {
      if (name === undefined) continue;
      const first = names.get(name);
      if (first !== undefined)
        found.push({
          message: `the rule name ${quote(name)} is taken by rule ${first}`,
          hint: 'give each rule a name of its own',
          path: ['rules', index, 'name'],
        });
      else names.set(name, index);
      // A rule without a name goes by its index.
      const other = /^(0|[1-9][0-9]*)$/.test(name) && Number(name) !== index ? value.rules[Number(name)] : undefined;
      if (other !== undefined && other.name === undefined) {
        found.push({
          message: `the rule name ${quote(name)} is the index of another rule, which has no name`,
          hint: 'use a name with a letter',
          path: ['rules', index, 'name'],
        });
      }
    }
    return found;
  }),
);

export const apiRouteSchema = strictObject({
  apiVersion: z.literal('tidegate.dev/v1alpha1'),
  kind: z.literal('ApiRoute'),
  metadata: namespacedMetadata(),
  spec,
  status: unused,
});

export type ApiRoute = z.output<typeof apiRouteSchema>;
export type ApiRouteRule = ApiRoute['spec']['rules'][number];
