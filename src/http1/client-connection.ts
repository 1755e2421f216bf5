import type { Deadlines, Timed } from '../exchange/deadlines.ts';
import type { Fields } from '../exchange/fields.ts';
import { type BodyLength, UNKNOWN_LENGTH, type UpstreamFailure, type UpstreamHandler, type UpstreamRequest, type UpstreamStream } from '../exchange/streams.ts';
import type { ClientTls, Connection, ConnectionHandler, Wire } from '../wire/wire.ts';
import { Body, BodyReader } from './body-reader.ts';
import { LAST_CHUNK_BYTES } from './chunked-decoder.ts';
import { BackendTunnel, ClientExchange } from './client-exchange.ts';
import { BAD_STATUS, BAD_SWITCH, EXCESS_BYTES, type Fault } from './fault.ts';
import { Scan } from './field-scanner.ts';
import { HeldBytes } from './held-bytes.ts';
import { PartialBytes } from './partial-bytes.ts';
import { RequestWriter } from './request-writer.ts';
import { ResponseHeadParser } from './response-head.ts';
import { SwitchedConnection } from './switched-connection.ts';
import { defer } from './turn-queue.ts';
import { isAccepted } from './upgrade.ts';

/** Who keeps the connection. Neither is called from within `request` or `destroy`. */
export interface ClientConnectionOwner {
  /** Its exchange is complete in both directions and nothing is left over: it may carry another one, or wait for one. */
  onReusable(connection: ClientConnection): void;
  /** It is closed, or about to be, whoever closed it. */
  onGone(connection: ClientConnection): void;
}

const CONNECTING = 0;
const IDLE = 1;
const AT_HEAD = 2;
const IN_BODY = 3;
const CLOSED = 4;
type State = typeof CONNECTING | typeof IDLE | typeof AT_HEAD | typeof IN_BODY | typeof CLOSED;

/** Interim answers before the final one; more are taken for an attack. */
const MAX_INTERIM = 16;
/** Bodies above this are read in bulk mode. */
const BULK_THRESHOLD = 64 * 1024;

/** One connection to a backend: carries one request after the other. Whatever is not plainly right destroys it. */
export class ClientConnection implements ConnectionHandler, Timed {
  deadline = Number.POSITIVE_INFINITY;
  deadlineIndex = -1;
  /** Requests begun on it so far. */
  requests = 0;
  /** It carries one request at a time. */
  readonly hasRoom = false;
  /** The whole connection becomes one. */
  readonly takesTunnels = true;
  /** These two are of its owner's use. */
  generation = 0;
  preamble: Buffer | undefined = undefined;

  readonly #connection: Connection;
  readonly #deadlines: Deadlines;
  readonly #owner: ClientConnectionOwner;
  readonly #writer = new RequestWriter();
  readonly #parser = new ResponseHeadParser();
  readonly #body = new BodyReader();
  readonly #partial = new PartialBytes();
  readonly #held = new HeldBytes();
  #state: State = CONNECTING;
  #up = false;
  #current: ClientExchange | undefined = undefined;
  #goneTold = false;
  #interim = 0;
  #consuming = false;
  #deferred = false;
  #reading = true;
  #bulk = false;
  #peerEnded = false;

  /**
   * Begins to connect.
   * @param target a numeric address, its port, and how it is reached by TLS, if it is
   * @param connectTimeout milliseconds, for the TLS handshake as well
   */
  constructor(
    wire: Wire,
    deadlines: Deadlines,
    target: { readonly address: string; readonly port: number; readonly tls?: ClientTls | undefined; readonly preamble?: Buffer | undefined },
    connectTimeout: number,
    owner: ClientConnectionOwner,
  ) {
    this.#deadlines = deadlines;
    this.#owner = owner;
    this.deadline = deadlines.now + connectTimeout;
    deadlines.add(this);
    const { address, port, tls, preamble } = target;
    this.#connection = wire.connect({ host: address, port, handler: this, ...(tls === undefined ? {} : { tls }), preamble });
  }

