/**
 * The fields that several kinds share: names, hosts, ports, durations, regular expressions, header names and values.
 * Each is a zod schema from what users write to its normal form, with a description for `kubectl explain`, a pattern
 * for the CRD where one says it all, and the check whose flaws users see.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { RE2JS } from 're2js';
import { z } from 'zod';
import { patternSizeFlaw } from '../expressions/pattern-size.ts';
import { type Check, type Flaw, flaws, schemaFacts } from './strict-object.ts';

/** User regexes run in linear time; their length is bounded as well, since compiled size grows with it. */
export const MAX_REGEX_LENGTH = 1024;

/** Longest header value that the gateway sets; half of the default limit of a whole header section. */
const MAX_HEADER_VALUE_LENGTH = 8192;

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const METHOD = /^[A-Z][A-Z0-9_-]{0,31}$/;
/** Gateway API GEP-2257. */
const DURATION = /^([0-9]{1,5}(h|m|s|ms)){1,4}$/;
const MILLISECONDS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

interface TextOptions {
  readonly maxLength?: number;
  readonly minLength?: number;
  /** For the CRD alone: it may say less than the check, never more. */
  readonly pattern?: RegExp;
}

/** A string with a check of its own, and what the CRD can say of it. */
export function text(check: Check<string>, options: TextOptions = {}) {
  const facts: Record<string, unknown> = {};
  if (options.pattern !== undefined) facts.pattern = options.pattern.source;
  if (options.maxLength !== undefined) facts.maxLength = options.maxLength;
  if (options.minLength !== undefined) facts.minLength = options.minLength;
  return z.string().superRefine(flaws(check)).meta(facts);
}

export function durationMilliseconds(value: string): number | undefined {
  if (!DURATION.test(value)) return undefined;
  let total = 0;
  for (const [, amount, unit] of value.matchAll(/([0-9]+)(ms|h|m|s)/g)) total += Number(amount) * (MILLISECONDS[unit as string] as number);
  return total;
}

/** A Gateway API duration; the output is milliseconds. @param options max in milliseconds, whole seconds of them */
export function duration(options: { readonly positive?: boolean; readonly max?: number } = {}) {
  return text(
    (value) => {
      const milliseconds = durationMilliseconds(value);
      if (milliseconds === undefined)
        return { message: `${quote(value)} is not a duration`, hint: 'write whole numbers with units h, m, s or ms, as 250ms, 10s or 1m30s' };
      if (options.positive && milliseconds === 0) return { message: 'must be longer than zero', hint: 'write a duration such as 1s or 1m' };
      const { max } = options;
      if (max !== undefined && milliseconds > max) return { message: `${value} is too long`, hint: `write at most ${max / 1000}s` };
      return undefined;
    },
    { pattern: DURATION, minLength: 2, maxLength: 32 },
  ).transform((value) => durationMilliseconds(value) ?? 0);
}

/** A refinement of a duration, in milliseconds, for what is written in whole seconds in the end. */
export const wholeSeconds = flaws((milliseconds: number) =>
  milliseconds % 1000 === 0 ? undefined : { message: `${milliseconds}ms is no whole number of seconds`, hint: 'write whole seconds, such as 1h or 90s' },
);

export const portNumber = wholeNumber({ min: 1, max: 65535, hint: 'ports are whole numbers from 1 to 65535' });

/** A whole number within bounds; the flaw names them. */
export function wholeNumber(options: { readonly min: number; readonly max: number; readonly hint?: string }) {
  const hint = options.hint ?? `write a whole number from ${options.min} to ${options.max}`;
  return z
    .number()
    .superRefine(
      flaws((value) => {
        if (!Number.isInteger(value)) return { message: `${value} is not a whole number`, hint };
        if (value < options.min || value > options.max) return { message: `${value} is out of range`, hint };
        return undefined;
      }),
    )
    .meta({ type: 'integer', minimum: options.min, maximum: options.max, format: options.max > 0x7fffffff ? 'int64' : 'int32' });
}

