import type { Exchange } from '../exchange/exchange.ts';
import { FieldKind, HOP_BY_HOP, maskOf } from '../exchange/field-names.ts';
import { Fields } from '../exchange/fields.ts';
import { type BodyLength, type ClientHandler, type ClientStream, isEmptyBody, NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import type { Fault } from '../http1/fault.ts';
import { CONTENT_LENGTH } from '../http1/framing.ts';
import { HeldBytes } from '../http1/held-bytes.ts';
import { dateLine } from '../http1/message-writer.ts';
import { type Deferred, defer } from '../http1/turn-queue.ts';
import type { SendingStream } from './answer-sender.ts';
import type { ServerStreams } from './server-streams.ts';

const DATE = maskOf(FieldKind.Date);
const NOTHING = Buffer.alloc(0);

/**
 * The client's side of one exchange, on a stream of an HTTP/2 connection. It holds what its own windows and its handler hold
 * back: bytes of the request up to its receive window, bytes of the answer as one read of the backend brought them. Once
 * over it has no connection any more, so that a late call does nothing.
 */
export class ServerStream implements ClientStream, SendingStream, Deferred {
  readonly id: number;
  readonly requestBody: BodyLength;
  readonly isHead: boolean;
  exchange: Exchange | undefined = undefined;
  /** None before the exchange begins. */
  handler: ClientHandler | undefined = undefined;
  /** What the client did wrong, where that is why the stream was reset. */
  resetBy: Fault | undefined = undefined;

  // The request.
  /** It was told to the handler that the request is complete. */
  requestEnded: boolean;
  /** The frame that ends the stream was read. */
  endReceived: boolean;
  trailers: Fields | undefined = undefined;
  /** The body is held back. */
  paused = true;
  /** A 100 is owed before the body comes. */
  owesContinue: boolean;
  bodyLimit = Number.POSITIVE_INFINITY;
  /** Bytes of the body that were read. */
  received = 0;
  /** Bytes that the client may still send. */
  receiveWindow: number;
  /** Bytes that were passed on, and that the client was not yet told it may send again. */
  uncredited = 0;
  heldRequest: HeldBytes | undefined = undefined;
  /** Something waits to be told to the handler; see `runDeferred`. */
  #deferred = false;

  // The answer.
  responded = false;
  /** Bytes that the client takes. May be below zero (RFC 9113 section 6.9.2). */
  sendWindow: number;
  /** Bytes were sent since the last WINDOW_UPDATE. */
  sentSinceUpdate = false;
  /** A WINDOW_UPDATE came in. */
  wasWidened = false;
  heldAnswer: HeldBytes | undefined = undefined;
  /** The handler waits for `onClientWritable`. */
  blocked = false;
  /** The answer is complete, but for what is held. */
  answerEnded = false;
  lingering = false;
  /** See `ServerStreams.pump`. */
  turn = 0;
  /** It was answered with a switch of protocols: each direction ends by itself. */
  isTunnel = false;
  /** Since when the end of the answer waits for the client; on the clock of `Deadlines.now`. */
  lingersSince = 0;
  /** Bytes of the answer's body that are still to come; UNKNOWN_LENGTH. */
  #left = 0;
  #answerTrailers: Fields | undefined = undefined;

  #server: ServerStreams | undefined;

  /** @param receiveWindow of the connection's streams @param sendWindow SETTINGS_INITIAL_WINDOW_SIZE of the client */
  constructor(
    server: ServerStreams,
    id: number,
    isHead: boolean,
    body: BodyLength,
    owesContinue: boolean,
    endReceived: boolean,
    receiveWindow: number,
    sendWindow: number,
  ) {
    this.#server = server;
    this.id = id;
    this.isHead = isHead;
    this.requestBody = body;
    this.requestEnded = endReceived || isEmptyBody(body);
    this.endReceived = endReceived;
    this.owesContinue = owesContinue;
    this.receiveWindow = receiveWindow;
    this.sendWindow = sendWindow;
  }

  /** Nothing that is called from now on has an effect. */
  detach(): void {
    this.#server = undefined;
    this.heldRequest = undefined;
    this.heldAnswer = undefined;
  }

  get detached(): boolean {
    return this.#server === undefined;
  }

  // --- the request ---

  resumeRequestBody(): void {
    const server = this.#server;
    if (server === undefined || this.requestEnded || !this.paused) return;
    this.paused = false;
    if (this.owesContinue && !this.responded && this.requestBody <= this.bodyLimit) {
      this.owesContinue = false;
      server.sender.headers(this, 100, new Fields(), false);
    }
    if (this.heldRequest !== undefined || this.endReceived || this.requestBody > this.bodyLimit) this.#defer();
    else server.credit(this);
  }

  pauseRequestBody(): void {
    if (!this.requestEnded) this.paused = true;
  }

  setBodyLimit(bytes: number): void {
    this.bodyLimit = bytes;
  }

  #defer(): void {
    if (this.#deferred) return;
    this.#deferred = true;
    defer(this);
  }

  /** Not from within a call of the handler: tells it what was held back. */
  runDeferred(): void {
    this.#deferred = false;
    const server = this.#server;
    if (server === undefined || this.paused || this.requestEnded) return;
    if (this.requestBody > this.bodyLimit) {
      server.bodyTooLarge(this);
      return;
    }
    const held = this.heldRequest;
    if (held !== undefined) {
      this.heldRequest = undefined;
      const { bytes, start, end } = held;
      this.uncredited += end - start;
      this.handler?.onRequestData(bytes, start, end, false);
      server.delivered(this, end - start);
    }
    if (this.endReceived && !this.paused) this.endRequest();
  }

  /** Bytes of the body came in, within the limits. @returns whether the handler has got them */
  receive(bytes: Buffer, start: number, end: number): boolean {
    if (this.paused || this.heldRequest !== undefined) {
      if (this.heldRequest === undefined) {
        this.heldRequest = new HeldBytes();
        this.heldRequest.hold(bytes, start, end, false);
      } else {
        this.heldRequest.append(bytes, start, end);
      }
      return false;
    }
    this.uncredited += end - start;
    this.handler?.onRequestData(bytes, start, end, false);
    return true;
  }

  /** The stream's end came in. */
  receiveEnd(trailers: Fields | undefined): void {
    this.endReceived = true;
    this.trailers = trailers;
    if (!this.paused && this.heldRequest === undefined) this.endRequest();
  }

  endRequest(): void {
    if (this.requestEnded) return;
    this.requestEnded = true;
    this.handler?.onRequestEnd(this.trailers);
    if (this.isTunnel && this.answerEnded && this.heldAnswer === undefined) this.#server?.answerSent(this);
  }

  // --- the answer ---

  respond(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, stable: boolean, last: boolean): boolean {
    const server = this.#server;
    if (server === undefined || this.responded) return true;
    if (status === 101) return this.#openTunnel(server, fields, first, start, end, stable);
    const bodyLength = last && length === UNKNOWN_LENGTH ? end - start : length;
    this.#begin(server, status, fields, bodyLength);
    const hasBytes = first !== undefined && start < end && this.#left !== 0;
    if (last && !hasBytes && this.#left <= 0) {
      server.sender.headers(this, status, fields, true);
      this.answerEnded = true;
      server.answerSent(this);
      return true;
    }
    server.sender.headers(this, status, fields, false);
    let writable = !server.sender.output.held;
    if (hasBytes) writable = this.#write(server, first, start, end, stable, last);
    else this.blocked = !writable;
    if (!last) return writable;
    this.#end(server, undefined);
    return writable;
  }

  respondText(status: number, fields: Fields, body: string): void {
    const server = this.#server;
    if (server === undefined || this.responded) return;
    this.#begin(server, status, fields, body.length);
    const text = this.#left === 0 ? '' : body;
    this.#left = 0;
    server.sender.headers(this, status, fields, text === '');
    this.answerEnded = true;
    if (text === '') {
      server.answerSent(this);
      return;
    }
    const bytes = Buffer.from(text, 'latin1');
    const sent = server.sender.body(this, bytes, 0, bytes.length, true);
    if (sent === bytes.length) {
      server.answerSent(this);
      return;
    }
    this.#hold(bytes, sent, bytes.length, true);
    server.lingers(this);
  }

  writeBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    const server = this.#server;
    if (server === undefined || start >= end || this.#left === 0 || this.answerEnded) return true;
    return this.#write(server, bytes, start, end, stable, false);
  }

  endBody(trailers: Fields | undefined): void {
    const server = this.#server;
    if (server === undefined || !this.responded || this.answerEnded) return;
    this.#end(server, trailers);
  }

  inform(status: number, fields: Fields): void {
    if (this.#server === undefined || this.responded) return;
    fields.removeKinds(HOP_BY_HOP | CONTENT_LENGTH);
    this.#server.sender.headers(this, status, fields, false);
  }

  abort(): void {
    this.#server?.abortStream(this);
  }

  /** The answer to an extended CONNECT (RFC 8441 section 5): from here on DATA carries the tunnel. */
  #openTunnel(server: ServerStreams, fields: Fields, first: Buffer | undefined, start: number, end: number, stable: boolean): boolean {
    this.responded = true;
    this.isTunnel = true;
    this.requestEnded = false;
    this.bodyLimit = Number.POSITIVE_INFINITY;
    this.#left = UNKNOWN_LENGTH;
    server.answering();
    fields.removeKinds(HOP_BY_HOP | CONTENT_LENGTH);
    fields.remove('sec-websocket-accept');
    if (!fields.mayHave(DATE)) fields.appendLines(dateLine(server.now), DATE);
    server.sender.headers(this, 200, fields, false);
    if (first !== undefined && start < end) return this.#write(server, first, start, end, stable, false);
    this.blocked = server.sender.output.held;
    return !this.blocked;
  }

  /** The windows or the socket have room again. @returns false: there is none left for others of the connection */
  pump(): boolean {
    const server = this.#server;
    if (server === undefined) return true;
    const held = this.heldAnswer;
    if (held !== undefined) {
      const isLast = this.answerEnded && this.#answerTrailers === undefined;
      const sent = server.sender.body(this, held.bytes, held.start, held.end, isLast);
      held.start += sent;
      if (sent > 0) this.lingersSince = server.now;
      if (!held.empty) return !server.sender.output.held && this.sendWindow <= 0;
      this.heldAnswer = undefined;
      if (this.answerEnded) {
        if (this.#answerTrailers !== undefined) server.sender.trailers(this, this.#answerTrailers);
        server.answerSent(this);
        return true;
      }
    }
    if (this.blocked && this.sendWindow > 0 && !server.sender.output.held) {
      this.blocked = false;
      this.handler?.onClientWritable();
    }
    return !server.sender.output.held;
  }

  /** The answer's head, with the framing fields that fit (RFC 9110 section 8.6). */
  #begin(server: ServerStreams, status: number, fields: Fields, length: BodyLength): void {
    this.responded = true;
    server.answering();
    fields.removeKinds(HOP_BY_HOP);
    if (this.isHead || status === 204 || status === 304) {
      if (status === 204) fields.removeKinds(CONTENT_LENGTH);
      else if (status !== 304 && length >= 0 && !fields.mayHave(CONTENT_LENGTH)) fields.appendLines(lengthLine(length), CONTENT_LENGTH);
      this.#left = 0;
    } else {
      fields.removeKinds(CONTENT_LENGTH);
      this.#left = length === NO_BODY ? 0 : length;
      if (length !== UNKNOWN_LENGTH) fields.appendLines(lengthLine(this.#left), CONTENT_LENGTH);
    }
    if (!fields.mayHave(DATE)) fields.appendLines(dateLine(server.now), DATE);
  }

  /** @returns whether the handler may go on */
  #write(server: ServerStreams, bytes: Buffer, start: number, end: number, stable: boolean, last: boolean): boolean {
    let stop = end;
    if (this.#left !== UNKNOWN_LENGTH) {
      stop = Math.min(end, start + this.#left);
      this.#left -= stop - start;
    }
    const held = this.heldAnswer;
    if (held !== undefined) {
      held.append(bytes, start, stop);
    } else {
      const isLast = last && this.#left <= 0;
      const sent = server.sender.body(this, bytes, start, stop, isLast);
      if (start + sent < stop) this.#hold(bytes, start + sent, stop, stable);
      else if (isLast) this.answerEnded = true;
    }
    if (this.heldAnswer === undefined && this.sendWindow > 0 && !server.sender.output.held) return true;
    this.blocked = true;
    return false;
  }

  #hold(bytes: Buffer, start: number, end: number, stable: boolean): void {
    this.heldAnswer = new HeldBytes();
    this.heldAnswer.hold(bytes, start, end, stable);
    this.lingersSince = this.#server?.now ?? 0;
  }

  #end(server: ServerStreams, trailers: Fields | undefined): void {
    if (this.#left > 0) {
      // Less than was announced: nobody may take it for the whole.
      server.abortStream(this);
      return;
    }
    if (this.answerEnded) {
      // The end went out with the last bytes.
      server.answerSent(this);
      return;
    }
    this.answerEnded = true;
    this.blocked = false;
    this.#answerTrailers = trailers;
    if (this.heldAnswer !== undefined) {
      this.lingersSince = server.now;
      server.lingers(this);
      return;
    }
    if (trailers === undefined) server.sender.body(this, NOTHING, 0, 0, true);
    else server.sender.trailers(this, trailers);
    server.answerSent(this);
  }
}

let knownLength = -1;
let knownLengthLine = '';

/** The same text for the same length as the last one, so that it is known again without a look at its characters. */
function lengthLine(length: number): string {
  if (length !== knownLength) {
    knownLength = length;
    knownLengthLine = `content-length: ${length}\r\n`;
  }
  return knownLengthLine;
}
