import type { Fields } from './fields.ts';
import type { UpstreamStream } from './streams.ts';

/** A try that may have no stream yet: keeps what it is told until there is one, and passes on from then. */
export abstract class LateStream implements UpstreamStream {
  #stream: UpstreamStream | undefined = undefined;
  /** Of the request's body: as much as one call brought, since that was told to wait, unless the next try comes while the client sends. */
  #early: Buffer | undefined = undefined;
  #ended = false;
  #trailers: Fields | undefined = undefined;
  #paused = false;

  /** Nobody wants it any more, and there was no stream yet. */
  protected abstract dropped(): void;

  /**
   * There is a stream: it is told what there was to be told, and all that comes from now on.
   * @returns whether the handler is to be told that it can write, which nobody else does: the stream's connection is up, and more is to come
   */
  protected passTo(stream: UpstreamStream): boolean {
    this.#stream = stream;
    if (this.#paused) stream.pauseResponse();
    let writable = stream.connected;
    const early = this.#early;
    if (early !== undefined) {
      this.#early = undefined;
      if (!stream.writeBody(early, 0, early.length, true)) writable = false;
    }
    if (!this.#ended) return writable;
    stream.endBody(this.#trailers);
    return false;
  }

  get connected(): boolean {
    return this.#stream?.connected === true;
  }

  writeBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (this.#stream !== undefined) return this.#stream.writeBody(bytes, start, end, stable);
    if (start >= end) return true;
    const early = this.#early;
    const more = bytes.subarray(start, end);
    this.#early = early === undefined ? Buffer.from(more) : Buffer.concat([early, more]);
    return false;
  }

  endBody(trailers: Fields | undefined): void {
    if (this.#stream !== undefined) {
      this.#stream.endBody(trailers);
      return;
    }
    this.#ended = true;
    this.#trailers = trailers;
  }

  pauseResponse(): void {
    this.#paused = true;
    this.#stream?.pauseResponse();
  }

  resumeResponse(): void {
    this.#paused = false;
    this.#stream?.resumeResponse();
  }

  cancel(): void {
    if (this.#stream !== undefined) {
      this.#stream.cancel();
      return;
    }
    this.#early = undefined;
    this.dropped();
  }
}
