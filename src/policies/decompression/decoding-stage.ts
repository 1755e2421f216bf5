import {
  type BrotliDecompress,
  createBrotliDecompress,
  createGunzip,
  createZstdDecompress,
  type Gunzip,
  type ZstdDecompress,
  constants as zlib,
} from 'node:zlib';
import type { BodySink, BodyStage } from '../../exchange/bodies.ts';
import type { Reply } from '../../exchange/exchange.ts';
import type { Fields } from '../../exchange/fields.ts';
import type { Coding, Decompression } from '../../snapshot/body-filters.ts';

type Decoder = Gunzip | BrotliDecompress | ZstdDecompress;

/** Bytes of output at a time: no more than that of a bomb is ever there. */
const CHUNK = 16 * 1024;
/** What a client may ask a decoder to remember: 8 MiB, as RFC 9659 has it for zstd; brotli's own bound is 16 MiB. */
const ZSTD_WINDOW_LOG = 23;
/** Bytes that may come of any body, whatever its ratio: some bytes of a few may well be the whole of a short one. */
const FREE = 64 * 1024;
/** Decoders of one worker at a time. */
export const MAX_DECODERS = 256;

export const MALFORMED: Reply = { status: 400, reason: 'malformed_content_encoding', detail: 'The body is not encoded as its Content-Encoding says.' };
export const TOO_LARGE: Reply = { status: 413, reason: 'decompressed_body_too_large', detail: 'The body is too large once it is decoded.' };
export const RATIO: Reply = { status: 413, reason: 'decompression_ratio', detail: 'The body is too large once it is decoded.' };

let decoders = 0;

export function hasRoom(): boolean {
  return decoders < MAX_DECODERS;
}

/** Counts how bodies ended, by the reason of their refusal; empty: decoded. */
export type CountResult = (reason: string) => void;

/** Decodes a body as it comes, within bounds. */
export class DecodingStage implements BodyStage {
  readonly #sink: BodySink;
  readonly #spec: Decompression;
  readonly #decoder: Decoder;
  readonly #count: CountResult;
  #bytesIn = 0;
  #bytesOut = 0;
  #sourceEnded = false;
  #trailers: Fields | undefined = undefined;
  #over = false;

  constructor(sink: BodySink, coding: Coding, spec: Decompression, count: CountResult) {
    this.#sink = sink;
    this.#spec = spec;
    this.#count = count;
    const decoder = createDecoder(coding);
    this.#decoder = decoder;
    decoders++;
    decoder.on('data', (chunk: Buffer) => this.#guard(() => this.#out(chunk)));
    decoder.on('drain', () => this.#guard(() => sink.resume()));
    decoder.on('end', () => this.#guard(() => this.#end()));
    decoder.on('error', () => this.#guard(() => this.#refuse(MALFORMED)));
  }

  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (this.#over) return true;
    const part = bytes.subarray(start, end);
    this.#bytesIn += part.length;
    return this.#decoder.write(stable ? part : Buffer.from(part));
  }

  end(trailers: Fields | undefined): void {
    if (this.#over) return;
    this.#sourceEnded = true;
    this.#trailers = trailers;
    this.#decoder.end();
  }

  onWritable(): void {
    this.#decoder.resume();
  }

  close(): void {
    this.#over = true;
    decoders--;
    this.#decoder.destroy();
  }

  #out(chunk: Buffer): void {
    this.#bytesOut += chunk.length;
    const { maxBytes, maxRatio } = this.#spec;
    if (this.#bytesOut > maxBytes) this.#refuse(TOO_LARGE);
    else if (this.#bytesOut > FREE && this.#bytesOut > this.#bytesIn * maxRatio) this.#refuse(RATIO);
    else if (!this.#sink.write(chunk, 0, chunk.length, true)) this.#decoder.pause();
  }

  #end(): void {
    // Bytes behind the end are nobody's: a backend would not see what another decoder might.
    if (!this.#sourceEnded || this.#decoder.bytesWritten < this.#bytesIn) {
      this.#refuse(MALFORMED);
      return;
    }
    this.#over = true;
    this.#count('');
    this.#sink.end(this.#trailers);
  }

  #refuse(reply: Reply): void {
    this.#over = true;
    this.#decoder.pause();
    this.#count(reply.reason);
    this.#sink.fail(reply);
  }

  /** Nobody would catch what an event's listener throws. */
  #guard(step: () => void): void {
    if (this.#over) return;
    try {
      step();
    } catch (error) {
      this.#sink.fail(error instanceof Error ? error : new Error(String(error)));
    }
  }
}

function createDecoder(coding: Coding): Decoder {
  if (coding === 'gzip') return createGunzip({ chunkSize: CHUNK });
  if (coding === 'br') return createBrotliDecompress({ chunkSize: CHUNK });
  return createZstdDecompress({ chunkSize: CHUNK, params: { [zlib.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG } });
}