export function dnsLabelFlaw(value: string): Flaw | undefined {
  if (value.length <= 63 && DNS_LABEL.test(value)) return undefined;
  return {
    message: `${quote(value)} is not a DNS label`,
    hint: 'use at most 63 lower-case letters, digits and -, beginning and ending with a letter or digit',
  };
}

export function dnsSubdomainFlaw(value: string): Flaw | undefined {
  if (value.length <= 253 && DNS_SUBDOMAIN.test(value)) return undefined;
  return {
    message: `${quote(value)} is not a DNS-1123 name`,
    hint: 'use at most 253 lower-case letters, digits, - and ., beginning and ending with a letter or digit',
  };
}

/** Names of namespaces and Services. */
export const dnsLabel = text(dnsLabelFlaw, { pattern: DNS_LABEL, minLength: 1, maxLength: 63 });

/** Names of most objects. */
export const dnsSubdomain = text(dnsSubdomainFlaw, { pattern: DNS_SUBDOMAIN, minLength: 1, maxLength: 253 });

/** Name of a Service's port (IANA_SVC_NAME, RFC 6335 section 5.1). */
export function portNameFlaw(value: string): Flaw | undefined {
  if (value.length <= 15 && DNS_LABEL.test(value) && /[a-z]/.test(value) && !value.includes('--')) return undefined;
  return { message: `${quote(value)} is not a port name`, hint: 'use at most 15 lower-case letters, digits and single -, with at least one letter' };
}

/** A Service's port by number or by name. */
export const portReference = z
  .union([z.number(), z.string()])
  .superRefine(
    flaws((value) => {
      if (typeof value === 'number') {
        if (Number.isInteger(value) && value >= 1 && value <= 65535) return undefined;
        return { message: `${value} is out of range`, hint: "write a whole number from 1 to 65535, or the name of one of the Service's ports" };
      }
      if (/^[0-9]+$/.test(value)) return { message: `${quote(value)} is a number in quotes, which names a port`, hint: `write ${value} without quotes` };
      // Service port names are DNS labels, longer than those of container ports.
      return dnsLabelFlaw(value);
    }),
  )
  .meta({ 'x-kubernetes-int-or-string': true });

const IP_LIKE = /^[0-9.]+$/;

export function hostnameFlaw(value: string, options: { readonly wildcard: boolean }): Flaw | undefined {
  const hint = `write a lower-case DNS name such as shop.example.com${options.wildcard ? ' or *.example.com' : ''}, without port or scheme`;
  const wildcard = value.startsWith('*.');
  if (wildcard && !options.wildcard) return { message: `${quote(value)} has a wildcard, which has no meaning here`, hint };
  const name = wildcard ? value.slice(2) : value;
  if (IP_LIKE.test(name) || name.includes('[') || /^[0-9a-f]*:[0-9a-f:.]*$/i.test(name)) return { message: `${quote(value)} is an address, or no name`, hint };
  if (name.length > 253 || !DNS_SUBDOMAIN.test(name) || name.split('.').some((label) => label.length > 63)) {
    return { message: `${quote(value)} is not a host name`, hint: value.toLowerCase() !== value ? `write ${value.toLowerCase()}: ${hint}` : hint };
  }
  return undefined;
}

/** A host name, or `*.` and one. */
export const hostname = text((value) => hostnameFlaw(value, { wildcard: true }), {
  pattern: /^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
  minLength: 1,
  maxLength: 253,
});

export const preciseHostname = text((value) => hostnameFlaw(value, { wildcard: false }), { pattern: DNS_SUBDOMAIN, minLength: 1, maxLength: 253 });

function isCidr(value: string): boolean {
  const [address = '', length, ...rest] = value.split('/');
  if (rest.length > 0 || address.includes('%')) return false;
  const bits = isIPv4(address) ? 32 : isIPv6(address) ? 128 : -1;
  return bits > 0 && (length === undefined || (/^(0|[1-9][0-9]{0,2})$/.test(length) && Number(length) <= bits));
}

/** An address range, or one address. */
export const cidr = text(
  (value) =>
    !isCidr(value) ? { message: `${quote(value)} is not a CIDR`, hint: 'write an address and a prefix length, as 10.0.0.0/8 or 2001:db8::/32' } : undefined,
  { minLength: 1, maxLength: 64 },
);

