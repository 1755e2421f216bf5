import type { Fields } from '../exchange/fields.ts';
import {
  type BodyLength,
  isEmptyBody,
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
import type { RequestSender } from './request-sender.ts';
import { BAD_PSEUDO, LENGTH_MISMATCH, NOT_IN_TUNNEL, readLength, readStatus, sectionFlaw, tunnelLength } from './response-head.ts';
import type { SendingStream } from './stream-sender.ts';

/** Interim answers before the final one; more are taken for an attack. */
const MAX_INTERIM = 16;
/** What the backend may send beyond what was passed on; and from how much on it is told that it may send more. */
export const RECEIVE_WINDOW = DEFAULT_WINDOW;
const CREDIT_FROM = RECEIVE_WINDOW >>> 1;

const AT_HEAD = 0;
const IN_BODY = 1;
const ENDED = 2;

const NOTHING = Buffer.alloc(0);

/** The connection, as its streams see it. None of these calls back into a handler. */
export interface StreamConnection {
  readonly sender: RequestSender;
  /** The stream is over on the wire, for which it is reset where that is needed. @param code undefined: the answer is complete */
  release(stream: RequestStream, code: ErrorCode | undefined): void;
  /** After `release`, once the handler has been told: the connection may be used for others. */
  settle(): void;
  /** So many bytes of the stream were passed on: the backend may send as many again. */
  credit(stream: RequestStream, bytes: number): void;
  /** The stream has something to send, or its handler has, and what holds it back is the connection. */
  waitForRoom(stream: RequestStream): void;
}

/**
 * One try on a stream of an HTTP/2 connection. It holds what its windows and its handler hold back: bytes of the request as
 * one call brought them, bytes of the answer up to its receive window.
 */
export class RequestStream implements UpstreamStream, SendingStream, Deferred {
  readonly id: number;
  readonly reused: boolean;
  readonly isHead: boolean;
  /** The request asks for a tunnel (RFC 8441): a success opens it, and then each direction ends by itself. */
  readonly isConnect: boolean;
  /** When it was opened, on the clock of `Deadlines.now`. */
  readonly openedAt: number;
  /** The request is complete, and all of it was sent. */
  sendEnded: boolean;
  sendWindow: number;
  sentSinceUpdate = false;
  /** What the backend may still send. */
  receiveWindow = RECEIVE_WINDOW;
  /** The stream waits in the connection's line; see `waitForRoom`. */
  waiting = false;

  readonly #handler: UpstreamHandler;
  /** Undefined once the stream is over on the wire. */
  #connection: StreamConnection | undefined;
  /** Nothing is told any more. */
  #over = false;
  #deferred = false;
  /** To be told by `runDeferred`. */
  #failed: Error | undefined = undefined;
  #tellWritable = false;

  // The request.
  /** Bytes of the body still to come; UNKNOWN_LENGTH. */
  #bodyLeft: number;
  #unsent: HeldBytes | undefined = undefined;
  #bodyEnded = false;
  #requestTrailers: Fields | undefined = undefined;
  /** The handler waits for `onUpstreamWritable`. */
  #blocked = false;

  // The answer.
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
    this.#connection = connection;
    this.#handler = handler;
    this.id = id;
    this.reused = reused;
    this.openedAt = now;
    this.isHead = method === 'HEAD';
    this.isConnect = method === 'CONNECT';
    this.#bodyLeft = body === NO_BODY ? 0 : body;
    this.sendEnded = isEmptyBody(body);
    this.sendWindow = connection.sender.settings.initialWindow;
  }

  /** It has an open stream. */
  get connected(): boolean {
    return true;
  }

  /** The head of the final answer came in. */
  get answered(): boolean {
    return this.#phase !== AT_HEAD;
  }

  // --- the request ---

  /** The handler waits until it can write. */
  awaitRoom(): void {
    this.#blocked = true;
    this.sendMore();
  }

  writeBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    const connection = this.#connection;
    if (connection === undefined || this.#bodyEnded || start >= end) return true;
    let stop = end;
    if (this.#bodyLeft !== UNKNOWN_LENGTH) {
      // More than was announced would make the request malformed.
      stop = Math.min(end, start + this.#bodyLeft);
      this.#bodyLeft -= stop - start;
      if (start === stop) return true;
    }
    if (this.#unsent !== undefined) {
      this.#unsent.append(bytes, start, stop);
      return false;
    }
    const sent = connection.sender.body(this, bytes, start, stop, false);
    if (start + sent < stop) {
      this.#unsent = new HeldBytes();
      this.#unsent.hold(bytes, start + sent, stop, stable);
    } else if (!connection.sender.output.held && this.sendWindow > 0) {
      return true;
    }
    this.#blocked = true;
    this.#wait(connection);
    return false;
  }

  endBody(trailers: Fields | undefined): void {
    const connection = this.#connection;
    if (connection === undefined || this.#bodyEnded || this.sendEnded) return;
    if (this.#bodyLeft > 0) {
      // The backend is to see that the body was cut.
      this.#failed = new Error('the request was cut');
      this.#connection = undefined;
      this.#defer();
      connection.release(this, ErrorCode.Cancel);
      connection.settle();
      return;
    }
    this.#bodyEnded = true;
    this.#blocked = false;
    this.#requestTrailers = trailers;
    if (this.#unsent === undefined) this.#endSending(connection);
  }

  /** There is room again: in the stream's window, the connection's, or the socket. */
  sendMore(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    const unsent = this.#unsent;
    if (unsent !== undefined) {
      unsent.start += connection.sender.body(this, unsent.bytes, unsent.start, unsent.end, false);
      if (!unsent.empty) {
        this.#wait(connection);
        return;
      }
      this.#unsent = undefined;
    }
    if (this.#bodyEnded) {
      if (!this.sendEnded) this.#endSending(connection);
    } else if (this.#blocked) {
      if (connection.sender.output.held || this.sendWindow <= 0) this.#wait(connection);
      else {
        this.#blocked = false;
        this.#tellWritable = true;
        this.#defer();
      }
    }
  }

  #endSending({ sender }: StreamConnection): void {
    this.sendEnded = true;
    if (this.#requestTrailers === undefined) sender.body(this, NOTHING, 0, 0, true);
    else sender.trailers(this, this.#requestTrailers);
    if (this.#endTold) this.#leave()?.settle();
  }

  /** A WINDOW_UPDATE of the stream itself needs no place in the line. */
  #wait(connection: StreamConnection): void {
    if (!this.waiting && this.sendWindow > 0) connection.waitForRoom(this);
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
    const connection = this.#connection as StreamConnection;
    this.#connection = undefined;
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
    const connection = this.#connection;
    this.#over = true;
    this.#connection = undefined;
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
    this.#connection?.credit(this, this.#uncredited);
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
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection === undefined) return;
    connection.release(this, ErrorCode.Cancel);
    connection.settle();
  }

  /** The stream is gone from the wire, and its answer was not complete. Not from within a call of the handler. */
  fail(failure: UpstreamFailure, requestBytesSent: boolean, cause: Error | undefined): void {
    if (this.#over) return;
    this.#end();
    this.#connection = undefined;
    this.#handler.onUpstreamFailure(failure, requestBytesSent, this.reused, cause);
  }

  /**
   * The backend has reset the stream, with NO_ERROR, or its connection is gone.
   * @returns whether that is in order: in a tunnel whose other direction it has ended before, it says that what it would still get is of no use to it. What is held of that direction still goes out
   */
  closeInOrder(): boolean {
    if (!this.#isTunnel || this.#phase !== ENDED) return false;
    this.#connection = undefined;
    this.sendEnded = true;
    this.#unsent = undefined;
    if (this.#blocked) {
      this.#blocked = false;
      this.#tellWritable = true;
      this.#defer();
    }
    return true;
  }

  #malformed(flaw: string): void {
    const connection = this.#connection as StreamConnection;
    connection.release(this, ErrorCode.ProtocolError);
    this.fail('malformed', true, new Error(flaw));
    connection.settle();
  }

  #end(): void {
    this.#over = true;
    this.#fields = undefined;
    this.#held = undefined;
    this.#unsent = undefined;
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
      if (!this.#bodyEnded) this.#handler.onUpstreamWritable();
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
