/** Who may read answers from scripts of other origins (Fetch standard, CORS protocol): what users write, and its normal form. */
import { z } from 'zod';
import { duration, headerNameFlaw, methodFlaw, quote, text } from './fields.ts';
import { type Flaw, flaws, strictObject } from './strict-object.ts';

const ATOMIC = { 'x-kubernetes-list-type': 'atomic' };
/** What a browser sends is the same in lower case and without a default port (RFC 6454 section 6.2). */
const ORIGIN = /^([a-z][a-z0-9+.-]*):\/\/((?:\*\.)?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?$/;
const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: '80', https: '443' };

function originFlaw(value: string): Flaw | undefined {
  if (value === '*' || value === 'null') return undefined;
  const [, , , port] = ORIGIN.exec(value) ?? [];
  if (ORIGIN.test(value)) {
    return port !== undefined && (Number(port) < 1 || Number(port) > 65535)
      ? { message: `${quote(value)} has a port that is none`, hint: 'ports are whole numbers from 1 to 65535' }
      : undefined;
  }
  const hint = 'write a scheme and a host, such as https://shop.example.com, https://*.example.com, or *';
  if (ORIGIN.test(value.toLowerCase())) return { message: `${quote(value)} is in upper case`, hint: `write ${value.toLowerCase()}` };
  if (ORIGIN.test(value.replace(/\/+$/, ''))) return { message: `${quote(value)} ends in a slash`, hint: `write ${value.replace(/\/+$/, '')}` };
  if (/^[a-z]+:\/\/[^/]+\//.test(value)) return { message: `${quote(value)} has a path, and an origin has none`, hint };
  if (value.includes('*')) return { message: `${quote(value)} has a * that does not stand for the first labels of a host`, hint };
  return { message: `${quote(value)} is no origin`, hint };
}

const origin = text(originFlaw, { minLength: 1, maxLength: 300 }).transform((value) => {
  const [, scheme = '', host = '', port] = ORIGIN.exec(value) ?? [];
  return port !== undefined && DEFAULT_PORTS[scheme] === port ? `${scheme}://${host}` : value;
});

const METHOD = /^(\*|[A-Z][A-Z0-9_-]{0,31})$/;
const allowedMethod = text((value) => (value === '*' ? undefined : methodFlaw(value)), { pattern: METHOD, minLength: 1, maxLength: 32 });
/** `*` is a token, too. */
const allowedHeader = text(headerNameFlaw, { minLength: 1, maxLength: 256 }).transform((value) => value.toLowerCase());

export const corsSchema = strictObject(
  {
    allowOrigins: z
      .array(origin)
      .min(1)
      .max(64)
      .describe('Origins that may: exact ones; https://*.example.com for any labels before the rest, with that port or none; null; * for all.')
      .meta(ATOMIC),
    allowMethods: z
      .array(allowedMethod)
      .max(16)
      .default(['GET', 'HEAD', 'POST'])
      .describe('Methods that may be used; * for all. Absent: GET, HEAD, POST.')
      .meta(ATOMIC),
    allowHeaders: z.array(allowedHeader).max(64).default([]).describe('Request headers that may be sent, beside the usual ones; * for all.').meta(ATOMIC),
    exposeHeaders: z.array(allowedHeader).max(64).default([]).describe('Answer headers that scripts may read, beside the usual ones.').meta(ATOMIC),
    maxAge: duration({ max: 86_400_000 })
      .prefault('5s')
      .transform((milliseconds) => Math.floor(milliseconds / 1000))
      .describe('How long a browser may remember the answer to a preflight.'),
    allowCredentials: z.boolean().default(false).describe('Requests with cookies and the like may be made.'),
  },
  {
    cel: [
      {
        rule: "!(has(self.allowCredentials) && self.allowCredentials && self.allowOrigins.exists(o, o == '*'))",
        message: 'credentials are never for every origin: name the origins',
      },
    ],
  },
)
  .superRefine(
    flaws(({ allowOrigins, exposeHeaders, allowCredentials }) => {
      if (!allowCredentials) return undefined;
      const found: Flaw[] = [];
      const all = allowOrigins.indexOf('*');
      if (all >= 0) {
        found.push({
          message: 'credentials are never for every origin',
          hint: 'name the origins, or leave allowCredentials out',
          path: ['allowOrigins', all],
        });
      }
      const any = exposeHeaders.indexOf('*');
      if (any >= 0) {
        found.push({ message: '* exposes nothing to requests with credentials', hint: 'name the headers', path: ['exposeHeaders', any] });
      }
      return found;
    }),
  )
  .describe(
    "Lets scripts of other origins read the answers (CORS). Preflight requests are answered by the gateway; the backend's own CORS headers are replaced.",
  );
