// The global of that name is looked up anew at each use.
import { performance } from 'node:perf_hooks';
import type { Timed } from '../exchange/deadlines.ts';
import { Exchange } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import { ConnectionPeer, type Peer } from '../exchange/peer.ts';
import { newRequestId } from '../exchange/request-id.ts';
import { type ExchangeSink, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import type { Connection, ConnectionHandler, TlsInfo } from '../wire/wire.ts';
import { Body, BodyReader } from './body-reader.ts';
import { BODY_CUT, BODY_TOO_LARGE, type Fault, SLOW_HEAD } from './fault.ts';
import { Scan } from './field-scanner.ts';
import { HALF_CLOSE_GRACE, HalfCloseWatch } from './half-close.ts';
import { giveHeadParser, takeHeadParser } from './head-parser-pool.ts';
import { HeldBytes } from './held-bytes.ts';
import { FLUSH_TIMEOUT, LingeringClose } from './lingering-close.ts';
import { PartialBytes } from './partial-bytes.ts';
import { bodyLength, problemAnswer } from './problem-answer.ts';
import { refuse } from './refuse.ts';
import type { ParsedRequest, RequestHeadParser } from './request-head.ts';
import { ServerExchange } from './server-exchange.ts';
import type { ServerOptions } from './server-options.ts';
import { SwitchedConnection, type SwitchedHandler } from './switched-connection.ts';
import { defer } from './turn-queue.ts';

export type { ServerOptions } from './server-options.ts';

/** Reading a head, or waiting for the answer to the request that was read. */
const AT_HEAD = 0;
const IN_BODY = 1;
/** No request is read any more: the connection is cut, closed, left to its LingeringClose, or has switched protocols. */
const CLOSED = 2;
type State = typeof AT_HEAD | typeof IN_BODY | typeof CLOSED;

/** Pipelined bytes kept while an answer is under way; beyond that reading stops. */
const MAX_HELD = 16 * 1024;
/** Of a request body that nobody wants: up to here it is read and dropped, beyond that the connection closes. */
const MAX_DRAINED = 64 * 1024;
/** Bodies above this are read in bulk mode. */
const BULK_THRESHOLD = 64 * 1024;
/** Milliseconds for the rest of a body that nobody wants. */
const DRAIN_TIMEOUT = 5_000;

/** One client's connection: reads requests one after the other, hands each to the sink, and reads the next when it is answered. */
export class ServerConnection implements ConnectionHandler, Timed {
  // Not left open: a field that was undefined first takes a new object for each number.
  deadline = Number.POSITIVE_INFINITY;
  deadlineIndex = -1;
  readonly #connection: Connection;
  readonly #peer: Peer;
  readonly #options: ServerOptions;
  readonly #sink: ExchangeSink;
  readonly #onClosed: (() => void) | undefined;
  readonly #parser: RequestHeadParser;
  readonly #body = new BodyReader();
  readonly #partial = new PartialBytes();
  readonly #held = new HeldBytes();
  #state: State = AT_HEAD;
  #current: ServerExchange | undefined = undefined;
  #requests = 0;
  #startedAt = 0;
  #drainedBytes = 0;
  #pendingFault: Fault | undefined = undefined;
  #consuming = false;
  #deferred = false;
  #reading = true;
  #bulk = false;
  /** The client takes no more for now. */
  #outputHeld = false;
  #peerEnded = false;
  #halfClose: HalfCloseWatch | undefined = undefined;
  #closeWhenIdle = false;

  /** Takes the connection over. @param onClosed called once when it is gone */
  constructor(connection: Connection, options: ServerOptions, sink: ExchangeSink, onClosed?: () => void) {
    this.#connection = connection;
    this.#peer = new ConnectionPeer(connection);
    this.#options = options;
    this.#sink = sink;
    this.#onClosed = onClosed;
    this.#parser = takeHeadParser(options, options.scheme);
    this.deadline = options.deadlines.now + options.headerTimeout;
    options.deadlines.add(this);
    connection.handler = this;
  }

  /** As of the last sweep of the deadlines. */
  get now(): number {
    return this.#options.deadlines.now;
  }

  /** No request is under way, nor has one begun to arrive. */
  get idle(): boolean {
    return this.#current === undefined && this.#state === AT_HEAD && this.#partial.length === 0 && this.#held.empty;
  }

  get tls(): TlsInfo | undefined {
    return this.#connection.tls;
  }

  /** Closes the connection now, if it is idle, or as soon as it is. */
  closeIfIdle(): void {
    this.#closeWhenIdle = true;
    if (this.idle) this.#closeIdle();
  }

  // --- reading ---

  onData(bytes: Buffer, start: number, end: number): void {
    if (this.#held.empty) {
      this.#consume(bytes, start, end, this.#bulk, false);
    } else {
      this.#held.append(bytes, start, end);
      this.#updateReading();
    }
  }

  /** @param stable the bytes stay as they are while reading is paused; @param owned they stay as they are for good */
  #consume(bytes: Buffer, start: number, end: number, stable: boolean, owned: boolean): void {
    this.#consuming = true;
    let position = start;
    while (position < end) {
      const next = this.#step(bytes, position, end, stable || owned);
      if (next < 0) break;
      position = next;
    }
    this.#consuming = false;
    if (position < end) {
      this.#held.hold(bytes, position, end, owned || (stable && this.#state === IN_BODY));
      this.#updateReading();
    }
    if (this.#bulk && this.#state !== IN_BODY) {
      this.#bulk = false;
      this.#connection.setBulk(false);
    }
  }

  /** @returns where to go on, or -1 when that is to wait */
  #step(bytes: Buffer, position: number, end: number, stable: boolean): number {
    if (this.#state === AT_HEAD) return this.#current === undefined && !this.#outputHeld ? this.#readHead(bytes, position, end) : -1;
    if (this.#state === IN_BODY) return this.#current?.paused === true || this.#pendingFault !== undefined ? -1 : this.#readBody(bytes, position, end, stable);
    return end;
  }

  #readHead(bytes: Buffer, position: number, end: number): number {
    const parser = this.#parser;
    const partial = this.#partial;
    const before = partial.length;
    let text = bytes;
    let base = position;
    let stop = end;
    if (before === 0) {
      this.#startedAt = performance.now();
      parser.begin();
      const head = parser.recall(bytes, position, end);
      if (head !== undefined) {
        this.#begin(head);
        return position + head.headBytes;
      }
    } else {
      partial.append(bytes, position, Math.min(end, position + this.#options.maxHeaderBytes));
      text = partial.bytes;
      base = 0;
      stop = partial.length;
    }
    const result = parser.parse(text, base, stop);
    if (result === Scan.More) {
      if (before > 0) return end;
      partial.append(bytes, position, end);
      this.deadline = this.now + this.#options.headerTimeout;
      return end;
    }
    const head = result === Scan.Done ? parser.finish(text, base) : undefined;
    if (head === undefined) {
      this.#refuse(parser.fault);
      return end;
    }
    if (before > 0) partial.clear();
    if (parser.droppedFields > 0) this.#options.onFieldsDropped(parser.droppedFields);
    this.#begin(head);
    return position + head.headBytes - before;
  }

  #begin(head: ParsedRequest): void {
    this.#requests++;
    const stream = new ServerExchange(this, this.#connection, head);
    const exchange = new Exchange(head, stream, this.#peer, this.#startedAt);
    stream.exchange = exchange;
    this.#current = stream;
    this.deadline = Number.POSITIVE_INFINITY;
    if (!stream.requestEnded) {
      this.#state = IN_BODY;
      this.#body.begin(head.body, head.body === UNKNOWN_LENGTH);
      this.#drainedBytes = 0;
    }
    stream.handler = this.#sink.onExchange(exchange);
    if (!stream.requestEnded) this.#updateReading();
  }

  #readBody(bytes: Buffer, position: number, end: number, stable: boolean): number {
    const body = this.#body;
    const result = body.next(bytes, position, end);
    if (result === Body.Data) {
      const stream = this.#current;
      if (stream === undefined) {
        this.#drainedBytes += body.dataEnd - body.dataStart;
        if (this.#drainedBytes > MAX_DRAINED) this.#close();
      } else if (body.length > stream.bodyLimit) {
        this.#failBody(BODY_TOO_LARGE);
      } else {
        // After the last bytes the buffer is used for other things, whether or not they have been sent on.
        stream.handler?.onRequestData(bytes, body.dataStart, body.dataEnd, stable && !body.complete);
      }
      if (body.complete) this.#endRequest(undefined);
      else this.#useBulk(body.left > 0 ? body.left : body.length);
    } else if (result === Body.End) {
      this.#endRequest(body.trailers);
    } else if (result === Body.Bad) {
      this.#failBody(body.fault);
    }
    return body.position;
  }

  #useBulk(bytes: number): void {
    if (this.#bulk || bytes <= BULK_THRESHOLD || this.#state !== IN_BODY) return;
    this.#bulk = true;
    this.#connection.setBulk(true);
  }

  #endRequest(trailers: Fields | undefined): void {
    if (this.#state !== IN_BODY) return;
    this.#state = AT_HEAD;
    const stream = this.#current;
    if (stream === undefined) {
      this.#awaitRequest();
    } else {
      stream.requestEnded = true;
      stream.handler?.onRequestEnd(trailers);
    }
    this.#updateReading();
  }

  /** The request's body can't be gone on with. */
  #failBody(fault: Fault): void {
    const stream = this.#current;
    if (stream === undefined) {
      this.#close();
      return;
    }
    let answer = '';
    if (stream.responded) {
      this.cut();
    } else {
      this.#current = undefined;
      stream.detach();
      answer = problemAnswer(fault, stream.exchange?.requestId || newRequestId(), stream.isHead, this.now);
      this.#connection.writeLatin1(answer);
      this.#close();
    }
    stream.handler?.onRequestError(fault.status, fault.reason, answer === '' ? 0 : bodyLength(answer));
  }

  #updateReading(): void {
    if (this.#state === CLOSED) return;
    const stream = this.#current;
    const wanted = stream !== undefined && !stream.requestEnded ? !stream.paused && this.#held.empty : this.#held.length < MAX_HELD;
    if (wanted === this.#reading) return;
    this.#reading = wanted;
    if (wanted) this.#connection.resumeReading();
    else this.#connection.pauseReading();
  }

  // --- called by the exchange's stream ---

  bodyResumed(stream: ServerExchange): void {
    if (stream.requestBody > stream.bodyLimit) this.#pendingFault = BODY_TOO_LARGE;
    if (!this.#held.empty || this.#pendingFault !== undefined || this.#peerEnded) this.#defer();
    else if (!this.#consuming) this.#updateReading();
  }

  bodyPaused(): void {
    this.#updateReading();
  }

  outputHeld(): void {
    this.#outputHeld = true;
  }

  /** Whether the connection closes after this answer; asked when its head is made. @param complete nothing more of it follows */
  isLastAnswer(stream: ServerExchange, complete: boolean): boolean {
    const options = this.#options;
    // What came in before the client's end is still answered.
    const peerIsDone = this.#peerEnded && this.#held.empty;
    const isOld = this.#closeWhenIdle || this.#requests >= options.maxRequestsPerConnection || options.isDraining();
    if (!stream.keepAlive || stream.closeDelimited || peerIsDone || isOld) {
      stream.closeWanted = true;
    } else if (!stream.requestEnded) {
      // Without its 100 the client may send the body or not, and nobody could tell it from the next request (RFC 9110 section 10.1.1).
      if (stream.owesContinue || (complete && (this.#body.chunked || this.#body.left > MAX_DRAINED))) stream.closeWanted = true;
    }
    return stream.closeWanted;
  }

  answerEnded(stream: ServerExchange): void {
    stream.detach();
    this.#current = undefined;
    if (stream.closeWanted || (!stream.requestEnded && this.#body.left > MAX_DRAINED)) {
      // A client that asked for this sends no more, so that there is nothing to linger for.
      this.#close(!stream.keepAlive && stream.requestEnded && !this.#consuming && this.#held.empty);
      return;
    }
    if (stream.requestEnded) this.#awaitRequest();
    else this.deadline = this.now + DRAIN_TIMEOUT;
    if (this.#consuming) return;
    if (!this.#held.empty || this.#peerEnded) this.#defer();
    else this.#updateReading();
  }

  /** Cuts the connection so that the client can't take the answer for complete. */
  cut(): void {
    const stream = this.#current;
    this.#current = undefined;
    stream?.detach();
    this.#state = CLOSED;
    this.#held.clear();
    if (stream?.closeDelimited === true) this.#connection.reset();
    else this.#connection.destroy();
  }

  /** The answer under way has switched protocols: what comes in from here on is no HTTP. */
  switched(handler: SwitchedHandler): SwitchedConnection {
    this.#state = CLOSED;
    this.#options.deadlines.remove(this);
    const state = { early: this.#held, peerEnded: this.#peerEnded, reading: this.#reading, paused: true, outputHeld: this.#outputHeld };
    return new SwitchedConnection(this.#connection, this.#options.deadlines, state, handler);
  }

  /** The connection had switched protocols, and both directions have ended. */
  switchedClosed(error: Error | undefined): void {
    this.#current?.detach();
    this.#current = undefined;
    this.onClose(error);
  }

  // --- between requests, and the end ---

  #awaitRequest(): void {
    if (this.#closeWhenIdle) this.#close();
    else this.deadline = this.now + (this.#outputHeld ? FLUSH_TIMEOUT : this.#options.keepAliveTimeout);
  }

  #defer(): void {
    if (this.#deferred) return;
    this.#deferred = true;
    defer(this);
  }

  runDeferred(): void {
    this.#deferred = false;
    if (this.#state === CLOSED) return;
    const fault = this.#pendingFault;
    if (fault !== undefined) {
      this.#pendingFault = undefined;
      if (this.#current !== undefined) this.#failBody(fault);
    }
    if (!this.#held.empty) {
      const { bytes, start, end } = this.#held;
      this.#held.clear();
      this.#consume(bytes, start, end, false, true);
    }
    this.#updateReading();
    if (this.#peerEnded && this.#held.empty) this.#atPeerEnd();
  }

  onDrain(): void {
    this.#outputHeld = false;
    const stream = this.#current;
    if (stream !== undefined) {
      stream.handler?.onClientWritable();
    } else if (this.#state === AT_HEAD) {
      if (this.#partial.length === 0) this.#awaitRequest();
      if (!this.#held.empty || this.#peerEnded) this.#defer();
    }
  }

  onEnd(): void {
    this.#peerEnded = true;
    if (this.#held.empty && !this.#deferred) this.#atPeerEnd();
  }

  /** The client sends no more, and all that it has sent was consumed. */
  #atPeerEnd(): void {
    const stream = this.#current;
    if (stream === undefined) {
      this.#close();
    } else if (!stream.requestEnded) {
      if (!stream.paused) this.#failBody(BODY_CUT);
    } else {
      this.#halfClose ??= new HalfCloseWatch();
      this.#halfClose.begin(this.#connection);
      this.deadline = this.now + HALF_CLOSE_GRACE;
    }
  }

  onClose(_error: Error | undefined): void {
    this.#state = CLOSED;
    giveHeadParser(this.#parser, this.#options, this.#options.scheme);
    this.#held.clear();
    this.#partial.clear();
    this.#options.deadlines.remove(this);
    const stream = this.#current;
    this.#current = undefined;
    if (stream !== undefined) {
      stream.detach();
      stream.handler?.onClientGone();
    }
    this.#onClosed?.();
  }

  onDeadline(): void {
    this.deadline = Number.POSITIVE_INFINITY;
    const stream = this.#current;
    if (stream !== undefined) {
      const interval = this.#halfClose?.look(this.#connection, stream, this.#outputHeld);
      if (interval === 0) this.#connection.destroy();
      else if (interval !== undefined) this.deadline = this.now + interval;
    } else if (this.#state === AT_HEAD && this.#partial.length > 0) {
      this.#parser.noteUnfinished(this.#partial.bytes, 0);
      this.#refuse(SLOW_HEAD);
    } else if (this.#state === AT_HEAD && !this.#outputHeld) {
      this.#closeIdle();
    } else {
      this.#connection.destroy();
    }
  }

  #refuse(fault: Fault): void {
    const refusal = refuse(fault, this.#connection, this.#parser, this.#startedAt, this.now);
    this.#close();
    this.#sink.onRefused(refusal);
  }

  /** After what was written, and for good. @param finishing there is nothing to linger for: everything was read, and no more will come */
  #close(finishing = false): void {
    if (this.#state === CLOSED) return;
    this.#state = CLOSED;
    this.#held.clear();
    this.#partial.clear();
    this.#options.deadlines.remove(this);
    if (!this.#reading) {
      this.#reading = true;
      this.#connection.resumeReading();
    }
    new LingeringClose(this.#connection, this.#options.deadlines, finishing, this.#outputHeld, (error) => this.onClose(error));
  }

  /** Without an answer on its way there is nothing to linger for. */
  #closeIdle(): void {
    this.#close(!this.#outputHeld);
  }
}
