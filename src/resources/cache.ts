/** The filter `cache` of an ApiRoute's rule: what users write, and its normal form. */
import { z } from 'zod';
import { CACHE } from '../snapshot/defaults.ts';
import { duration, text, wholeNumber } from './fields.ts';
import { flaws, strictObject } from './strict-object.ts';

const seconds = (milliseconds: number): string => (milliseconds % 60_000 === 0 && milliseconds > 0 ? `${milliseconds / 60_000}m` : `${milliseconds / 1000}s`);

const queryName = text((value) => (/[&=#]/.test(value) ? { message: `"${value}" is no name of a query parameter`, hint: 'write a name alone' } : undefined), {
  maxLength: 256,
});

export const cacheSchema = strictObject({
  maxEntryBytes: wholeNumber({ min: 1, max: 1024 ** 3, hint: 'write a number of bytes from 1 to 1073741824' })
    .default(CACHE.maxEntryBytes)
    .describe('Longest body that is kept; a longer one passes through.'),
  defaultTTL: duration()
    .default(CACHE.defaultTTL)
    .describe(`How long answers are fresh that do not say so; 0s: those are not kept. Absent: ${seconds(CACHE.defaultTTL)}.`),
  varyOnQuery: z
    .array(queryName)
    .max(64)
    .default([])
    .describe('Query parameters that answers depend on; those with other parameters alone are the same. Empty: all.')
    .meta({ 'x-kubernetes-list-type': 'atomic' }),
  staleWhileRevalidate: duration()
    .default(CACHE.staleWhileRevalidate)
    .describe(
      `How long past its freshness an answer is served while the backend is asked again, unless it says so itself. Absent: ${seconds(CACHE.staleWhileRevalidate)}.`,
    ),
  staleIfError: duration()
    .default(CACHE.staleIfError)
    .describe(`How long past its freshness an answer is served when the backend fails, unless it says so itself. Absent: ${seconds(CACHE.staleIfError)}.`),
})
  .superRefine(
    flaws(({ varyOnQuery }) =>
      varyOnQuery.flatMap((name, index) =>
        varyOnQuery.indexOf(name) === index ? [] : [{ message: `"${name}" is there twice`, hint: 'keep one of them', path: ['varyOnQuery', index] }],
      ),
    ),
  )
  .describe('Keeps answers in the pod, as RFC 9111 says for shared caches, and serves them to those who ask for the same.');
