import type { Deadlines, Timed } from '../exchange/deadlines.ts';
import type { Fields } from '../exchange/fields.ts';
import { UNKNOWN_LENGTH, type UpstreamFailure, type UpstreamHandler, type UpstreamRequest, type UpstreamStream } from '../exchange/streams.ts';
import type { ClientTls, Connection, ConnectionHandler, Wire } from '../wire/wire.ts';
import { BackendTunnel, ClientExchange } from './client-exchange.ts';
import { BAD_SWITCH } from './fault.ts';
import { RequestWriter } from './request-writer.ts';
import { AT_HEAD, CLOSED, CONNECTING, IDLE, IN_BODY, ResponseReader } from './response-reader.ts';
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

/** One connection to a backend: carries one request after the other. Whatever is not plainly right destroys it. */
export class ClientConnection extends ResponseReader implements ConnectionHandler, Timed {
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

  protected readonly connection: Connection;
  readonly #deadlines: Deadlines;
  readonly #owner: ClientConnectionOwner;
  readonly #writer = new RequestWriter();
  #up = false;
  #goneTold = false;
  #deferred = false;
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
    super();
    this.#deadlines = deadlines;
    this.#owner = owner;
    this.deadline = deadlines.now + connectTimeout;
    deadlines.add(this);
    const { address, port, tls, preamble } = target;
    this.connection = wire.connect({ host: address, port, handler: this, ...(tls === undefined ? {} : { tls }), preamble });
  }

  get connected(): boolean {
    return this.#up;
  }

  /** Sends a request; only before the first one, or after `onReusable`. May be called before the connection is up. */
  request(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream {
    if (this.current !== undefined) throw new Error('the connection has a request under way');
    this.requests++;
    const key = request.upgrade === 'websocket' ? request.fields.get('sec-websocket-key') : undefined;
    const stream = new ClientExchange(this, handler, this.requests > 1, request.method === 'HEAD', key);
    this.current = stream;
    if (this.state === CLOSED) {
      // Lost since it was last seen good, or never had: the failure is told once the caller has its stream.
      this.#writer.sent = false;
      this.#defer();
      return stream;
    }
    this.beginReading();
    this.#writer.begin(request);
    if (this.#up) {
      this.state = AT_HEAD;
      if (!this.#writer.ended) this.#defer();
    }
    return stream;
  }

  /** Closes it at once. Nothing is told to a request under way. */
  destroy(): void {
    this.current?.detach();
    this.current = undefined;
    this.#shut();
  }

  // --- the request's way ---

  onConnect(): void {
    if (this.state !== CONNECTING) return;
    this.#up = true;
    this.deadline = Number.POSITIVE_INFINITY;
    this.#deadlines.remove(this);
    const stream = this.current;
    this.state = stream === undefined ? IDLE : AT_HEAD;
    if (!this.#writer.connected(this.connection)) {
      this.#shut();
    } else if (stream !== undefined && !this.#writer.ended && !this.#writer.held) {
      stream.handler.onUpstreamWritable();
    }
    // Behind those who bring a body now, so that head and body go out together.
    if (stream !== undefined && !this.#writer.ended) this.#defer();
  }

  /** Called by the stream. @param end more than `start` */
  writeBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    return this.state === CLOSED || this.#writer.write(bytes, start, end, stable);
  }

  endBody(trailers: Fields | undefined): void {
    if (this.state === CLOSED || this.#writer.end(trailers)) return;
    // The backend is to see that the body was cut.
    this.#defer();
    this.#shut();
  }

  onDrain(): void {
    this.#writer.held = false;
    if (!this.#writer.ended) this.current?.handler.onUpstreamWritable();
  }

  // --- the response's way ---

  onData(bytes: Buffer, start: number, end: number): void {
    if (this.state === CLOSED) return;
    if (this.current === undefined) {
      // Nobody asked for it, so whatever it is, it must not be taken for the next answer.
      this.#lose();
    } else if (!this.#writer.sent) {
      // It can't be the answer; such as the 408 of a backend that found the connection idle for too long.
      this.fail('reset', new Error('the backend sent bytes before the request'));
    } else {
      this.take(bytes, start, end);
    }
  }

  /** A switch of protocols that nobody asked for, or to another one, would turn everything after it into a tunnel. */
  protected switchProtocols(stream: ClientExchange, fields: Fields, bytes: Buffer, position: number, end: number): number {
    if (!this.parser.switches || !isAccepted(stream.upgradeKey, fields)) {
      this.malformed(BAD_SWITCH);
      return end;
    }
    this.current = undefined;
    this.state = CLOSED;
    const { handler } = stream;
    const switched = new SwitchedConnection(
      this.connection,
      this.#deadlines,
      { early: this.held, peerEnded: this.#peerEnded, reading: this.reading, paused: stream.paused, outputHeld: this.#writer.held },
      new BackendTunnel(handler, stream.reused, () => this.#tellGone()),
    );
    stream.switchTo(switched);
    handler.onResponse(101, fields, UNKNOWN_LENGTH, bytes, position, end, false, false);
    return end;
  }

  protected leave(stream: ClientExchange): boolean {
    stream.detach();
    this.current = undefined;
    this.state = IDLE;
    // A request that is not wholly sent could go on where the next one begins.
    return this.parser.keepAlive && this.#writer.ended && !this.#writer.held && !this.#peerEnded && !this.connection.isBroken;
  }

  protected settle(reusable: boolean): void {
    if (this.state === CLOSED) return;
    this.leaveBulk();
    if (reusable) this.#owner.onReusable(this);
    else this.#lose();
  }

  responsePaused(): void {
    this.updateReading();
  }

  responseResumed(): void {
    if (!this.held.empty || this.#peerEnded) this.#defer();
    else if (!this.consuming) this.updateReading();
  }

  // --- the end ---

  /** Called by the stream: nobody wants the answer any more. */
  cancelled(): void {
    this.current?.detach();
    this.current = undefined;
    this.#shut();
    this.#tellGone();
  }

  onEnd(): void {
    this.#peerEnded = true;
    if (this.current === undefined) this.#lose();
    else if (this.held.empty && !this.#deferred && !this.current.paused) this.#atPeerEnd();
  }

  /** The backend sends no more, and all that it has sent was consumed. */
  #atPeerEnd(): void {
    const stream = this.current as ClientExchange;
    const untilClose = this.state === IN_BODY && !this.body.chunked && this.body.left === 0;
    if (untilClose) this.endResponse(stream, undefined);
    else this.fail('reset', new Error('the backend closed the connection before its answer was complete'));
  }

  onClose(error: Error | undefined): void {
    if (this.current === undefined) this.#lose();
    else this.fail(this.#up ? 'reset' : 'connect-failure', error);
  }

  onDeadline(): void {
    const error: NodeJS.ErrnoException = new Error('the backend did not accept the connection in time');
    error.code = 'ETIMEDOUT';
    if (this.current === undefined) this.#lose();
    else this.fail('connect-failure', error);
  }

  protected fail(failure: UpstreamFailure, cause: Error | undefined): void {
    const stream = this.current as ClientExchange;
    stream.detach();
    this.current = undefined;
    this.#lose();
    stream.handler.onUpstreamFailure(failure, this.#writer.sent, stream.reused, cause);
  }

  #lose(): void {
    this.#shut();
    this.#tellGone();
  }

  #shut(): void {
    if (this.state === CLOSED) return;
    this.state = CLOSED;
    this.#deadlines.remove(this);
    this.held.clear();
    this.partial.clear();
    this.connection.destroy();
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
    const stream = this.current;
    if (stream === undefined) return;
    if (this.state === CLOSED) {
      this.fail(this.#up ? 'reset' : 'connect-failure', new Error('the connection is closed'));
      return;
    }
    this.#writer.flushHead();
    if (!this.held.empty && !stream.paused) {
      const { bytes, start, end } = this.held;
      this.held.clear();
      this.consume(bytes, start, end, true);
    }
    this.updateReading();
    if (this.#peerEnded && this.held.empty && this.current?.paused === false) this.#atPeerEnd();
  }
}
