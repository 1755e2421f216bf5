// The global of that name is looked up anew at each use.
import { performance } from 'node:perf_hooks';
import type { Timed } from '../exchange/deadlines.ts';
import type { Fields } from '../exchange/fields.ts';
import type { Connection } from '../wire/wire.ts';
import { Body, BodyReader } from './body-reader.ts';
import { BODY_TOO_LARGE, type Fault } from './fault.ts';
import { Scan } from './field-scanner.ts';
import { takeHeadParser } from './head-parser-pool.ts';
import { HeldBytes } from './held-bytes.ts';
import { PartialBytes } from './partial-bytes.ts';
import type { ParsedRequest, RequestHeadParser } from './request-head.ts';
import type { ServerExchange } from './server-exchange.ts';
import type { ServerOptions } from './server-options.ts';

/** Reading a head, or waiting for the answer to the request that was read. */
export const AT_HEAD = 0;
export const IN_BODY = 1;
/** No request is read any more: the connection is cut, closed, left to its LingeringClose, or has switched protocols. */
export const CLOSED = 2;
type State = typeof AT_HEAD | typeof IN_BODY | typeof CLOSED;

/** Pipelined bytes kept while an answer is under way; beyond that reading stops. */
const MAX_HELD = 16 * 1024;
/** Of a request body that nobody wants: up to here it is read and dropped, beyond that the connection closes. */
export const MAX_DRAINED = 64 * 1024;
/** Bodies above this are read in bulk mode. */
const BULK_THRESHOLD = 64 * 1024;

/**
 * The reading half of a client's connection: takes requests out of its bytes, one after the other, and holds back what
 * comes before its time. What a request is answered, and when the connection closes, is the subclass's.
 */
export abstract class RequestReader implements Timed {
  // Not left open: a field that was undefined first takes a new object for each number.
  deadline = Number.POSITIVE_INFINITY;
  deadlineIndex = -1;
  protected readonly connection: Connection;
  protected readonly options: ServerOptions;
  protected readonly parser: RequestHeadParser;
  protected readonly body = new BodyReader();
  protected readonly partial = new PartialBytes();
  protected readonly held = new HeldBytes();
  protected state: State = AT_HEAD;
  /** The exchange that is not yet answered. */
  protected current: ServerExchange | undefined = undefined;
  /** When the first byte of the head came. */
  protected startedAt = 0;
  protected drainedBytes = 0;
  /** Known of a body that is still held back. */
  protected pendingFault: Fault | undefined = undefined;
  protected consuming = false;
  protected reading = true;
  /** The client takes no more for now. */
  protected blocked = false;
  #bulk = false;

  constructor(connection: Connection, options: ServerOptions) {
    this.connection = connection;
    this.options = options;
    this.parser = takeHeadParser(options, options.scheme);
  }

  /** As of the last sweep of the deadlines. */
  get now(): number {
    return this.options.deadlines.now;
  }

  abstract onDeadline(now: number): void;
  /** A head was read. */
  protected abstract begin(head: ParsedRequest): void;
  /** A head can't be gone on with. */
  protected abstract refuse(fault: Fault): void;
  /** The request's body can't be gone on with. */
  protected abstract failBody(fault: Fault): void;
  /** The request is read and answered. */
  protected abstract awaitRequest(): void;
  protected abstract close(): void;

