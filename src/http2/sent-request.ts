import type { Fields } from '../exchange/fields.ts';
import { type BodyLength, isEmptyBody, NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { HeldBytes } from '../http1/held-bytes.ts';
import { ErrorCode } from './frames.ts';
import type { RequestSender } from './request-sender.ts';
import type { SendingStream } from './stream-sender.ts';

const NOTHING = Buffer.alloc(0);

/** The connection, as its streams see it. None of these calls back into a handler. */
export interface StreamConnection {
  readonly sender: RequestSender;
  /** The stream is over on the wire, for which it is reset where that is needed. @param code undefined: the answer is complete */
  release(stream: SendingStream, code: ErrorCode | undefined): void;
  /** After `release`, once the handler has been told: the connection may be used for others. */
  settle(): void;
  /** So many bytes of the stream were passed on: the backend may send as many again. */
  credit(stream: SendingStream, bytes: number): void;
  /** The stream has something to send, or its handler has, and what holds it back is the connection. */
  waitForRoom(stream: SendingStream): void;
}

/** What is sent on a stream behind the request's head: the body, as far as the windows and the socket take it, and trailers. */
export abstract class SentRequest implements SendingStream {
  readonly id: number;
  /** The request is complete, and all of it was sent. */
  sendEnded: boolean;
  sendWindow: number;
  sentSinceUpdate = false;
  /** The stream waits in the connection's line; see `waitForRoom`. */
  waiting = false;
  /** The handler has given all of the body. */
  protected bodyEnded = false;
  /** Undefined once the stream is over on the wire. */
  protected connection: StreamConnection | undefined;
  /** Bytes of the body still to come; UNKNOWN_LENGTH. */
  #bodyLeft: number;
  #unsent: HeldBytes | undefined = undefined;
  #trailers: Fields | undefined = undefined;
  /** The handler waits for `onUpstreamWritable`. */
  #blocked = false;

  constructor(connection: StreamConnection, id: number, body: BodyLength) {
    this.connection = connection;
    this.id = id;
    this.#bodyLeft = body === NO_BODY ? 0 : body;
    this.sendEnded = isEmptyBody(body);
    this.sendWindow = connection.sender.settings.initialWindow;
  }

  /** The handler can write again, and is to be told; not from within its own call. */
  protected abstract roomAgain(): void;
  /** The end of the request went out. */
  protected abstract allSent(): void;
  /** The body is shorter than was announced. */
  protected abstract wasCut(): void;

  /** The handler waits until it can write. */
  awaitRoom(): void {
    this.#blocked = true;
    this.sendMore();
  }

  writeBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    const connection = this.connection;
    if (connection === undefined || this.bodyEnded || start >= end) return true;
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
    const connection = this.connection;
    if (connection === undefined || this.bodyEnded || this.sendEnded) return;
    if (this.#bodyLeft > 0) {
      // The backend is to see that the body was cut.
      this.connection = undefined;
      this.wasCut();
      connection.release(this, ErrorCode.Cancel);
      connection.settle();
      return;
    }
    this.bodyEnded = true;
    this.#blocked = false;
    this.#trailers = trailers;
    if (this.#unsent === undefined) this.#endSending(connection);
  }

  /** There is room again: in the stream's window, the connection's, or the socket. */
  sendMore(): void {
    const connection = this.connection;
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
    if (this.bodyEnded) {
      if (!this.sendEnded) this.#endSending(connection);
    } else if (this.#blocked) {
      if (connection.sender.output.held || this.sendWindow <= 0) this.#wait(connection);
      else {
        this.#blocked = false;
        this.roomAgain();
      }
    }
  }

  #endSending({ sender }: StreamConnection): void {
    this.sendEnded = true;
    if (this.#trailers === undefined) sender.body(this, NOTHING, 0, 0, true);
    else sender.trailers(this, this.#trailers);
    this.allSent();
  }

  /** A WINDOW_UPDATE of the stream itself needs no place in the line. */
  #wait(connection: StreamConnection): void {
    if (!this.waiting && this.sendWindow > 0) connection.waitForRoom(this);
  }

  /** Nobody takes the rest: what comes of it is dropped. */
  protected stopSending(): void {
    this.sendEnded = true;
    this.#unsent = undefined;
    if (!this.#blocked) return;
    this.#blocked = false;
    this.roomAgain();
  }

  protected dropUnsent(): void {
    this.#unsent = undefined;
  }
}
