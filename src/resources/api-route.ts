/** tidegate.dev/v1alpha1 ApiRoute. */
import { z } from 'zod';
import { backendFiltersSchema, routeFiltersSchema } from './api-route-filters.ts';
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
import { type Flaw, flaws, strictObject } from './strict-object.ts';

const ATOMIC = { 'x-kubernetes-list-type': 'atomic' };
const BY_NAME = { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] };
export const MAX_RULES = 10_000;

/** In a cluster fewer, since the API server bounds what CEL may cost in the worst case; 1.5 MiB hold not many more. */
const MAX_RULES_IN_CLUSTER = 1000;

const pathMatch = strictObject({
  type: oneOf(['Exact', 'PathPrefix', 'RegularExpression'])
    .default('PathPrefix')
    .describe('Exact: the whole path; PathPrefix: whole elements from the start; RegularExpression: RE2, on the whole path.'),
  value: z.string().min(1).max(1024).default('/').describe('What the path is compared with.'),
}).superRefine(flaws((path) => pathFlaw(path.type, path.value)));

function pathFlaw(type: string, value: string): Flaw | undefined {
  const path = ['value'];
  if (type === 'RegularExpression') {
    const flaw = regexFlaw(value);
    return flaw === undefined ? undefined : { ...flaw, path };
  }
  if (!value.startsWith('/')) return { message: `${quote(value)} does not begin with /`, hint: `write /${value}`, path };
  if (/\{[^/]*\}/.test(value))
    return {
      reason: 'UnsupportedValue',
      message: 'named path segments are not supported in this version',
      hint: 'use type RegularExpression, or a shorter prefix',
      path,
    };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  if (/[?#\u0000-\u0020\u007f]/.test(value))
    return { message: `${quote(value)} has a character that no path has (?, #, a space or control character)`, hint: 'write a path alone', path };
  if (/%(?![0-9A-Fa-f]{2})/.test(value)) return { message: `${quote(value)} has a % that escapes nothing`, hint: 'write %25 for a percent sign', path };
  if (/%(2f|5c|00)/i.test(value))
    return { message: `${quote(value)} has an encoded slash, backslash or NUL; requests with one are refused`, hint: 'write a path without it', path };
  return undefined;
}

/** A header, query parameter or cookie that a request must have. */
function fieldMatch(name: z.ZodType<string, string>, valueFlaw: (value: string) => Flaw | undefined) {
  return strictObject(
    {
      name: name.describe('Its name.'),
      type: oneOf(['Exact', 'RegularExpression', 'Present']).default('Exact').describe('How value is compared; Present takes no value.'),
      value: z.string().max(4096).exactOptional().describe('What it is compared with: all of it.'),
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

const queryParamName = text((value) => (value.length <= 256 ? undefined : { message: 'the name is too long', hint: 'keep it within 256 characters' }), {
  minLength: 1,
  maxLength: 256,
});

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
  path: pathMatch.default(ROOT_PREFIX).describe('Absent: every path.'),
  methods: z.array(method).max(32).default([]).describe('Any of these methods; absent: every method.').meta(ATOMIC),
  headers: z.array(fieldMatch(headerName, headerValueFlaw)).max(16).superRefine(unique('header')).default([]).describe('All of these headers.').meta(BY_NAME),
  queryParams: z
    .array(fieldMatch(queryParamName, anyText))
    .max(16)
    .superRefine(unique('query parameter'))
    .default([])
    .describe('All of these query parameters.')
    .meta(BY_NAME),
  cookies: z.array(fieldMatch(cookieName, headerValueFlaw)).max(16).superRefine(unique('cookie')).default([]).describe('All of these cookies.').meta(BY_NAME),
  clientCIDRs: z.array(cidr).max(1024).default([]).describe("The client's address is in one of these; absent: every address.").meta(ATOMIC),
  scheme: oneOf(['http', 'https']).exactOptional().describe('Absent: both.'),
});

const backendRef = strictObject({
  name: dnsLabel.describe('Name of a Service.'),
  namespace: dnsLabel.exactOptional().describe("Its namespace; absent: the route's own."),
  port: portReference.describe("The Service's port, by number or by name."),
  weight: wholeNumber({ min: 0, max: 1_000_000 }).default(1).describe('Its share among the backendRefs; 0 gets nothing.'),
  backup: z.boolean().default(false).describe('Only used when no other backendRef has a healthy endpoint.'),
  filters: backendFiltersSchema.default({}).describe('Header modifiers for this backend alone.'),
});

const timeouts = strictObject(
  {
    request: duration().exactOptional().describe("From the head's first byte to the answer's last; 0s: none."),
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

/** Fields of a rule that come in later versions. */
const LATER_RULE_FIELDS = ['retry', 'hedge', 'fallback', 'priority'];

const rule = strictObject(
  {
    name: dnsSubdomain.exactOptional().describe('Name of the rule, for policies (sectionName), metrics and logs; unique in the route.'),
    matches: z.array(match).max(64).default([]).describe('Any of these; absent: every request.').meta(ATOMIC),
    filters: routeFiltersSchema.default({}).describe("What is done with the request; the order is the gateway's."),
    timeouts: timeouts.default({}).describe('How long things may take.'),
    backendRefs: z.array(backendRef).max(64).default([]).describe('Where requests go, by weight.').meta(ATOMIC),
  },
  { later: LATER_RULE_FIELDS },
)
  .transform((value) => ({
    ...value,
    // An empty list of matches matches every request, as in Gateway API.
    matches: value.matches.length > 0 ? value.matches : [{ path: ROOT_PREFIX, methods: [], headers: [], queryParams: [], cookies: [], clientCIDRs: [] }],
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
      return found;
    }),
  );

const spec = strictObject(
  {
    ingressClassName: dnsSubdomain.exactOptional().describe("Absent: taken when Tidegate's class is the default one, or has no rival."),
    hostnames: z.array(hostname).max(1024).default([]).describe('Absent: any host. "*.x" covers any number of labels.').meta(ATOMIC),
    tls: strictObject(
      {
        secretName: dnsSubdomain.exactOptional().describe('Secret of type kubernetes.io/tls in the same namespace; absent: the default certificate.'),
        redirect: z.boolean().default(false).describe('Send HTTP to HTTPS with 308.'),
      },
      { later: ['mode', 'clientValidation'] },
    )
      .exactOptional()
      .describe('TLS for the hostnames.'),
    rules: z
      .array(rule)
      .min(1)
      .max(MAX_RULES)
      .describe('The first by precedence that matches a request serves it.')
      .meta({ ...ATOMIC, maxItems: MAX_RULES_IN_CLUSTER }),
  },
  { later: ['priority'] },
).superRefine(
  flaws((value) => {
    const found: Flaw[] = [];
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
