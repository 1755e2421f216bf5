import type { Exchange } from '../exchange/exchange.ts';
import { FieldKind, HOP_BY_HOP, maskOf } from '../exchange/field-names.ts';
import type { Fields } from '../exchange/fields.ts';
import { type BodyLength, type ClientHandler, type ClientStream, isEmptyBody, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import type { Connection } from '../wire/wire.ts';
import { CONTENT_LENGTH } from './framing.ts';
import { dateLine, statusLine, writeChunk } from './message-writer.ts';
import type { ParsedRequest } from './request-head.ts';
import type { ServerConnection } from './server-connection.ts';
import type { SwitchedConnection, SwitchedHandler } from './switched-connection.ts';
import { WEBSOCKET_LINES } from './upgrade.ts';

const DATE = maskOf(FieldKind.Date);

/**
 * The client's side of one exchange. It is made anew for each, so that a late call for an old one never touches the next:
 * once over, it has no connection any more, and does nothing.
 */
export class ServerExchange implements ClientStream {
  readonly requestBody: BodyLength;
  readonly isHead: boolean;
  readonly isHttp10: boolean;
  readonly keepAlive: boolean;
  exchange: Exchange | undefined = undefined;
  handler: ClientHandler | undefined = undefined;

  requestEnded: boolean;
  /** The body is held back. */
  paused = true;
  /** A 100 is owed before the body comes. */
  owesContinue: boolean;
  bodyLimit = Number.POSITIVE_INFINITY;

  responded = false;
  /** The answer's body ends with the connection, so that only a reset tells a truncated one. */
  closeDelimited = false;
  closeWanted = false;
  #chunked = false;
  /** Bytes of the answer's body that are still to come; not used where its length is unknown. */
  #left = 0;
  #server: ServerConnection | undefined;
  readonly #connection: Connection;
  /** The connection, once it has switched protocols. */
  #switched: SwitchedConnection | undefined = undefined;

  constructor(server: ServerConnection, connection: Connection, head: ParsedRequest) {
    this.#server = server;
    this.#connection = connection;
    this.requestBody = head.body;
    this.requestEnded = isEmptyBody(head.body);
    this.isHead = head.method === 'HEAD';
    this.isHttp10 = head.isHttp10;
    this.keepAlive = head.keepAlive;
    this.owesContinue = head.expectsContinue;
  }

  /** Nothing that is called from now on has an effect. */
  detach(): void {
    this.#server = undefined;
  }

  resumeRequestBody(): void {
    if (this.#server === undefined || this.requestEnded || !this.paused) return;
    this.paused = false;
    if (this.#switched !== undefined) {
      this.#switched.resume();
      return;
    }
    if (this.owesContinue && !this.responded && this.requestBody <= this.bodyLimit) {
      this.owesContinue = false;
      this.#connection.writeLatin1('HTTP/1.1 100 Continue\r\n\r\n');
    }
    this.#server.bodyResumed(this);
  }

  pauseRequestBody(): void {
    if (this.#server === undefined || this.requestEnded) return;
    this.paused = true;
    if (this.#switched !== undefined) this.#switched.pause();
    else this.#server.bodyPaused();
  }

  setBodyLimit(bytes: number): void {
    this.bodyLimit = bytes;
  }

  respond(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, stable: boolean, last: boolean): boolean {
    const server = this.#server;
    if (server === undefined || this.responded) return true;
    if (status === 101) return this.#switch(server, fields, first, start, end, stable);
    // A body that has come to its end has a length, whatever its sender thought of it.
    const bodyLength = last && length === UNKNOWN_LENGTH ? end - start : length;
    const head = this.#head(server, status, fields, bodyLength, last);
    let writable: boolean;
    if (first === undefined || start >= end) writable = this.#connection.writeLatin1(head);
    else if (this.#chunked) writable = writeChunk(this.#connection, head, first, start, end, stable);
    else if (this.closeDelimited) writable = this.#connection.writeHeadAndBytes(head, first, start, end, stable);
    else if (this.#left > 0) writable = this.#connection.writeHeadAndBytes(head, first, start, this.#taken(start, end), stable);
    else writable = this.#connection.writeLatin1(head);
    if (!writable) server.outputHeld();
    if (last) this.#end(server);
    return writable;
  }

  respondText(status: number, fields: Fields, body: string): void {
    const server = this.#server;
    if (server === undefined || this.responded) return;
    const head = this.#head(server, status, fields, body.length, true);
    const writable = this.#connection.writeLatin1(this.#left === 0 ? head : head + body);
    this.#left = 0;
    if (!writable) server.outputHeld();
    this.#end(server);
  }

  writeBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    const server = this.#server;
    if (server === undefined || start >= end) return true;
    let writable = true;
    if (this.#switched !== undefined) return this.#switched.write(bytes, start, end, stable);
    if (this.#chunked) {
      writable = writeChunk(this.#connection, '', bytes, start, end, stable);
    } else if (this.closeDelimited) {
      writable = this.#connection.write(bytes, start, end, stable);
    } else if (this.#left > 0) {
      writable = this.#connection.write(bytes, start, this.#taken(start, end), stable);
    }
    if (!writable) server.outputHeld();
    return writable;
  }

  endBody(trailers: Fields | undefined): void {
    const server = this.#server;
    if (server === undefined || !this.responded) return;
    if (this.#switched !== undefined) {
      this.#switched.end();
      return;
    }
    if (this.#chunked && !this.#connection.writeLatin1(trailers === undefined ? '0\r\n\r\n' : `0\r\n${trailers.serialize()}\r\n`)) server.outputHeld();
    this.#end(server);
  }

  inform(status: number, fields: Fields): void {
    if (this.#server === undefined || this.responded || this.isHttp10) return;
    fields.removeKinds(HOP_BY_HOP | CONTENT_LENGTH);
    this.#connection.writeLatin1(`${statusLine(status)}${fields.serialize()}\r\n`);
  }

  abort(): void {
    if (this.#server === undefined) return;
    if (this.#switched !== undefined) this.#switched.abort();
    else this.#server.cut();
  }

  /** From here on the connection is a tunnel. */
  #switch(server: ServerConnection, fields: Fields, first: Buffer | undefined, start: number, end: number, stable: boolean): boolean {
    this.responded = true;
    this.requestEnded = false;
    fields.removeKinds(HOP_BY_HOP | CONTENT_LENGTH);
    const head = `${statusLine(101)}${fields.serialize()}${WEBSOCKET_LINES}\r\n`;
    const writable =
      first === undefined || start >= end ? this.#connection.writeLatin1(head) : this.#connection.writeHeadAndBytes(head, first, start, end, stable);
    if (!writable) server.outputHeld();
    this.#switched = server.switched(new ClientTunnel(this, server));
    return writable;
  }

  /** The answer's head, with the framing that fits the client (RFC 9112 section 6). */
  #head(server: ServerConnection, status: number, fields: Fields, length: BodyLength, last: boolean): string {
    this.responded = true;
    fields.removeKinds(HOP_BY_HOP);
    let framing = '';
    if (this.isHead || status === 204 || status === 304) {
      // No body, but Content-Length may tell what a GET would have got; in a 204 it is forbidden (RFC 9110 section 8.6).
      if (status === 204) fields.removeKinds(CONTENT_LENGTH);
      else if (status !== 304 && length >= 0 && !fields.mayHave(CONTENT_LENGTH)) framing = `Content-Length: ${length}\r\n`;
    } else {
      fields.removeKinds(CONTENT_LENGTH);
      if (length !== UNKNOWN_LENGTH) {
        this.#left = Math.max(length, 0);
        framing = `Content-Length: ${this.#left}\r\n`;
      } else if (this.isHttp10) {
        this.closeDelimited = true;
      } else {
        this.#chunked = true;
        framing = 'Transfer-Encoding: chunked\r\n';
      }
    }
    // Who is told that the request takes too long may send the rest of it or not (RFC 9110 section 15.5.9).
    if (status === 408 && !this.requestEnded) this.closeWanted = true;
    if (server.isLastAnswer(this, last)) framing += 'Connection: close\r\n';
    else if (this.isHttp10) framing += 'Connection: keep-alive\r\n';
    if (!fields.mayHave(DATE)) framing += dateLine(server.now);
    return `${statusLine(status)}${fields.serialize()}${framing}\r\n`;
  }

  /** Where bytes of the body must stop so that they don't exceed the length that was announced. */
  #taken(start: number, end: number): number {
    const length = Math.min(end - start, this.#left);
    this.#left -= length;
    return start + length;
  }

  #end(server: ServerConnection): void {
    // Less than was announced: nobody may take it for the whole.
    if (this.#left > 0) server.cut();
    else server.answerEnded(this);
  }
}

/** What comes out of a client's connection that has switched protocols, as the exchange's handler hears it. */
class ClientTunnel implements SwitchedHandler {
  readonly #stream: ServerExchange;
  readonly #server: ServerConnection;

  constructor(stream: ServerExchange, server: ServerConnection) {
    this.#stream = stream;
    this.#server = server;
  }

  onBytes(bytes: Buffer, start: number, end: number): void {
    this.#stream.handler?.onRequestData(bytes, start, end, false);
  }

  onBytesEnd(): void {
    this.#stream.requestEnded = true;
    this.#stream.handler?.onRequestEnd(undefined);
  }

  onWritable(): void {
    this.#stream.handler?.onClientWritable();
  }

  onLost(error: Error | undefined): void {
    this.#server.onClose(error);
  }

  onClosed(error: Error | undefined): void {
    this.#server.switchedClosed(error);
  }
}
