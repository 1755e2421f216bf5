/** Bodies that transforms read and write. */
import { brotliDecompressSync, gunzipSync, inflateSync, constants as zlib, zstdDecompressSync } from 'node:zlib';
import type { Fields } from '../../exchange/fields.ts';

/** Longest body that is read, decoded. */
export const MAX_BODY = 1024 * 1024;
/** Longest body that is made, in characters. */
export const MAX_MADE = 8 * 1024 * 1024;

const DECODERS: Readonly<Record<string, (body: Buffer, options: { maxOutputLength: number }) => Buffer>> = {
  gzip: gunzipSync,
  'x-gzip': gunzipSync,
  deflate: inflateSync,
  br: brotliDecompressSync,
  // RFC 9659: a client may not ask for more memory than 8 MiB.
  zstd: (body, options) => zstdDecompressSync(body, { ...options, params: { [zlib.ZSTD_d_windowLogMax]: 23 } }),
};

/** What is wrong with a body's coding. */
export type CodingFault = 'unknown' | 'malformed' | 'too_large';

/** Undoes Content-Encoding (RFC 9110 section 8.4). */
export function decodeBody(body: Buffer, fields: Fields): Buffer | CodingFault {
  const codings = fields
    .getAll('content-encoding')
    .flatMap((value) => value.split(','))
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity');
  if (codings.length === 0 || body.length === 0) return body;
  // Several are nobody's need, and each multiplies what a small body can become.
  const [coding] = codings;
  if (codings.length > 1 || coding === undefined || !Object.hasOwn(DECODERS, coding)) return 'unknown';
  try {
    return DECODERS[coding]?.(body, { maxOutputLength: MAX_BODY }) ?? 'unknown';
  } catch (error) {
    return (error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE' ? 'too_large' : 'malformed';
  }
}

/** What speaks of a body that is no longer there: its coding, its validators and digests, its ranges (RFC 9110 section 8, RFC 9530). */
const OF_THE_BODY = [
  'content-encoding',
  'content-language',
  'content-md5',
  'content-digest',
  'repr-digest',
  'digest',
  'etag',
  'last-modified',
  'accept-ranges',
  'content-range',
  'content-disposition',
] as const;

/** Has the fields say that the body is JSON, and another one than it was. */
export function describeNewBody(fields: Fields): void {
  for (const name of OF_THE_BODY) fields.remove(name);
  fields.set('Content-Type', 'application/json');
}
