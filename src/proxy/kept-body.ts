import type { Fields } from '../exchange/fields.ts';
import type { UpstreamStream } from '../exchange/streams.ts';

/** Bytes of a request's body that are kept, so that it can be sent again (api.md: 64 KiB). */
export const MAX_KEPT_BODY = 64 * 1024;

/** The request body as far as it has been read, for tries after the first and for mirrors. */
export class KeptBody {
  readonly #chunks: Buffer[] = [];
  #length = 0;
  #lost = false;
  /** Of the request; set at its end. */
  trailers: Fields | undefined = undefined;

  /** @param body whole, and in memory as it is: of any length */
  static whole(body: Buffer, trailers: Fields | undefined): KeptBody {
    const kept = new KeptBody();
    kept.#chunks.push(body);
    kept.#length = body.length;
    kept.trailers = trailers;
    return kept;
  }

  /** There was more than may be kept, so that nothing is. */
  get lost(): boolean {
    return this.#lost;
  }

  get length(): number {
    return this.#length;
  }

  append(bytes: Buffer, start: number, end: number): void {
    if (this.#lost) return;
    this.#length += end - start;
    if (this.#length > MAX_KEPT_BODY) {
      this.#lost = true;
      this.#chunks.length = 0;
      return;
    }
    // Never a part of a larger buffer, which would be kept with it.
    this.#chunks.push(Buffer.from(bytes.subarray(start, end)));
  }

  /** Writes what is kept; the stream's connection is up. @returns whether it takes more */
  writeTo(stream: UpstreamStream): boolean {
    let writable = true;
    for (const chunk of this.#chunks) writable = stream.writeBody(chunk, 0, chunk.length, true);
    return writable;
  }
}
