import type { Fields } from '../exchange/fields.ts';
import type { BodyLength, UpstreamFailure } from '../exchange/streams.ts';
import type { Connection } from '../wire/wire.ts';
import { Body, BodyReader } from './body-reader.ts';
import { LAST_CHUNK_BYTES } from './chunked-decoder.ts';
import type { ClientExchange } from './client-exchange.ts';
import { BAD_STATUS, EXCESS_BYTES, type Fault } from './fault.ts';
import { Scan } from './field-scanner.ts';
import { HeldBytes } from './held-bytes.ts';
import { PartialBytes } from './partial-bytes.ts';
import { ResponseHeadParser } from './response-head.ts';

export const CONNECTING = 0;
export const IDLE = 1;
export const AT_HEAD = 2;
export const IN_BODY = 3;
export const CLOSED = 4;
type State = typeof CONNECTING | typeof IDLE | typeof AT_HEAD | typeof IN_BODY | typeof CLOSED;

/** Interim answers before the final one; more are taken for an attack. */
const MAX_INTERIM = 16;
/** Bodies above this are read in bulk mode. */
const BULK_THRESHOLD = 64 * 1024;

/**
 * The reading half of a connection to a backend: takes the answer to the request under way out of its bytes, and holds back
 * what nobody wants yet. What is sent, and when the connection is used again or closed, is the subclass's.
 */
export abstract class ResponseReader {
  protected abstract readonly connection: Connection;
  protected readonly parser = new ResponseHeadParser();
  protected readonly body = new BodyReader();
  protected readonly partial = new PartialBytes();
  protected readonly held = new HeldBytes();
  protected state: State = CONNECTING;
  /** The request whose answer is not yet complete. */
  protected current: ClientExchange | undefined = undefined;
  protected consuming = false;
  protected reading = true;
  #interim = 0;
  #bulk = false;

  /** @returns where to go on; the answer is a 101 */
  protected abstract switchProtocols(stream: ClientExchange, fields: Fields, bytes: Buffer, position: number, end: number): number;
  protected abstract fail(failure: UpstreamFailure, cause: Error | undefined): void;
  /** The response is complete. @returns whether the connection can carry another request */
  protected abstract leave(stream: ClientExchange): boolean;
  /** What was said of the response has been heard. */
  protected abstract settle(reusable: boolean): void;

  /** Of the answer to another request. */
  protected beginReading(): void {
    this.#interim = 0;
    this.parser.begin();
  }

  /** Bytes came in for the request under way. */
  protected take(bytes: Buffer, start: number, end: number): void {
    if (this.held.empty) this.consume(bytes, start, end, this.#bulk);
    else this.held.append(bytes, start, end);
  }

  /** @param stable the bytes stay as they are while reading is paused */
  protected consume(bytes: Buffer, start: number, end: number, stable: boolean): void {
    this.consuming = true;
    let position = start;
    while (position < end && this.current !== undefined) {
      const stream = this.current;
      if (stream.paused) {
        this.held.hold(bytes, position, end, stable);
        break;
      }
      position = this.state === IN_BODY ? this.#readBody(stream, bytes, position, end, stable) : this.#readHead(stream, bytes, position, end);
    }
    this.consuming = false;
    this.updateReading();
  }

  #readHead(stream: ClientExchange, bytes: Buffer, position: number, end: number): number {
    const parser = this.parser;
    const partial = this.partial;
    const before = partial.length;
    if (before === 0) {
      const fields = parser.recall(bytes, position, end, stream.isHead);
      if (fields !== undefined) return this.#readFirst(stream, fields, bytes, position + parser.headBytes, end);
    } else {
      partial.append(bytes, position, end);
    }
    const text = before > 0 ? partial.bytes : bytes;
    const base = before > 0 ? 0 : position;
    const result = parser.parse(text, base, before > 0 ? partial.length : end);
    if (result === Scan.More) {
      if (before === 0) partial.append(bytes, position, end);
      return end;
    }
    const fields = result === Scan.Done ? parser.finish(text, base, stream.isHead) : undefined;
    if (fields === undefined) {
      this.malformed(parser.fault);
      return end;
    }
    if (before > 0) partial.clear();
    const next = position + parser.headBytes - before;
    const { status } = parser;
    if (status >= 200) return this.#readFirst(stream, fields, bytes, next, end);
    if (status === 101) return this.switchProtocols(stream, fields, bytes, next, end);
    // An interim answer that ends the connection, or is one of HTTP/1.0, which has none, can't be followed by another.
    if (!parser.keepAlive || ++this.#interim > MAX_INTERIM) {
      this.malformed(BAD_STATUS);
      return end;
    }
    parser.begin();
    if (status === 103) stream.handler.onInformational(status, fields);
    return next;
  }

