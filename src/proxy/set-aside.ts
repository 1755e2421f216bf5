/** Answers that do not go to the client, or not yet. */
import type { Deadlines, Timed } from '../exchange/deadlines.ts';
import type { Fields } from '../exchange/fields.ts';
import type { BodyLength, UpstreamStream } from '../exchange/streams.ts';

/** Where the rest of an answer goes whose try was set aside. */
export interface SetAside {
  onData(bytes: Buffer, start: number, end: number): void;
  onEnd(trailers: Fields | undefined): void;
  /** It breaks off, or its try is cancelled. */
  onBroken(): void;
}

/** A bad answer that is kept back as long as a better one may come. The stream is paused, so there is little of it. */
export class HeldAnswer implements SetAside {
  readonly status: number;
  readonly fields: Fields;
  readonly length: BodyLength;
  ended: boolean;
  broken = false;
  trailers: Fields | undefined = undefined;
  readonly #chunks: Buffer[] = [];

  constructor(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, last: boolean) {
    this.status = status;
    this.fields = fields;
    this.length = length;
    this.ended = last;
    if (first !== undefined) this.onData(first, start, end);
  }

  /** What has come of its body. */
  get body(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  onData(bytes: Buffer, start: number, end: number): void {
    if (end > start) this.#chunks.push(Buffer.from(bytes.subarray(start, end)));
  }

  onEnd(trailers: Fields | undefined): void {
    this.ended = true;
    this.trailers = trailers;
  }

  onBroken(): void {
    this.broken = true;
  }
}

/** Bytes of an unwanted answer that are read, so that its connection can be used again; more are not worth it. */
export const MAX_DISCARDED = 64 * 1024;
/** ms that they may take. */
const DISCARD_TIMEOUT = 1000;

/** Reads an answer to its end that nobody wants, where that end is near. */
export class Discard implements SetAside, Timed {
  deadline: number;
  deadlineIndex = -1;
  #bytes = 0;
  readonly #deadlines: Deadlines;
  readonly #cancel: () => void;

  /** @param cancel ends the try, and with it the connection */
  constructor(stream: UpstreamStream, deadlines: Deadlines, cancel: () => void) {
    this.#deadlines = deadlines;
    this.#cancel = cancel;
    this.deadline = deadlines.now + DISCARD_TIMEOUT;
    deadlines.add(this);
    stream.resumeResponse();
  }

  onData(_bytes: Buffer, start: number, end: number): void {
    this.#bytes += end - start;
    if (this.#bytes > MAX_DISCARDED) this.#cancel();
  }

  onEnd(): void {
    this.#deadlines.remove(this);
  }

  onBroken(): void {
    this.#deadlines.remove(this);
  }

  onDeadline(): void {
    this.#cancel();
  }
}
