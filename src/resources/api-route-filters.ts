/** The filters of an ApiRoute's rule, and the header modifiers of its backendRefs: what users write, and its normal form. */
import { RE2JS } from 're2js';
import { z } from 'zod';
import { requestHead, responseHead } from '../expressions/environments.ts';
import { lookAgain } from '../expressions/pattern-size.ts';
import { aggregateSchema } from './aggregate.ts';
import { compressionSchema, decompressionSchema, errorPagesSchema } from './body-filters.ts';
import { cacheSchema } from './cache.ts';
import { corsSchema } from './cors.ts';
import { expression } from './expression-text.ts';
import {
  BODILESS,
  cidr,
  headerName,
  headerValue,
  headerValueFlaw,
  oneOf,
  portNumber,
  preciseHostname,
  quote,
  regexFlaw,
  replacedPattern,
  text,
  wholeNumber,
} from './fields.ts';
import { grpcJsonSchema } from './grpc-json.ts';
import { ownedFlaw } from './owned-fields.ts';
import { faultInjectionSchema, mirrorSchema } from './recovery.ts';
import { type CelRule, type Flaw, flaws, strictObject } from './strict-object.ts';
import { transformSchema } from './transform.ts';

const headerPair = strictObject({
  name: headerName.describe('Name of the header; case does not matter.'),
  value: headerValue.describe('Value of the header, on one line.'),
});

/** @param cel in lists of lists the API server finds even a short rule too dear: there it is ours alone to judge */
function headerEdit(side: 'request' | 'response', cel: readonly CelRule[]) {
  const environment = side === 'request' ? requestHead : responseHead;
  return strictObject(
    {
      name: headerName.describe('Name of the header; case does not matter.'),
      value: headerValue.exactOptional().describe('Value of the header, on one line. Either this or expression.'),
      expression: expression(environment, 'textOrNull')
        .exactOptional()
        .describe(`CEL for the value: a text or a number; null: no such header. It sees ${[...environment.variables.keys()].join(', ')}.`),
    },
    { cel },
  ).superRefine(
    flaws((edit) => {
      if (edit.value === undefined && edit.expression === undefined)
        return { message: 'value is missing', hint: 'write value, or an expression', path: ['value'] };
      if (edit.value !== undefined && edit.expression !== undefined) {
        return { message: 'expression stands beside value', hint: 'keep one of them', path: ['expression'] };
      }
      return undefined;
    }),
  );
}

function hostFlaw(name: string, path: readonly (string | number)[]): Flaw[] {
  return name === 'host' ? [{ message: 'the Host header is not to be changed here', hint: 'use urlRewrite.hostname', path }] : [];
}

function modifier(side: 'request' | 'response', cel: readonly CelRule[] = []) {
  const edit = headerEdit(side, cel);
  return strictObject({
    set: z
      .array(edit)
      .max(64)
      .default([])
      .describe('Headers that replace those of the same name.')
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] }),
    add: z.array(edit).max(64).default([]).describe('Headers that are added beside those of the same name.').meta({ 'x-kubernetes-list-type': 'atomic' }),
    remove: z.array(headerName).max(64).default([]).describe('Names of headers that are removed.').meta({ 'x-kubernetes-list-type': 'atomic' }),
  }).superRefine(
    flaws((value) => {
      const found: Flaw[] = [];
      const set = new Set<string>();
      const check = (name: string, path: readonly (string | number)[]): void => {
        found.push(...ownedFlaw(name, path));
        if (side === 'request') found.push(...hostFlaw(name, path));
      };
      for (const [index, { name }] of value.set.entries()) {
        check(name, ['set', index, 'name']);
        if (set.has(name)) found.push({ message: `${quote(name)} is set twice`, hint: 'keep one of them', path: ['set', index, 'name'] });
        set.add(name);
      }
      for (const [index, { name }] of value.add.entries()) check(name, ['add', index, 'name']);
      for (const [index, name] of value.remove.entries()) check(name, ['remove', index]);
      return found;
    }),
  );
}

