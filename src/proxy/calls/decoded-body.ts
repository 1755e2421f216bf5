/** Bodies of answers that are compressed though nobody asked for it. */
import { brotliDecompress, gunzip, inflate, constants as zlib, zstdDecompress } from 'node:zlib';
import type { Fields } from '../../exchange/fields.ts';

type Decode = (body: Buffer, options: { readonly maxOutputLength: number }, done: (error: Error | null, decoded: Buffer) => void) => void;

/** RFC 9110 section 8.4.1, RFC 7932, RFC 8878. */
const DECODERS: ReadonlyMap<string, Decode> = new Map<string, Decode>([
  ['gzip', gunzip],
  ['x-gzip', gunzip],
  ['deflate', inflate],
  ['br', brotliDecompress],
  // RFC 9659: nobody may ask for more memory than 8 MiB, however short the answer is.
  ['zstd', (body, options, done) => zstdDecompress(body, { ...options, params: { [zlib.ZSTD_d_windowLogMax]: 23 } }, done)],
]);

/** The coding of a message's body in lower case; empty: none. Several are given as one that nobody knows. */
export function codingOf(fields: Fields): string {
  const coding = fields.getAll('content-encoding').join(',').trim().toLowerCase();
  return coding === 'identity' ? '' : coding;
}

/**
 * Decodes off this thread.
 * @param max bytes that it may come to
 * @param done called later; without a body where the coding is not known, what it says is not true, or there is more than `max`
 */
export function decodeBody(body: Buffer, coding: string, max: number, done: (body: Buffer | undefined) => void): void {
  const decode = DECODERS.get(coding);
  if (decode === undefined) queueMicrotask(() => done(undefined));
  else decode(body, { maxOutputLength: max }, (error, decoded) => done(error === null ? decoded : undefined));
}