  onData(bytes: Buffer, start: number, end: number): void {
    if (this.held.empty) {
      this.consume(bytes, start, end, this.#bulk, false);
    } else {
      this.held.append(bytes, start, end);
      this.updateReading();
    }
  }

  /** @param stable the bytes stay as they are while reading is paused; @param owned they stay as they are for good */
  protected consume(bytes: Buffer, start: number, end: number, stable: boolean, owned: boolean): void {
    this.consuming = true;
    let position = start;
    while (position < end) {
      const next = this.#step(bytes, position, end, stable || owned);
      if (next < 0) break;
      position = next;
    }
    this.consuming = false;
    if (position < end) {
      this.held.hold(bytes, position, end, owned || (stable && this.state === IN_BODY));
      this.updateReading();
    }
    if (this.#bulk && this.state !== IN_BODY) {
      this.#bulk = false;
      this.connection.setBulk(false);
    }
  }

  /** @returns where to go on, or -1 when that is to wait */
  #step(bytes: Buffer, position: number, end: number, stable: boolean): number {
    if (this.state === AT_HEAD) return this.current === undefined && !this.blocked ? this.#readHead(bytes, position, end) : -1;
    if (this.state === IN_BODY) return this.current?.paused === true || this.pendingFault !== undefined ? -1 : this.#readBody(bytes, position, end, stable);
    return end;
  }

  #readHead(bytes: Buffer, position: number, end: number): number {
    const parser = this.parser;
    const partial = this.partial;
    const before = partial.length;
    let text = bytes;
    let base = position;
    let stop = end;
    if (before === 0) {
      this.startedAt = performance.now();
      parser.begin();
      const head = parser.recall(bytes, position, end);
      if (head !== undefined) {
        this.begin(head);
        return position + head.headBytes;
      }
    } else {
      partial.append(bytes, position, Math.min(end, position + this.options.maxHeaderBytes));
      text = partial.bytes;
      base = 0;
      stop = partial.length;
    }
    const result = parser.parse(text, base, stop);
    if (result === Scan.More) {
      if (before > 0) return end;
      partial.append(bytes, position, end);
      this.deadline = this.now + this.options.headerTimeout;
      return end;
    }
    const head = result === Scan.Done ? parser.finish(text, base) : undefined;
    if (head === undefined) {
      this.refuse(parser.fault);
      return end;
    }
    if (before > 0) partial.clear();
    if (parser.droppedFields > 0) this.options.onFieldsDropped(parser.droppedFields);
    this.begin(head);
    return position + head.headBytes - before;
  }

  #readBody(bytes: Buffer, position: number, end: number, stable: boolean): number {
    const body = this.body;
    const result = body.next(bytes, position, end);
    if (result === Body.Data) {
      const stream = this.current;
      if (stream === undefined) {
        this.drainedBytes += body.dataEnd - body.dataStart;
        if (this.drainedBytes > MAX_DRAINED) this.close();
      } else if (body.length > stream.bodyLimit) {
        this.failBody(BODY_TOO_LARGE);
      } else {
        // After the last bytes the buffer is used for other things, whether or not they have been sent on.
        stream.handler?.onRequestData(bytes, body.dataStart, body.dataEnd, stable && !body.complete);
      }
      if (body.complete) this.#endRequest(undefined);
      else this.#useBulk(body.left > 0 ? body.left : body.length);
    } else if (result === Body.End) {
      this.#endRequest(body.trailers);
    } else if (result === Body.Bad) {
      this.failBody(body.fault);
    }
    return body.position;
  }

  #useBulk(bytes: number): void {
    if (this.#bulk || bytes <= BULK_THRESHOLD || this.state !== IN_BODY) return;
    this.#bulk = true;
    this.connection.setBulk(true);
  }

  #endRequest(trailers: Fields | undefined): void {
    if (this.state !== IN_BODY) return;
    this.state = AT_HEAD;
    const stream = this.current;
    if (stream === undefined) {
      this.awaitRequest();
    } else {
      stream.requestEnded = true;
      stream.handler?.onRequestEnd(trailers);
    }
    this.updateReading();
  }

  protected updateReading(): void {
    if (this.state === CLOSED) return;
    const stream = this.current;
    const wanted = stream !== undefined && !stream.requestEnded ? !stream.paused && this.held.empty : this.held.length < MAX_HELD;
    if (wanted === this.reading) return;
    this.reading = wanted;
    if (wanted) this.connection.resumeReading();
    else this.connection.pauseReading();
  }
}