  get connected(): boolean {
    return this.#up;
  }

  /** Sends a request; only before the first one, or after `onReusable`. May be called before the connection is up. */
  request(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream {
    if (this.#current !== undefined) throw new Error('the connection has a request under way');
    this.requests++;
    const key = request.upgrade === 'websocket' ? request.fields.get('sec-websocket-key') : undefined;
    const stream = new ClientExchange(this, handler, this.requests > 1, request.method === 'HEAD', key);
    this.#current = stream;
    this.#interim = 0;
    if (this.#state === CLOSED) {
      // Lost since it was last seen good, or never had: the failure is told once the caller has its stream.
      this.#writer.sent = false;
      this.#defer();
      return stream;
    }
    this.#parser.begin();
    this.#writer.begin(request);
    if (this.#up) {
      this.#state = AT_HEAD;
      if (!this.#writer.ended) this.#defer();
    }
    return stream;
  }

  /** Closes it at once. Nothing is told to a request under way. */
  destroy(): void {
    this.#current?.detach();
    this.#current = undefined;
    this.#shut();
  }

  // --- the request's way ---

  onConnect(): void {
    if (this.#state !== CONNECTING) return;
    this.#up = true;
    this.deadline = Number.POSITIVE_INFINITY;
    this.#deadlines.remove(this);
    const stream = this.#current;
    this.#state = stream === undefined ? IDLE : AT_HEAD;
    if (!this.#writer.connected(this.#connection)) {
      this.#shut();
    } else if (stream !== undefined && !this.#writer.ended && !this.#writer.held) {
      stream.handler.onUpstreamWritable();
    }
    // Behind those who bring a body now, so that head and body go out together.
    if (stream !== undefined && !this.#writer.ended) this.#defer();
  }

  /** Called by the stream. @param end more than `start` */
  writeBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    return this.#state === CLOSED || this.#writer.write(bytes, start, end, stable);
  }

  endBody(trailers: Fields | undefined): void {
    if (this.#state === CLOSED || this.#writer.end(trailers)) return;
    // The backend is to see that the body was cut.
    this.#defer();
    this.#shut();
  }

  onDrain(): void {
    this.#writer.held = false;
    if (!this.#writer.ended) this.#current?.handler.onUpstreamWritable();
  }

  // --- the response's way ---

  onData(bytes: Buffer, start: number, end: number): void {
    if (this.#state === CLOSED) return;
    if (this.#current === undefined) {
      // Nobody asked for it, so whatever it is, it must not be taken for the next answer.
      this.#lose();
    } else if (!this.#writer.sent) {
      // It can't be the answer; such as the 408 of a backend that found the connection idle for too long.
      this.#fail('reset', new Error('the backend sent bytes before the request'));
    } else if (this.#held.empty) {
      this.#consume(bytes, start, end, this.#bulk);
    } else {
      this.#held.append(bytes, start, end);
    }
  }

  #consume(bytes: Buffer, start: number, end: number, stable: boolean): void {
    this.#consuming = true;
    let position = start;
    while (position < end && this.#current !== undefined) {
      const stream = this.#current;
      if (stream.paused) {
        this.#held.hold(bytes, position, end, stable);
        break;
      }
      position = this.#state === IN_BODY ? this.#readBody(stream, bytes, position, end, stable) : this.#readHead(stream, bytes, position, end);
    }
    this.#consuming = false;
    this.#updateReading();
  }

  #readHead(stream: ClientExchange, bytes: Buffer, position: number, end: number): number {
    const parser = this.#parser;
    const partial = this.#partial;
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
      this.#malformed(parser.fault);
      return end;
    }
    if (before > 0) partial.clear();
    const next = position + parser.headBytes - before;
    const { status } = parser;
    if (status >= 200) return this.#readFirst(stream, fields, bytes, next, end);
    if (status === 101) return this.#switch(stream, fields, bytes, next, end);
    // An interim answer that ends the connection, or is one of HTTP/1.0, which has none, can't be followed by another.
    if (!parser.keepAlive || ++this.#interim > MAX_INTERIM) {
      this.#malformed(BAD_STATUS);
      return end;
    }
    parser.begin();
    if (status === 103) stream.handler.onInformational(status, fields);
    return next;
  }

  /** A switch of protocols that nobody asked for, or to another one, would turn everything after it into a tunnel. */
  #switch(stream: ClientExchange, fields: Fields, bytes: Buffer, position: number, end: number): number {
    if (!this.#parser.switches || !isAccepted(stream.upgradeKey, fields)) {
      this.#malformed(BAD_SWITCH);
      return end;
    }
    this.#current = undefined;
    this.#state = CLOSED;
    const { handler } = stream;
    const switched = new SwitchedConnection(
      this.#connection,
      this.#deadlines,
      { early: this.#held, peerEnded: this.#peerEnded, reading: this.#reading, paused: stream.paused, outputHeld: this.#writer.held },
      new BackendTunnel(handler, stream.reused, () => this.#tellGone()),
    );
    stream.switchTo(switched);
    handler.onResponse(101, fields, UNKNOWN_LENGTH, bytes, position, end, false, false);
    return end;
  }

  /** The final answer's head is there, and with it perhaps the first bytes of its body, or all of them. */
  #readFirst(stream: ClientExchange, fields: Fields, bytes: Buffer, position: number, end: number): number {
    const { status, body: length, chunked } = this.#parser;
    const body = this.#body;
    body.begin(length, chunked);
    this.#state = IN_BODY;
    const empty = body.complete;
    const result = empty ? Body.End : body.next(bytes, position, end);
    const next = empty ? position : body.position;
    if (result === Body.Bad) {
      this.#malformed(body.fault);
    } else if (body.complete && next < end) {
      this.#malformed(EXCESS_BYTES);
    } else if (result === Body.Data) {
      const { dataStart, dataEnd } = body;
      // The only chunk and the end of the body often come together, and make a whole answer then.
      const ends = body.isAtLastChunk(bytes, end);
      if (ends && end - next > LAST_CHUNK_BYTES) {
        this.#malformed(EXCESS_BYTES);
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
      if (result === Body.End && this.#current === stream) this.#endResponse(stream, body.trailers);
      else this.#useBulk();
    }
    return next;
  }

  #readBody(stream: ClientExchange, bytes: Buffer, position: number, end: number, stable: boolean): number {
    const body = this.#body;
    const result = body.next(bytes, position, end);
    if (result === Body.Bad) {
      this.#malformed(body.fault);
    } else if (body.complete && body.position < end) {
      this.#malformed(EXCESS_BYTES);
    } else if (result === Body.Data) {
      // After the last bytes the buffer is used for other things, whether or not they have been sent on.
      stream.handler.onResponseData(bytes, body.dataStart, body.dataEnd, stable && !body.complete);
      if (body.complete && this.#current === stream) this.#endResponse(stream, undefined);
      else this.#useBulk();
    } else if (result === Body.End) {
      this.#endResponse(stream, body.trailers);
    }
    return body.position;
  }

  #useBulk(): void {
    const body = this.#body;
    if (this.#bulk || this.#state !== IN_BODY || (body.left > 0 ? body.left : body.length) <= BULK_THRESHOLD) return;
    this.#bulk = true;
    this.#connection.setBulk(true);
  }

  #respondWhole(stream: ClientExchange, status: number, fields: Fields, length: BodyLength, bytes: Buffer | undefined, start: number, end: number): void {
    const reusable = this.#leave(stream);
    stream.handler.onResponse(status, fields, length, bytes, start, end, false, true);
    this.#settle(reusable);
  }

  #endResponse(stream: ClientExchange, trailers: Fields | undefined): void {
    const reusable = this.#leave(stream);
    stream.handler.onResponseEnd(trailers);
    this.#settle(reusable);
  }

  /** The response is complete. @returns whether the connection can carry another request */
  #leave(stream: ClientExchange): boolean {
    stream.detach();
    this.#current = undefined;
    this.#state = IDLE;
    // A request that is not wholly sent could go on where the next one begins.
    return this.#parser.keepAlive && this.#writer.ended && !this.#writer.held && !this.#peerEnded && !this.#connection.isBroken;
  }

  #settle(reusable: boolean): void {
    if (this.#state === CLOSED) return;
    if (this.#bulk) {
      this.#bulk = false;
      this.#connection.setBulk(false);
    }
    if (reusable) this.#owner.onReusable(this);
    else this.#lose();
  }

  #updateReading(): void {
    if (this.#state === CLOSED) return;
    const stream = this.#current;
    const wanted = stream === undefined || (!stream.paused && this.#held.empty);
    if (wanted === this.#reading) return;
    this.#reading = wanted;
    if (wanted) this.#connection.resumeReading();
    else this.#connection.pauseReading();
  }

  responsePaused(): void {
    this.#updateReading();
  }

  responseResumed(): void {
    if (!this.#held.empty || this.#peerEnded) this.#defer();
    else if (!this.#consuming) this.#updateReading();
  }

  // --- the end ---

  /** Called by the stream: nobody wants the answer any more. */
  cancelled(): void {
    this.#current?.detach();
    this.#current = undefined;
    this.#shut();
    this.#tellGone();
  }

  onEnd(): void {
    this.#peerEnded = true;
    if (this.#current === undefined) this.#lose();
    else if (this.#held.empty && !this.#deferred && !this.#current.paused) this.#atPeerEnd();
  }

  /** The backend sends no more, and all that it has sent was consumed. */
  #atPeerEnd(): void {
    const stream = this.#current as ClientExchange;
    const untilClose = this.#state === IN_BODY && !this.#body.chunked && this.#body.left === 0;
    if (untilClose) this.#endResponse(stream, undefined);
    else this.#fail('reset', new Error('the backend closed the connection before its answer was complete'));
  }

  onClose(error: Error | undefined): void {
    if (this.#current === undefined) this.#lose();
    else this.#fail(this.#up ? 'reset' : 'connect-failure', error);
  }

  onDeadline(): void {
    const error: NodeJS.ErrnoException = new Error('the backend did not accept the connection in time');
    error.code = 'ETIMEDOUT';
    if (this.#current === undefined) this.#lose();
    else this.#fail('connect-failure', error);
  }

  #malformed(fault: Fault): void {
    this.#fail('malformed', new Error(fault.detail));
  }

  #fail(failure: UpstreamFailure, cause: Error | undefined): void {
    const stream = this.#current as ClientExchange;
    stream.detach();
    this.#current = undefined;
    this.#lose();
    stream.handler.onUpstreamFailure(failure, this.#writer.sent, stream.reused, cause);
  }

  #lose(): void {
    this.#shut();
    this.#tellGone();
  }

  #shut(): void {
    if (this.#state === CLOSED) return;
    this.#state = CLOSED;
    this.#deadlines.remove(this);
    this.#held.clear();
    this.#partial.clear();
    this.#connection.destroy();
  }

  #tellGone(): void {
    if (this.#goneTold) return;
    this.#goneTold = true;
    this.#owner.onGone(this);
  }

  #defer(): void {
    if (this.#deferred) return;
    this.#deferred = true;
    defer(this);
  }

  runDeferred(): void {
    this.#deferred = false;
    const stream = this.#current;
    if (stream === undefined) return;
    if (this.#state === CLOSED) {
      this.#fail(this.#up ? 'reset' : 'connect-failure', new Error('the connection is closed'));
      return;
    }
    this.#writer.flushHead();
    if (!this.#held.empty && !stream.paused) {
      const { bytes, start, end } = this.#held;
      this.#held.clear();
      this.#consume(bytes, start, end, true);
    }
    this.#updateReading();
    if (this.#peerEnded && this.#held.empty && this.#current?.paused === false) this.#atPeerEnd();
  }
}
