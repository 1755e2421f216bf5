import type { Fields } from '../exchange/fields.ts';
import {
  type BodyLength,
  NO_BODY,
  UNKNOWN_LENGTH,
  type UpstreamFailure,
  type UpstreamHandler,
  type UpstreamRequest,
  type UpstreamStream,
} from '../exchange/streams.ts';
import { CONTENT_LENGTH } from '../http1/framing.ts';
import { HeldBytes } from '../http1/held-bytes.ts';
import { allowedTrailers } from '../http1/trailers.ts';
import { type Deferred, defer } from '../http1/turn-queue.ts';
import { DEFAULT_WINDOW, ErrorCode } from './frames.ts';
import type { HeaderBlock } from './hpack/header-block.ts';
import { BAD_PSEUDO, LENGTH_MISMATCH, NOT_IN_TUNNEL, readLength, readStatus, sectionFlaw, tunnelLength } from './response-head.ts';
import { SentRequest, type StreamConnection } from './sent-request.ts';

/** Interim answers before the final one; more are taken for an attack. */
const MAX_INTERIM = 16;
/** What the backend may send beyond what was passed on; and from how much on it is told that it may send more. */
export const RECEIVE_WINDOW = DEFAULT_WINDOW;
const CREDIT_FROM = RECEIVE_WINDOW >>> 1;

const AT_HEAD = 0;
const IN_BODY = 1;
const ENDED = 2;

/**
 * One try on a stream of an HTTP/2 connection. It holds what its windows and its handler hold back: bytes of the request as
 * one call brought them, bytes of the answer up to its receive window.
 */
export class RequestStream extends SentRequest implements UpstreamStream, Deferred {
  readonly reused: boolean;
  readonly isHead: boolean;
  /** The request asks for a tunnel (RFC 8441): a success opens it, and then each direction ends by itself. */
  readonly isConnect: boolean;
  /** When it was opened, on the clock of `Deadlines.now`. */
  readonly openedAt: number;
  /** What the backend may still send. */
  receiveWindow = RECEIVE_WINDOW;

  readonly #handler: UpstreamHandler;
  /** Nothing is told any more. */
  #over = false;
  #deferred = false;
  /** To be told by `runDeferred`. */
  #failed: Error | undefined = undefined;
  #tellWritable = false;
  #phase: number = AT_HEAD;
  #interim = 0;
  /** Of a head that waits for what comes with it. */
  #status = 0;
  #fields: Fields | undefined = undefined;
  #length: BodyLength = NO_BODY;
  /** Bytes still to come; UNKNOWN_LENGTH. */
  #left = 0;
  #paused = false;
  #held: HeldBytes | undefined = undefined;
  /** The end waits behind what is held. */
  #endHeld = false;
  #isTunnel = false;
  /** The backend's direction of the tunnel has ended, and the handler knows. */
  #endTold = false;
  #trailers: Fields | undefined = undefined;
  #uncredited = 0;

  /** @param reused whether the connection has carried a request before @param now on the clock of `Deadlines.now` */
  constructor(connection: StreamConnection, id: number, { method, body }: UpstreamRequest, handler: UpstreamHandler, reused: boolean, now: number) {
    super(connection, id, body);
    this.#handler = handler;
    this.reused = reused;
    this.openedAt = now;
    this.isHead = method === 'HEAD';
    this.isConnect = method === 'CONNECT';
  }

  /** It has an open stream. */
  get connected(): boolean {
    return true;
  }

  /** The head of the final answer came in. */
  get answered(): boolean {
    return this.#phase !== AT_HEAD;
  }

  // --- what comes of the request ---

  protected override roomAgain(): void {
    this.#tellWritable = true;
    this.#defer();
  }