  /** The final answer's head is there, and with it perhaps the first bytes of its body, or all of them. */
  #readFirst(stream: ClientExchange, fields: Fields, bytes: Buffer, position: number, end: number): number {
    const { status, body: length, chunked } = this.parser;
    const body = this.body;
    body.begin(length, chunked);
    this.state = IN_BODY;
    const empty = body.complete;
    const result = empty ? Body.End : body.next(bytes, position, end);
    const next = empty ? position : body.position;
    if (result === Body.Bad) {
      this.malformed(body.fault);
    } else if (body.complete && next < end) {
      this.malformed(EXCESS_BYTES);
    } else if (result === Body.Data) {
      const { dataStart, dataEnd } = body;
      // The only chunk and the end of the body often come together, and make a whole answer then.
      const ends = body.isAtLastChunk(bytes, end);
      if (ends && end - next > LAST_CHUNK_BYTES) {
        this.malformed(EXCESS_BYTES);
        return end;
      }
      if (body.complete || ends) {
        this.#respondWhole(stream, status, fields, dataEnd - dataStart, bytes, dataStart, dataEnd);
        return end;
      }
      stream.handler.onResponse(status, fields, length, bytes, dataStart, dataEnd, false, false);
      this.#useBulk();
    } else if (result === Body.End && body.trailers === undefined) {
      this.#respondWhole(stream, status, fields, empty ? length : 0, undefined, 0, 0);
    } else {
      stream.handler.onResponse(status, fields, length, undefined, 0, 0, false, false);
      if (result === Body.End && this.current === stream) this.endResponse(stream, body.trailers);
      else this.#useBulk();
    }
    return next;
  }

  #readBody(stream: ClientExchange, bytes: Buffer, position: number, end: number, stable: boolean): number {
    const body = this.body;
    const result = body.next(bytes, position, end);
    if (result === Body.Bad) {
      this.malformed(body.fault);
    } else if (body.complete && body.position < end) {
      this.malformed(EXCESS_BYTES);
    } else if (result === Body.Data) {
      // After the last bytes the buffer is used for other things, whether or not they have been sent on.
      stream.handler.onResponseData(bytes, body.dataStart, body.dataEnd, stable && !body.complete);
      if (body.complete && this.current === stream) this.endResponse(stream, undefined);
      else this.#useBulk();
    } else if (result === Body.End) {
      this.endResponse(stream, body.trailers);
    }
    return body.position;
  }

  #useBulk(): void {
    const body = this.body;
    if (this.#bulk || this.state !== IN_BODY || (body.left > 0 ? body.left : body.length) <= BULK_THRESHOLD) return;
    this.#bulk = true;
    this.connection.setBulk(true);
  }

  /** The body is over. */
  protected leaveBulk(): void {
    if (!this.#bulk) return;
    this.#bulk = false;
    this.connection.setBulk(false);
  }

  #respondWhole(stream: ClientExchange, status: number, fields: Fields, length: BodyLength, bytes: Buffer | undefined, start: number, end: number): void {
    const reusable = this.leave(stream);
    stream.handler.onResponse(status, fields, length, bytes, start, end, false, true);
    this.settle(reusable);
  }

  protected endResponse(stream: ClientExchange, trailers: Fields | undefined): void {
    const reusable = this.leave(stream);
    stream.handler.onResponseEnd(trailers);
    this.settle(reusable);
  }

  protected updateReading(): void {
    if (this.state === CLOSED) return;
    const stream = this.current;
    const wanted = stream === undefined || (!stream.paused && this.held.empty);
    if (wanted === this.reading) return;
    this.reading = wanted;
    if (wanted) this.connection.resumeReading();
    else this.connection.pauseReading();
  }

  protected malformed(fault: Fault): void {
    this.fail('malformed', new Error(fault.detail));
  }
}
