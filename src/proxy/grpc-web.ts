/**
 * gRPC-Web in front of gRPC: what browsers can't do, which is to read trailers, comes as a last frame of the body; and in its
 * text form both bodies are base64 (gRPC-Web protocol). The exchange sees a gRPC request, and the client a gRPC-Web answer:
 * both sides of the translation sit between the engine's stream and the exchange.
 */
import type { Exchange } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import { GrpcKind, kindOfMediaType } from '../exchange/grpc.ts';
import { type BodyLength, type ClientHandler, type ClientStream, isEmptyBody, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { Base64Decoder } from './base64-decoder.ts';
import * as replies from './replies.ts';

/** Of the frame that has the trailers: the highest bit of its first byte. */
const TRAILERS_FRAME = 0x80;
const NO_BYTES = Buffer.alloc(0);

/** The client's side of an exchange, translated; it takes the engine's stream's place. */
export class GrpcWebStream implements ClientStream, ClientHandler {
  readonly requestBody: BodyLength;
  readonly #stream: ClientStream;
  readonly #exchange: Exchange;
  readonly #decoder: Base64Decoder | undefined;
  /** Which form the answer has; the client may ask for another one than its request has. */
  readonly #answersText: boolean;
  #handler: ClientHandler | undefined = undefined;
  /** The answer is gRPC, and so one to translate. */
  #translates = false;
  #refused = false;

  /** Makes the exchange one of gRPC. @param kind Web or WebText */
  constructor(exchange: Exchange, kind: GrpcKind) {
    const { stream, requestFields } = exchange;
    this.#stream = stream;
    this.#exchange = exchange;
    this.#decoder = kind === GrpcKind.WebText ? new Base64Decoder() : undefined;
    const accepted = kindOfMediaType(requestFields.get('accept') ?? '');
    this.#answersText = accepted === GrpcKind.WebText || (accepted !== GrpcKind.Web && kind === GrpcKind.WebText);
    this.requestBody = this.#decoder !== undefined && !isEmptyBody(stream.requestBody) ? UNKNOWN_LENGTH : stream.requestBody;
    const contentType = requestFields.get('content-type') as string;
    requestFields.set('Content-Type', contentType.replace(/grpc-web(-text)?/i, 'grpc'));
    if (accepted !== GrpcKind.None) requestFields.set('Accept', 'application/grpc');
    exchange.stream = this;
  }

  /** @param handler the exchange's life. @returns what the engine is to talk to */
  handledBy(handler: ClientHandler): ClientHandler {
    this.#handler = handler;
    // In binary form the request is as gRPC has it.
    return this.#decoder === undefined ? handler : this;
  }

  get requestEnded(): boolean {
    return this.#stream.requestEnded;
  }

  get responded(): boolean {
    return this.#stream.responded;
  }

  resumeRequestBody(): void {
    this.#stream.resumeRequestBody();
  }

  pauseRequestBody(): void {
    this.#stream.pauseRequestBody();
  }

  setBodyLimit(bytes: number): void {
    this.#stream.setBodyLimit(bytes);
  }

  // --- the answer ---

  respond(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, stable: boolean, last: boolean): boolean {
    this.#translates = this.#translateHead(fields);
    if (!this.#translates) return this.#stream.respond(status, fields, length, first, start, end, stable, last);
    // The trailers make the body longer, and so does base64.
    const text = this.#answersText && first !== undefined ? base64(first, start, end) : undefined;
    const whole = text === undefined || length < 0 ? length : text.length;
    if (text === undefined) return this.#stream.respond(status, fields, last ? whole : UNKNOWN_LENGTH, first, start, end, stable, last);
    return this.#stream.respond(status, fields, last ? whole : UNKNOWN_LENGTH, text, 0, text.length, true, last);
  }

  respondText(status: number, fields: Fields, body: string): void {
    // An answer of the gateway's own has no body where it is gRPC: its status is among the fields.
    this.#translateHead(fields);
    this.#stream.respondText(status, fields, body);
  }

  writeBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (!this.#translates || !this.#answersText) return this.#stream.writeBody(bytes, start, end, stable);
    const text = base64(bytes, start, end);
    return this.#stream.writeBody(text, 0, text.length, true);
  }

  endBody(trailers: Fields | undefined): void {
    if (this.#translates && trailers !== undefined) {
      const frame = trailersFrame(trailers);
      this.writeBody(frame, 0, frame.length, true);
      this.#stream.endBody(undefined);
    } else {
      this.#stream.endBody(trailers);
    }
  }

  inform(status: number, fields: Fields): void {
    this.#stream.inform(status, fields);
  }

  abort(): void {
    this.#stream.abort();
  }

  /** @returns whether the answer is gRPC */
  #translateHead(fields: Fields): boolean {
    const contentType = fields.get('content-type') ?? '';
    if (kindOfMediaType(contentType) !== GrpcKind.Grpc) return false;
    fields.set('Content-Type', contentType.replace(/grpc/i, this.#answersText ? 'grpc-web-text' : 'grpc-web'));
    return true;
  }

  // --- the request, in text form ---

  onRequestData(bytes: Buffer, start: number, end: number, _stable: boolean): void {
    if (this.#refused) return;
    const decoded = this.#decoder?.decode(bytes, start, end) ?? NO_BYTES;
    if (this.#decoder?.failed === true) this.#refuse();
    else if (decoded.length > 0) this.#handler?.onRequestData(decoded, 0, decoded.length, true);
  }

  onRequestEnd(trailers: Fields | undefined): void {
    if (this.#refused) return;
    if (this.#decoder?.complete === false) this.#refuse();
    else this.#handler?.onRequestEnd(trailers);
  }

  onRequestError(status: number, reason: string, responseBytes: number): void {
    if (!this.#refused) this.#handler?.onRequestError(status, reason, responseBytes);
  }

  onClientGone(): void {
    if (!this.#refused) this.#handler?.onClientGone();
  }

  onClientWritable(): void {
    if (!this.#refused) this.#handler?.onClientWritable();
  }

  #refuse(): void {
    this.#refused = true;
    const reply = replies.notBase64;
    if (this.#stream.responded) {
      this.#stream.abort();
    } else {
      // It has no body: its status is among the fields.
      this.respondText(200, replies.render(reply, this.#exchange.requestId, true).fields, '');
    }
    this.#handler?.onRequestError(reply.status, reply.reason, 0);
  }
}

/** With its padding: a text answer is a row of them. */
function base64(bytes: Buffer, start: number, end: number): Buffer {
  return Buffer.from(bytes.toString('base64', start, end), 'latin1');
}

function trailersFrame(trailers: Fields): Buffer {
  let text = '';
  trailers.forEach((name, value) => {
    text += `${name.toLowerCase()}: ${value}\r\n`;
  });
  const frame = Buffer.alloc(5 + text.length);
  frame[0] = TRAILERS_FRAME;
  frame.writeUInt32BE(text.length, 1);
  frame.write(text, 5, 'latin1');
  return frame;
}
