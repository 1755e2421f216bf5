import type { Fields } from '../exchange/fields.ts';
import { type BodyLength, isEmptyBody } from '../exchange/streams.ts';
import { Chunked, ChunkedDecoder } from './chunked-decoder.ts';
import { BAD_CHUNK, type Fault } from './fault.ts';

/** What reading a body came to; the values are those of the chunked decoder. */
export const Body = Chunked;
export type Body = Chunked;

/** Finds the bytes of one body after the other in what was read, whatever their framing (RFC 9112 section 6). */
export class BodyReader {
  /** Where the next byte to be read is. */
  position = 0;
  dataStart = 0;
  dataEnd = 0;
  /** Nothing more of the body is to come. */
  complete = true;
  /** Bytes still to come; 0 where nobody knows. */
  left = 0;
  /** Bytes that have come. */
  length = 0;
  trailers: Fields | undefined = undefined;
  fault: Fault = BAD_CHUNK;
  chunked = false;
  #chunks: ChunkedDecoder | undefined = undefined;

  /** @param chunked else an unknown length means: until the connection ends */
  begin(length: BodyLength, chunked: boolean): void {
    this.chunked = chunked;
    this.complete = isEmptyBody(length);
    this.left = Math.max(length, 0);
    this.length = 0;
    this.trailers = undefined;
    if (!chunked) return;
    this.#chunks ??= new ChunkedDecoder();
    this.#chunks.begin();
  }

  /**
   * To be called while the body is not `complete`. It is so after End, and may be after Data.
   * @returns Data: `dataStart` to `dataEnd` are of the body; More: all was used up; End: see `trailers`; Bad: see `fault`
   */
  next(bytes: Buffer, start: number, end: number): Body {
    if (this.chunked) return this.#nextChunked(bytes, start, end);
    this.position = start;
    if (start === end) return Body.More;
    this.dataStart = start;
    if (this.left === 0) {
      this.dataEnd = end;
    } else {
      this.dataEnd = Math.min(start + this.left, end);
      this.left -= this.dataEnd - start;
      this.complete = this.left === 0;
    }
    this.position = this.dataEnd;
    this.length += this.dataEnd - start;
    return Body.Data;
  }

  /** After Data of a chunked body: its end follows, without trailers, and is all there. */
  isAtLastChunk(bytes: Buffer, end: number): boolean {
    return this.chunked && (this.#chunks as ChunkedDecoder).isAtLastChunk(bytes, end);
  }

  #nextChunked(bytes: Buffer, start: number, end: number): Body {
    const chunks = this.#chunks as ChunkedDecoder;
    const result = chunks.next(bytes, start, end);
    this.position = chunks.position;
    if (result === Chunked.Data) {
      this.dataStart = chunks.dataStart;
      this.dataEnd = chunks.dataEnd;
      this.length += chunks.dataEnd - chunks.dataStart;
    } else if (result === Chunked.End) {
      this.complete = true;
      this.trailers = chunks.trailers;
    } else if (result === Chunked.Bad) {
      this.fault = chunks.fault;
    }
    return result;
  }
}