export function regexFlaw(value: string): Flaw | undefined {
  if (value.length > MAX_REGEX_LENGTH)
    return { message: `the regular expression is ${value.length} characters long`, hint: `keep it within ${MAX_REGEX_LENGTH}` };
  const tooBig = patternSizeFlaw(value);
  if (tooBig !== undefined) return tooBig;
  try {
    RE2JS.compile(value);
    return undefined;
  } catch (error) {
    return { message: `${quote(value)} is not a regular expression: ${(error as Error).message}`, hint: 'use RE2 syntax: no lookaround, no backreferences' };
  }
}

/** RE2 syntax, for what is replaced; nothing at all would be found between any two characters. */
export const replacedPattern = text((value) => (value === '' ? { message: 'the pattern is empty', hint: 'write what to replace' } : regexFlaw(value)), {
  minLength: 1,
  maxLength: MAX_REGEX_LENGTH,
});

export function headerNameFlaw(value: string): Flaw | undefined {
  if (value.length <= 256 && TOKEN.test(value)) return undefined;
  return { message: `${quote(value)} is not a header name`, hint: 'use letters, digits and -, without spaces or a colon' };
}

/** A header's name; the output is in lower case. */
export const headerName = text(headerNameFlaw, { pattern: TOKEN, minLength: 1, maxLength: 256 }).transform((value) => value.toLowerCase());

export function headerValueFlaw(value: string): Flaw | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for (RFC 9110 section 5.5).
  if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value))
    return { message: `${quote(value)} has a control character (CR, LF, NUL or the like)`, hint: 'write the value on one line, without control characters' };
  if (value.length > MAX_HEADER_VALUE_LENGTH)
    return { message: `the value is ${value.length} characters long`, hint: `keep it within ${MAX_HEADER_VALUE_LENGTH}` };
  if (/^[ \t]|[ \t]$/.test(value)) return { message: `${quote(value)} begins or ends with a space`, hint: 'leave the space out: HTTP cannot carry it' };
  if (/[^\t -~]/.test(value)) return { message: `${quote(value)} has characters outside ASCII`, hint: 'encode the value, as percent-encoding does' };
  return undefined;
}

export const headerValue = text(headerValueFlaw, { maxLength: MAX_HEADER_VALUE_LENGTH });

/** RFC 6265 section 4.1.1: a token. */
export function cookieNameFlaw(value: string): Flaw | undefined {
  if (value.length <= 256 && TOKEN.test(value)) return undefined;
  return { message: `${quote(value)} is not a cookie name`, hint: 'use letters, digits, - and _' };
}

export const cookieName = text(cookieNameFlaw, { pattern: TOKEN, minLength: 1, maxLength: 256 });

/** An HTTP method in upper case. Methods are case-sensitive tokens (RFC 9110 section 9.1). */
export function methodFlaw(value: string): Flaw | undefined {
  if (value === 'CONNECT' || value === 'TRACE') {
    return { message: `${value} is never served: whatever the routes say, such a request is answered with 405`, hint: 'leave it out' };
  }
  if (METHOD.test(value)) return undefined;
  const upper = value.toUpperCase();
  return {
    message: `${quote(value)} is not an HTTP method`,
    hint: /^[A-Z][A-Z0-9_-]*$/.test(upper) ? `write ${upper}` : 'write a method such as GET or POST',
  };
}

export const method = text(methodFlaw, { pattern: METHOD, minLength: 1, maxLength: 32 });

/** One of a few words, as an enum of them; `later` are words of the format that this version does not serve. */
export function oneOf<const Words extends readonly [string, ...string[]]>(words: Words, later: readonly string[] = []) {
  const schema = z.enum(words);
  schemaFacts.add(schema, { later });
  return schema;
}

/** Statuses of answers that have no body (RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5). */
export const BODILESS: ReadonlySet<number> = new Set([204, 205, 304]);

/** Text in quotes, shortened, on one line whatever it holds. */
export function quote(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value);
}
