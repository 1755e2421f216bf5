/** Filters that change bodies, or answers as a whole: what users write, and its normal form. */
import { z } from 'zod';
import { CODINGS } from '../snapshot/body-filters.ts';
import { headerValue, oneOf, quote, text, wholeNumber } from './fields.ts';
import { statusRange } from './health-check.ts';
import { type Flaw, flaws, strictObject } from './strict-object.ts';

const ATOMIC = { 'x-kubernetes-list-type': 'atomic' };

const algorithms = z
  .array(oneOf(CODINGS))
  .min(1)
  .max(CODINGS.length)
  .default([...CODINGS])
  .superRefine(
    flaws((list) => {
      const twice = list.findIndex((name, index) => list.indexOf(name) < index);
      return twice < 0 ? undefined : { message: `${quote(list[twice] ?? '')} is listed twice`, hint: 'keep one of them', path: [twice] };
    }),
  )
  .meta(ATOMIC);

const MEDIA_RANGE = /^[a-z0-9!#$&^_.+-]+\/(?:\*|[a-z0-9!#$&^_.+-]+)$/;

const mediaRange = text(
  (value) => {
    if (MEDIA_RANGE.test(value)) return undefined;
    if (value.includes(';')) return { message: `${quote(value)} has parameters, which do not matter here`, hint: 'write the type alone, such as text/html' };
    if (MEDIA_RANGE.test(value.toLowerCase())) return { message: `${quote(value)} is in upper case`, hint: `write ${value.toLowerCase()}` };
    return { message: `${quote(value)} is no media type`, hint: 'write type/subtype or type/*, such as application/json or text/*' };
  },
  { minLength: 3, maxLength: 128 },
);

export const compressionSchema = strictObject({
  algorithms: algorithms.describe('Codings of answers; of those that the client likes equally well the first is taken. Absent: zstd, br, gzip.'),
  minBytes: wholeNumber({ min: 0, max: 1_073_741_824 }).default(1024).describe('Shorter bodies, where the length is known, stay as they are.'),
  contentTypes: z
    .array(mediaRange)
    .max(64)
    .default([])
    .describe('Media types that are compressed, such as application/json or text/*. Absent: text, JSON, JavaScript, XML, SVG and event streams.')
    .meta(ATOMIC),
}).describe(
  'Compresses answers for clients that ask for it. Not those that are encoded already, parts of a whole (206), or marked no-transform. ETags become weak.',
);

export const decompressionSchema = strictObject({
  algorithms: algorithms.describe('Codings that are decoded; requests with any other, or with several, get 415. Absent: zstd, br, gzip.'),
  maxBytes: wholeNumber({ min: 1, max: Number.MAX_SAFE_INTEGER, hint: 'write a number of bytes, 1 or more' })
    .default(10_485_760)
    .describe('Longest body once it is decoded; a longer one gets 413. The encoded body is bounded by limits.maxRequestBodyBytes.'),
  maxRatio: wholeNumber({ min: 1, max: 100_000 })
    .default(100)
    .describe('How many times its encoded length a body may have once it is decoded; beyond that 413. The first 64 KiB are free.'),
}).describe('Decodes the bodies of requests that have a Content-Encoding, so that the backend and other filters see them plain.');

/** Their answers say how to get in, and a page in their place would hide that there is a door. */
const NEVER = new Set([401, 403]);

const pageStatus = statusRange.superRefine(
  flaws(({ from, to }) => {
    if (from < 400) return { message: `${from} is no status of an error`, hint: 'statuses of errors are numbers from 400 to 599' };
    if (from === to && NEVER.has(from)) return { message: `answers with ${from} keep their own body`, hint: 'leave it out' };
    return undefined;
  }),
);

export const errorPagesSchema = strictObject({
  pages: z
    .array(
      strictObject({
        statuses: z
          .array(pageStatus)
          .min(1)
          .max(64)
          .describe('Statuses and ranges that the page is for, such as "404" or "500-599". 401 and 403 are never among them.')
          .meta(ATOMIC),
        contentType: headerValue.default('text/html; charset=utf-8').describe('Its Content-Type.'),
        body: z.string().max(65536).describe('The page. It goes out as it is.'),
      }),
    )
    .min(1)
    .max(16)
    .describe('Pages; of several for a status the first is taken.')
    .meta(ATOMIC),
  intercept: z.boolean().default(false).describe("Errors of backends get the pages, too. Otherwise only the gateway's own do."),
})
  .superRefine(
    flaws(({ pages }) => {
      const found: Flaw[] = [];
      const singles = new Set<number>();
      for (const [index, { statuses }] of pages.entries()) {
        for (const [place, { from, to }] of statuses.entries()) {
          if (from !== to) continue;
          if (singles.has(from)) {
            found.push({ message: `there is a page for ${from} before`, hint: 'keep one of them', path: ['pages', index, 'statuses', place] });
          }
          singles.add(from);
        }
      }
      return found;
    }),
  )
  .describe('Gives error answers a body of their own. Status and headers stay. gRPC requests get none.');
