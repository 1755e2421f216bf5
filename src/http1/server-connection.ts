import { Exchange } from '../exchange/exchange.ts';
import { ConnectionPeer, type Peer } from '../exchange/peer.ts';
import { newRequestId } from '../exchange/request-id.ts';
import { type ExchangeSink, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import type { Connection, ConnectionHandler, TlsInfo } from '../wire/wire.ts';
import { BODY_CUT, BODY_TOO_LARGE, type Fault, SLOW_HEAD } from './fault.ts';
import { HALF_CLOSE_GRACE, HalfCloseWatch } from './half-close.ts';
import { giveHeadParser } from './head-parser-pool.ts';
import { FLUSH_TIMEOUT, LingeringClose } from './lingering-close.ts';
import { bodyLength, problemAnswer } from './problem-answer.ts';
import { refuse } from './refuse.ts';
import type { ParsedRequest } from './request-head.ts';
import { AT_HEAD, CLOSED, IN_BODY, MAX_DRAINED, RequestReader } from './request-reader.ts';
import { ServerExchange } from './server-exchange.ts';
import type { ServerOptions } from './server-options.ts';
import { SwitchedConnection, type SwitchedHandler } from './switched-connection.ts';
import { defer } from './turn-queue.ts';

export type { ServerOptions } from './server-options.ts';

/** Milliseconds for the rest of a body that nobody wants. */
const DRAIN_TIMEOUT = 5_000;

/** One client's connection: reads requests one after the other, hands each to the sink, and reads the next when it is answered. */
export class ServerConnection extends RequestReader implements ConnectionHandler {
  readonly #peer: Peer;
  readonly #sink: ExchangeSink;
  readonly #onClosed: (() => void) | undefined;
  #requests = 0;
  #deferred = false;
  #peerEnded = false;
  #halfClose: HalfCloseWatch | undefined = undefined;
  #closeWhenIdle = false;

  /** Takes the connection over. @param onClosed called once when it is gone */
  constructor(connection: Connection, options: ServerOptions, sink: ExchangeSink, onClosed?: () => void) {
    super(connection, options);
    this.#peer = new ConnectionPeer(connection);
    this.#sink = sink;
    this.#onClosed = onClosed;
    this.deadline = options.deadlines.now + options.headerTimeout;
    options.deadlines.add(this);
    connection.handler = this;
  }

  /** No request is under way, nor has one begun to arrive. */
  get idle(): boolean {
    return this.current === undefined && this.state === AT_HEAD && this.partial.length === 0 && this.held.empty;
  }

  get tls(): TlsInfo | undefined {
    return this.connection.tls;
  }

  /** Closes the connection now, if it is idle, or as soon as it is. */
  closeIfIdle(): void {
    this.#closeWhenIdle = true;
    if (this.idle) this.#closeIdle();
  }

  protected begin(head: ParsedRequest): void {
    this.#requests++;
    const stream = new ServerExchange(this, this.connection, head);
    const exchange = new Exchange(head, stream, this.#peer, this.startedAt);
    stream.exchange = exchange;
    this.current = stream;
    this.deadline = Number.POSITIVE_INFINITY;
    if (!stream.requestEnded) {
      this.state = IN_BODY;
      this.body.begin(head.body, head.body === UNKNOWN_LENGTH);
      this.drainedBytes = 0;
    }
    stream.handler = this.#sink.onExchange(exchange);
    if (!stream.requestEnded) this.updateReading();
  }

  protected failBody(fault: Fault): void {
    const stream = this.current;
    if (stream === undefined) {
      this.close();
      return;
    }
    let answer = '';
    if (stream.responded) {
      this.cut();
    } else {
      this.current = undefined;
      stream.detach();
      answer = problemAnswer(fault, stream.exchange?.requestId || newRequestId(), stream.isHead, this.now);
      this.connection.writeLatin1(answer);
      this.close();
    }
    stream.handler?.onRequestError(fault.status, fault.reason, answer === '' ? 0 : bodyLength(answer));
  }

  // --- called by the exchange's stream ---

  bodyResumed(stream: ServerExchange): void {
    if (stream.requestBody > stream.bodyLimit) this.pendingFault = BODY_TOO_LARGE;
    if (!this.held.empty || this.pendingFault !== undefined || this.#peerEnded) this.#defer();
    else if (!this.consuming) this.updateReading();
  }

  bodyPaused(): void {
    this.updateReading();
  }

  outputHeld(): void {
    this.blocked = true;
  }

  /** Whether the connection closes after this answer; asked when its head is made. @param complete nothing more of it follows */
  isLastAnswer(stream: ServerExchange, complete: boolean): boolean {
    const options = this.options;
    // What came in before the client's end is still answered.
    const peerIsDone = this.#peerEnded && this.held.empty;
    const isOld = this.#closeWhenIdle || this.#requests >= options.maxRequestsPerConnection || options.isDraining();
    if (!stream.keepAlive || stream.closeDelimited || peerIsDone || isOld) {
      stream.closeWanted = true;
    } else if (!stream.requestEnded) {
      // Without its 100 the client may send the body or not, and nobody could tell it from the next request (RFC 9110 section 10.1.1).
      if (stream.owesContinue || (complete && (this.body.chunked || this.body.left > MAX_DRAINED))) stream.closeWanted = true;
    }
    return stream.closeWanted;
  }

  answerEnded(stream: ServerExchange): void {
    stream.detach();
    this.current = undefined;
    if (stream.closeWanted || (!stream.requestEnded && this.body.left > MAX_DRAINED)) {
      // A client that asked for this sends no more, so that there is nothing to linger for.
      this.close(!stream.keepAlive && stream.requestEnded && !this.consuming && this.held.empty);
      return;
    }
    if (stream.requestEnded) this.awaitRequest();
    else this.deadline = this.now + DRAIN_TIMEOUT;
    if (this.consuming) return;
    if (!this.held.empty || this.#peerEnded) this.#defer();
    else this.updateReading();
  }

  /** Cuts the connection so that the client can't take the answer for complete. */
  cut(): void {
    const stream = this.current;
    this.current = undefined;
    stream?.detach();
    this.state = CLOSED;
    this.held.clear();
    if (stream?.closeDelimited === true) this.connection.reset();
    else this.connection.destroy();
  }

  /** The answer under way has switched protocols: what comes in from here on is no HTTP. */
  switched(handler: SwitchedHandler): SwitchedConnection {
    this.state = CLOSED;
    this.options.deadlines.remove(this);
    const state = { early: this.held, peerEnded: this.#peerEnded, reading: this.reading, paused: true, outputHeld: this.blocked };
    return new SwitchedConnection(this.connection, this.options.deadlines, state, handler);
  }

  /** The connection had switched protocols, and both directions have ended. */
  switchedClosed(error: Error | undefined): void {
    this.current?.detach();
    this.current = undefined;
    this.onClose(error);
  }

  // --- between requests, and the end ---

  protected awaitRequest(): void {
    if (this.#closeWhenIdle) this.close();
    else this.deadline = this.now + (this.blocked ? FLUSH_TIMEOUT : this.options.keepAliveTimeout);
  }

  #defer(): void {
    if (this.#deferred) return;
    this.#deferred = true;
    defer(this);
  }

  runDeferred(): void {
    this.#deferred = false;
    if (this.state === CLOSED) return;
    const fault = this.pendingFault;
    if (fault !== undefined) {
      this.pendingFault = undefined;
      if (this.current !== undefined) this.failBody(fault);
    }
    if (!this.held.empty) {
      const { bytes, start, end } = this.held;
      this.held.clear();
      this.consume(bytes, start, end, false, true);
    }
    this.updateReading();
    if (this.#peerEnded && this.held.empty) this.#atPeerEnd();
  }

  onDrain(): void {
    this.blocked = false;
    const stream = this.current;
    if (stream !== undefined) {
      stream.handler?.onClientWritable();
    } else if (this.state === AT_HEAD) {
      if (this.partial.length === 0) this.awaitRequest();
      if (!this.held.empty || this.#peerEnded) this.#defer();
    }
  }

  onEnd(): void {
    this.#peerEnded = true;
    if (this.held.empty && !this.#deferred) this.#atPeerEnd();
  }

  /** The client sends no more, and all that it has sent was consumed. */
  #atPeerEnd(): void {
    const stream = this.current;
    if (stream === undefined) {
      this.close();
    } else if (!stream.requestEnded) {
      if (!stream.paused) this.failBody(BODY_CUT);
    } else {
      this.#halfClose ??= new HalfCloseWatch();
      this.#halfClose.begin(this.connection);
      this.deadline = this.now + HALF_CLOSE_GRACE;
    }
  }

  onClose(_error: Error | undefined): void {
    this.state = CLOSED;
    giveHeadParser(this.parser, this.options, this.options.scheme);
    this.held.clear();
    this.partial.clear();
    this.options.deadlines.remove(this);
    const stream = this.current;
    this.current = undefined;
    if (stream !== undefined) {
      stream.detach();
      stream.handler?.onClientGone();
    }
    this.#onClosed?.();
  }

  onDeadline(): void {
    this.deadline = Number.POSITIVE_INFINITY;
    const stream = this.current;
    if (stream !== undefined) {
      const interval = this.#halfClose?.look(this.connection, stream, this.blocked);
      if (interval === 0) this.connection.destroy();
      else if (interval !== undefined) this.deadline = this.now + interval;
    } else if (this.state === AT_HEAD && this.partial.length > 0) {
      this.parser.noteUnfinished(this.partial.bytes, 0);
      this.refuse(SLOW_HEAD);
    } else if (this.state === AT_HEAD && !this.blocked) {
      this.#closeIdle();
    } else {
      this.connection.destroy();
    }
  }

  protected refuse(fault: Fault): void {
    const refusal = refuse(fault, this.connection, this.parser, this.startedAt, this.now);
    this.close();
    this.#sink.onRefused(refusal);
  }

  /** After what was written, and for good. @param finishing there is nothing to linger for: everything was read, and no more will come */
  protected close(finishing = false): void {
    if (this.state === CLOSED) return;
    this.state = CLOSED;
    this.held.clear();
    this.partial.clear();
    this.options.deadlines.remove(this);
    if (!this.reading) {
      this.reading = true;
      this.connection.resumeReading();
    }
    new LingeringClose(this.connection, this.options.deadlines, finishing, this.blocked, (error) => this.onClose(error));
  }

  /** Without an answer on its way there is nothing to linger for. */
  #closeIdle(): void {
    this.close(!this.blocked);
  }
}