const ONE_OF_BOTH: readonly CelRule[] = [{ rule: 'has(self.value) != has(self.expression)', message: 'a header needs one of value and expression' }];
const REQUEST_MODIFIER = 'Changes the headers of the request before it goes to the backend.';
const RESPONSE_MODIFIER = 'Changes the headers of the answer before it goes to the client.';

export const requestHeaderModifierSchema = modifier('request', ONE_OF_BOTH).describe(REQUEST_MODIFIER);
export const responseHeaderModifierSchema = modifier('response', ONE_OF_BOTH).describe(RESPONSE_MODIFIER);

function replacementFlaw(value: string): Flaw | undefined {
  const control = headerValueFlaw(value);
  if (control !== undefined) return control;
  if (/[?#\s]/.test(value)) return { message: `${quote(value)} has a character that ends a path (?, # or a space)`, hint: 'write a path alone' };
  if (/%(?![0-9A-Fa-f]{2})/.test(value)) return { message: `${quote(value)} has a % that escapes nothing`, hint: 'write %25 for a percent sign' };
  return undefined;
}

const PATH_TYPES = ['ReplacePrefixMatch', 'ReplaceFullPath', 'ReplaceRegex'] as const;

/** How urlRewrite and requestRedirect change the path. */
export const pathRewriteSchema = strictObject(
  {
    type: oneOf(PATH_TYPES).describe('ReplacePrefixMatch: the matched prefix; ReplaceFullPath: the whole path; ReplaceRegex: each match of a pattern.'),
    value: text(replacementFlaw, { maxLength: 1024 }).exactOptional().describe('What takes the place of the prefix or the path.'),
    pattern: replacedPattern.exactOptional().describe('For ReplaceRegex: a regular expression (RE2).'),
    substitution: text(replacementFlaw, { maxLength: 1024 })
      .exactOptional()
      .describe('For ReplaceRegex: what takes the place of each match; \\1 is the first group.'),
  },
  {
    cel: [
      {
        rule: "self.type == 'ReplaceRegex' ? has(self.pattern) && has(self.substitution) && !has(self.value) : has(self.value) && !has(self.pattern) && !has(self.substitution)",
        message: 'ReplaceRegex takes pattern and substitution, the other types take value',
      },
    ],
  },
)
  .superRefine(flaws(pathRewriteFlaws))
  .transform((value) => {
    if (value.type === 'ReplaceRegex') return { type: value.type, pattern: value.pattern ?? '', substitution: value.substitution ?? '' };
    return { type: value.type, value: value.value ?? '' };
  });

interface PathRewriteInput {
  readonly type: (typeof PATH_TYPES)[number];
  readonly value?: string;
  readonly pattern?: string;
  readonly substitution?: string;
}

function isGoodPattern(pattern: string): boolean {
  return lookAgain(() => regexFlaw(pattern)) === undefined;
}

function pathRewriteFlaws(value: PathRewriteInput): Flaw[] {
  const found: Flaw[] = [];
  const wanted = value.type === 'ReplaceRegex' ? (['pattern', 'substitution'] as const) : (['value'] as const);
  for (const field of ['value', 'pattern', 'substitution'] as const) {
    const isWanted = (wanted as readonly string[]).includes(field);
    if (isWanted && value[field] === undefined) found.push({ message: `${value.type} needs ${field}`, hint: `write ${wanted.join(' and ')}`, path: [field] });
    if (!isWanted && value[field] !== undefined)
      found.push({ message: `${field} has no meaning with ${value.type}`, hint: `write ${wanted.join(' and ')}`, path: [field] });
  }
  if (
    value.type !== 'ReplaceRegex' &&
    value.value !== undefined &&
    !value.value.startsWith('/') &&
    !(value.type === 'ReplacePrefixMatch' && value.value === '')
  ) {
    found.push({ message: `${quote(value.value)} does not begin with /`, hint: `write /${value.value}`, path: ['value'] });
  }
  // What is wrong with the pattern itself is told by its field.
  if (value.pattern !== undefined && value.substitution !== undefined && isGoodPattern(value.pattern)) {
    const groups = RE2JS.compile(value.pattern).groupCount();
    for (const [reference, digits] of value.substitution.matchAll(/\\([0-9]+)/g)) {
      if (Number(digits) > groups) {
        found.push({
          message: `the pattern has ${groups} groups, and ${reference} names another`,
          hint: 'refer to groups that the pattern has',
          path: ['substitution'],
        });
      }
    }
    const stray = /\\(?![0-9\\])/.exec(value.substitution);
    if (stray !== null)
      found.push({ message: 'the substitution has a backslash before no digit', hint: 'write \\1 for a group, \\\\ for a backslash', path: ['substitution'] });
  }
  return found;
}

export const urlRewriteSchema = strictObject({
  hostname: preciseHostname.exactOptional().describe('Host that the backend sees.'),
  path: pathRewriteSchema.exactOptional().describe('How the path changes.'),
})
  .superRefine(
    flaws((value) =>
      value.hostname === undefined && value.path === undefined ? { message: 'urlRewrite changes nothing', hint: 'write hostname, path or both' } : undefined,
    ),
  )
  .describe('Changes host and path of the request before it goes to the backend.');

const REDIRECT_STATUSES = [301, 302, 303, 307, 308] as const;

const redirectStatus = z
  .number()
  .superRefine(
    flaws((value) =>
      (REDIRECT_STATUSES as readonly number[]).includes(value)
        ? undefined
        : { message: `${value} is not the status of a redirect`, hint: `write one of ${REDIRECT_STATUSES.join(', ')}` },
    ),
  )
  .transform((value) => value as (typeof REDIRECT_STATUSES)[number])
  .meta({ type: 'integer', enum: REDIRECT_STATUSES });

export const requestRedirectSchema = strictObject({
  scheme: oneOf(['http', 'https']).exactOptional().describe("Scheme of the new URL; absent: the request's."),
  hostname: preciseHostname.exactOptional().describe("Host of the new URL; absent: the request's."),
  port: portNumber.exactOptional().describe('Port of the new URL; absent: that of the scheme.'),
  path: pathRewriteSchema.exactOptional().describe('How the path changes.'),
  statusCode: redirectStatus.prefault(302).describe('Status of the answer.'),
}).describe('Answers with a redirect, without a backend.');

export const directResponseSchema = strictObject({
  statusCode: wholeNumber({ min: 200, max: 599, hint: 'status codes of whole answers are numbers from 200 to 599' }).describe('Status of the answer.'),
  contentType: headerValue.default('text/plain; charset=utf-8').describe('Its Content-Type, where it has a body.'),
  body: z.string().max(65536).default('').describe('Body of the answer.'),
  headers: z.array(headerPair).max(64).default([]).describe('Further headers.').meta({ 'x-kubernetes-list-type': 'atomic' }),
})
  .superRefine(
    flaws((value) => {
      const found: Flaw[] = [];
      if (BODILESS.has(value.statusCode) && value.body !== '') {
        found.push({ message: `an answer with status ${value.statusCode} has no body`, hint: 'leave body out, or use another status', path: ['body'] });
      }
      for (const [index, { name }] of value.headers.entries()) {
        found.push(...ownedFlaw(name, ['headers', index, 'name']));
        if (name === 'content-type')
          found.push({ message: 'Content-Type has a field of its own', hint: 'write contentType', path: ['headers', index, 'name'] });
      }
      return found;
    }),
  )
  .describe('Answers by itself, without a backend.');

const byteCount = wholeNumber({ min: 1, max: Number.MAX_SAFE_INTEGER, hint: 'write a number of bytes, 1 or more; leave the field out for the default' });

export const limitsSchema = strictObject({
  maxRequestBodyBytes: byteCount.exactOptional().describe('Longest request body; a longer one gets 413.'),
  maxRequestHeaderBytes: byteCount.exactOptional().describe('Longest request header section; a longer one gets 431.'),
  maxResponseBodyBytes: byteCount
    .exactOptional()
    .describe("Longest body of a backend's answer, as it sends it; one that says it is longer becomes a 502, any other is cut off there."),
}).describe('Bounds of what a client, and a backend, may send.');

export const ipAccessSchema = strictObject({
  allow: z.array(cidr).max(1024).default([]).describe('Who may; empty: everybody.').meta({ 'x-kubernetes-list-type': 'atomic' }),
  deny: z.array(cidr).max(1024).default([]).describe('Who may not, though allowed.').meta({ 'x-kubernetes-list-type': 'atomic' }),
})
  .superRefine(
    flaws((value) =>
      value.allow.length === 0 && value.deny.length === 0
        ? { message: 'ipAccess allows and denies nobody', hint: 'list CIDRs in allow, deny or both' }
        : undefined,
    ),
  )
  .describe('Who may call, by client address; others get 403.');

export const routeFiltersSchema = strictObject(
  {
    requestHeaderModifier: requestHeaderModifierSchema.exactOptional(),
    responseHeaderModifier: responseHeaderModifierSchema.exactOptional(),
    urlRewrite: urlRewriteSchema.exactOptional(),
    requestRedirect: requestRedirectSchema.exactOptional(),
    directResponse: directResponseSchema.exactOptional(),
    limits: limitsSchema.exactOptional(),
    ipAccess: ipAccessSchema.exactOptional(),
    faultInjection: faultInjectionSchema.exactOptional(),
    mirror: mirrorSchema.exactOptional(),
    transform: transformSchema.exactOptional(),
    aggregate: aggregateSchema.exactOptional(),
    grpcJson: grpcJsonSchema.exactOptional(),
    cors: corsSchema.exactOptional(),
    compression: compressionSchema.exactOptional(),
    decompression: decompressionSchema.exactOptional(),
    errorPages: errorPagesSchema.exactOptional(),
    cache: cacheSchema.exactOptional(),
  },
  {
    cel: [
      { rule: '!(has(self.requestRedirect) && has(self.directResponse))', message: 'a rule answers once: use requestRedirect or directResponse' },
      {
        rule: '!(has(self.aggregate) && (has(self.requestRedirect) || has(self.directResponse)))',
        message: 'a rule answers once: use aggregate, requestRedirect or directResponse',
      },
      {
        rule: '!(has(self.grpcJson) && (has(self.aggregate) || has(self.requestRedirect) || has(self.directResponse)))',
        message: 'a rule answers once: use grpcJson, aggregate, requestRedirect or directResponse',
      },
      { rule: '!(has(self.requestRedirect) && has(self.urlRewrite))', message: 'urlRewrite and requestRedirect exclude each other' },
    ],
  },
).superRefine(
  flaws((filters) => {
    const found: Flaw[] = [];
    const [first, second] = (['requestRedirect', 'directResponse', 'aggregate', 'grpcJson'] as const).filter((name) => filters[name] !== undefined);
    if (first !== undefined && second !== undefined) {
      found.push({ message: `${first} and ${second} both answer the request`, hint: 'keep one of them', path: [second] });
    }
    if (filters.requestRedirect !== undefined && filters.urlRewrite !== undefined) {
      found.push({
        message: 'urlRewrite and requestRedirect exclude each other',
        hint: 'write requestRedirect.path and .hostname, or no redirect',
        path: ['urlRewrite'],
      });
    }
    return found;
  }),
);

/** Filters of one backendRef. */
export const backendFiltersSchema = strictObject({
  requestHeaderModifier: modifier('request').describe(REQUEST_MODIFIER).exactOptional(),
  responseHeaderModifier: modifier('response').describe(RESPONSE_MODIFIER).exactOptional(),
});