  protected override allSent(): void {
    if (this.#endTold) this.#leave()?.settle();
  }

  protected override wasCut(): void {
    this.#failed = new Error('the request was cut');
    this.#defer();
  }

  // --- the answer ---

  /** A header section came in. @param ends the stream ends with it */
  receiveHeaders(block: HeaderBlock, ends: boolean): void {
    const flaw = sectionFlaw(block);
    if (flaw !== '') this.#malformed(flaw);
    else if (this.#phase === AT_HEAD) this.#receiveHead(block, ends);
    else if (this.#isTunnel) this.#malformed(NOT_IN_TUNNEL);
    else if (this.#phase === ENDED || block.pseudo !== 0 || !ends) this.#malformed(BAD_PSEUDO);
    else if (this.#left > 0) this.#malformed(LENGTH_MISMATCH);
    else this.#receiveTrailers(block.fields());
  }

  #receiveTrailers(trailers: Fields): void {
    // A second word on how long the content is (RFC 9110 section 6.5.1) is not just dropped: nghttp2 looks at it.
    if (trailers.mayHave(CONTENT_LENGTH)) {
      this.#malformed(LENGTH_MISMATCH);
      return;
    }
    this.flushHead();
    this.#receiveEnd(allowedTrailers(trailers));
  }

  #receiveHead(block: HeaderBlock, ends: boolean): void {
    const status = readStatus(block);
    const fields = block.fields();
    const opensTunnel = this.isConnect && status >= 200 && status < 300;
    const length = status === 0 ? BAD_PSEUDO : opensTunnel ? tunnelLength(status, fields) : readLength(status, fields, this.isHead, ends);
    if (typeof length === 'string') {
      this.#malformed(length);
    } else if (status < 200) {
      if (ends || ++this.#interim > MAX_INTERIM) this.#malformed('There is no final answer after interim ones.');
      else if (status === 103) this.#handler.onInformational(status, fields);
    } else if (ends && !opensTunnel) {
      this.#phase = ENDED;
      this.#finishWhole(status, fields, length, undefined, 0, 0);
    } else {
      this.#phase = IN_BODY;
      this.#status = status;
      this.#fields = fields;
      this.#length = length;
      this.#left = length === NO_BODY ? 0 : length;
      this.#isTunnel = opensTunnel;
      if (!ends) return;
      this.flushHead();
      if (!this.#over) this.#receiveEnd(undefined);
    }
  }

  /** The head has waited for what came with it, and nothing did. */
  flushHead(): void {
    const fields = this.#fields;
    if (fields === undefined || this.#over) return;
    this.#fields = undefined;
    this.#handler.onResponse(this.#status, fields, this.#length, undefined, 0, 0, false, false);
  }

  /** Whether a head waits for what comes with it; see `flushHead`. */
  get headWaits(): boolean {
    return this.#fields !== undefined;
  }

  /** DATA came in, within the window. @param ends the stream ends with it */
  receiveData(bytes: Buffer, start: number, end: number, ends: boolean): void {
    const length = end - start;
    if (this.#phase !== IN_BODY) {
      this.#malformed('There is content before the head of the answer.');
      return;
    }
    if (this.#left !== UNKNOWN_LENGTH) {
      this.#left -= length;
      if (this.#left < 0 || (ends && this.#left > 0)) {
        this.#malformed(LENGTH_MISMATCH);
        return;
      }
    }
    const fields = this.#fields;
    if (fields !== undefined) {
      if (length === 0 && !ends) return;
      this.#fields = undefined;
      if (ends && !this.#isTunnel) {
        this.#phase = ENDED;
        // A body of a length that was not said is told by what is here.
        this.#finishWhole(this.#status, fields, this.#length === UNKNOWN_LENGTH ? length : this.#length, bytes, start, end);
        return;
      }
      this.#uncredited += length;
      this.#handler.onResponse(this.#status, fields, this.#length, bytes, start, end, false, false);
      this.#credit();
      if (ends && !this.#over) this.#receiveEnd(undefined);
      return;
    }
    if (length > 0) {
      if (this.#paused || this.#held !== undefined) {
        this.#hold(bytes, start, end);
      } else {
        this.#uncredited += length;
        this.#handler.onResponseData(bytes, start, end, false);
        this.#credit();
      }
    }
    if (ends && !this.#over) this.#receiveEnd(undefined);
  }

  /** Bytes that were read and are no content: padding. */
  receivePadding(bytes: number): void {
    this.#uncredited += bytes;
    this.#credit();
  }

  #receiveEnd(trailers: Fields | undefined): void {
    this.#phase = ENDED;
    this.#trailers = trailers;
    if (this.#over) return;
    if (this.#held === undefined) {
      this.#finish();
      return;
    }
    this.#endHeld = true;
    if (this.#isTunnel) return;
    const connection = this.connection as StreamConnection;
    this.connection = undefined;
    connection.release(this, undefined);
    connection.settle();
  }

  #finishWhole(status: number, fields: Fields, length: BodyLength, bytes: Buffer | undefined, start: number, end: number): void {
    const connection = this.#leave();
    this.#handler.onResponse(status, fields, length, start === end ? undefined : bytes, start, end, false, true);
    connection?.settle();
  }

  #finish(): void {
    if (this.#isTunnel && !this.sendEnded) {
      // The other direction goes on.
      this.#endTold = true;
      this.#handler.onResponseEnd(undefined);
      return;
    }
    const connection = this.#leave();
    this.#handler.onResponseEnd(this.#trailers);
    connection?.settle();
  }

  #leave(): StreamConnection | undefined {
    const connection = this.connection;
    this.#over = true;
    this.connection = undefined;
    connection?.release(this, undefined);
    return connection;
  }

  #hold(bytes: Buffer, start: number, end: number): void {
    if (this.#held === undefined) {
      this.#held = new HeldBytes();
      this.#held.hold(bytes, start, end, false);
    } else {
      this.#held.append(bytes, start, end);
    }
  }

  #credit(): void {
    if (this.#uncredited < CREDIT_FROM || this.#paused || this.#phase === ENDED) return;
    this.connection?.credit(this, this.#uncredited);
    this.#uncredited = 0;
  }

  pauseResponse(): void {
    this.#paused = true;
  }

  resumeResponse(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#held !== undefined) this.#defer();
    else this.#credit();
  }

  // --- the end ---

  cancel(): void {
    if (this.#over) return;
    this.#end();
    const connection = this.connection;
    this.connection = undefined;
    if (connection === undefined) return;
    connection.release(this, ErrorCode.Cancel);
    connection.settle();
  }

  /** The stream is gone from the wire, and its answer was not complete. Not from within a call of the handler. */
  fail(failure: UpstreamFailure, requestBytesSent: boolean, cause: Error | undefined): void {
    if (this.#over) return;
    this.#end();
    this.connection = undefined;
    this.#handler.onUpstreamFailure(failure, requestBytesSent, this.reused, cause);
  }

  /**
   * The backend has reset the stream, with NO_ERROR, or its connection is gone.
   * @returns whether that is in order: in a tunnel whose other direction it has ended before, it says that what it would still get is of no use to it. What is held of that direction still goes out
   */
  closeInOrder(): boolean {
    if (!this.#isTunnel || this.#phase !== ENDED) return false;
    this.connection = undefined;
    this.stopSending();
    return true;
  }

  #malformed(flaw: string): void {
    const connection = this.connection as StreamConnection;
    connection.release(this, ErrorCode.ProtocolError);
    this.fail('malformed', true, new Error(flaw));
    connection.settle();
  }

  #end(): void {
    this.#over = true;
    this.#fields = undefined;
    this.#held = undefined;
    this.dropUnsent();
  }

  #defer(): void {
    if (this.#deferred) return;
    this.#deferred = true;
    defer(this);
  }

  runDeferred(): void {
    this.#deferred = false;
    if (this.#over) return;
    if (this.#failed !== undefined) {
      this.fail('reset', true, this.#failed);
      return;
    }
    if (this.#tellWritable) {
      this.#tellWritable = false;
      if (!this.bodyEnded) this.#handler.onUpstreamWritable();
    }
    const held = this.#held;
    if (held === undefined || this.#paused || this.#over) return;
    this.#held = undefined;
    this.#uncredited += held.length;
    // The bytes are nobody else's now.
    this.#handler.onResponseData(held.bytes, held.start, held.end, true);
    if (this.#over) return;
    if (this.#endHeld) this.#finish();
    else this.#credit();
  }
}
