import type { Fields } from '../../exchange/fields.ts';
import { type BodyLength, type ClientHandler, type ClientStream, isEmptyBody, NO_BODY } from '../../exchange/streams.ts';

/** Bytes of a call's body that are handed on at a time. */
const PART = 64 * 1024;
const NOTHING = Buffer.alloc(0);

/** Who hears of what the stream can't tell from within the calls that it gets. */
export interface CallOwner extends ClientHandler {
  fail(error: unknown): void;
  /** The answer is longer than may be taken. */
  onTooLong(): void;
}

/** The client's side of a call: it has the request's whole body, and collects the answer. */
export class CallStream implements ClientStream {
  readonly requestBody: BodyLength;
  requestEnded: boolean;
  responded = false;
  status = 0;
  fields: Fields | undefined = undefined;
  trailers: Fields | undefined = undefined;
  /** The answer is whole. */
  isComplete = false;
  isTooLong = false;
  /** Set before anything else. */
  owner: CallOwner | undefined = undefined;
  readonly #request: Buffer;
  readonly #maxAnswer: number;
  #sent = 0;
  #reading = false;
  #pumping = false;
  readonly #chunks: Buffer[] = [];
  #length = 0;

  /**
   * @param framed there is a body, though it may be empty, as with `Content-Length: 0`
   * @param maxAnswer bytes of an answer's body that are taken
   */
  constructor(request: Buffer, framed: boolean, maxAnswer: number) {
    this.#request = request;
    this.#maxAnswer = maxAnswer;
    this.requestBody = request.length === 0 && !framed ? NO_BODY : request.length;
    this.requestEnded = isEmptyBody(this.requestBody);
  }

  get body(): Buffer {
    if (this.#chunks.length === 1) return this.#chunks[0] as Buffer;
    return this.#chunks.length === 0 ? NOTHING : Buffer.concat(this.#chunks, this.#length);
  }

  resumeRequestBody(): void {
    this.#reading = true;
    if (this.#pumping || this.requestEnded) return;
    this.#pumping = true;
    // No method of a stream calls back before it returns.
    queueMicrotask(() => {
      this.#pumping = false;
      try {
        this.#pump();
      } catch (error) {
        this.owner?.fail(error);
      }
    });
  }

  #pump(): void {
    const request = this.#request;
    while (this.#reading && this.#sent < request.length) {
      const start = this.#sent;
      this.#sent = Math.min(start + PART, request.length);
      this.owner?.onRequestData(request, start, this.#sent, true);
    }
    if (!this.#reading || this.requestEnded) return;
    this.requestEnded = true;
    this.owner?.onRequestEnd(undefined);
  }

  pauseRequestBody(): void {
    this.#reading = false;
  }

  setBodyLimit(): void {}

  respond(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, _stable: boolean, last: boolean): boolean {
    this.responded = true;
    this.status = status;
    this.fields = fields;
    if (length > this.#maxAnswer) this.#refuse();
    else if (first !== undefined) this.#take(first, start, end);
    if (last) this.isComplete = !this.isTooLong;
    return !this.isTooLong;
  }

  respondText(status: number, fields: Fields, body: string): void {
    const bytes = Buffer.from(body, 'latin1');
    this.respond(status, fields, bytes.length, bytes, 0, bytes.length, true, true);
  }

  writeBody(bytes: Buffer, start: number, end: number): boolean {
    this.#take(bytes, start, end);
    return !this.isTooLong;
  }

  #take(bytes: Buffer, start: number, end: number): void {
    if (this.isTooLong || end <= start) return;
    this.#length += end - start;
    if (this.#length > this.#maxAnswer) this.#refuse();
    // Never a part of a larger buffer, which is not ours, and would be kept with it.
    else this.#chunks.push(Buffer.from(bytes.subarray(start, end)));
  }

  #refuse(): void {
    this.isTooLong = true;
    this.#chunks.length = 0;
    queueMicrotask(() => {
      try {
        this.owner?.onTooLong();
      } catch (error) {
        this.owner?.fail(error);
      }
    });
  }

  endBody(trailers: Fields | undefined): void {
    this.trailers = trailers;
    this.isComplete = !this.isTooLong;
  }

  inform(): void {}

  abort(): void {}
}
