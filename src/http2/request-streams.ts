import type { Deadlines } from '../exchange/deadlines.ts';
import type { UpstreamHandler, UpstreamRequest, UpstreamStream } from '../exchange/streams.ts';
import { RequestStream } from './client-stream.ts';
import { ExtendedConnect, NoConnectProtocolError } from './extended-connect.ts';
import { ErrorCode, MAX_STREAM_ID, MAX_WINDOW, rstStreamFrame, windowUpdateFrame } from './frames.ts';
import { QueuedRequest } from './queued-request.ts';
import type { RequestSender } from './request-sender.ts';
import type { StreamConnection } from './sent-request.ts';
import { StreamTable } from './stream-table.ts';

/** Streams at once on one connection, however many more the backend takes: the next ones go on another, perhaps to another thread of it. */
export const MAX_STREAMS = 100;
/** A connection from which nothing came for as long while a request waited in vain is taken for dead; milliseconds. */
const SILENCE = 1_000;

/** Sends a request on another connection. @returns undefined where there can be none */
export type SendElsewhere = (request: UpstreamRequest, handler: UpstreamHandler) => UpstreamStream | undefined;

/** Who looks after the connection. None of these is called from within `add`. */
export interface StreamsOwner {
  /** How many streams the backend is thought to take at once, as long as it has not said so. */
  readonly streamsAtOnce: number;
  /** For a request for a tunnel that the backend does not take beside others. */
  readonly onTunnelRefused: SendElsewhere;
  /** No request is under way. */
  onIdle(): void;
  /** There is room again where there was none. */
  onRoom(): void;
  /** No more requests should be added: the connection seems dead, or has no stream identifiers left. */
  onUsedUp(): void;
  /** The backend broke the protocol: the connection is over. */
  onBroken(code: ErrorCode): void;
}

/** The streams of one connection to a backend: those that are open, those that wait for room, and those that wait for the socket. */
export class RequestStreams implements StreamConnection {
  readonly sender: RequestSender;
  /** The connection is up. */
  isUp = false;
  /** The backend's SETTINGS are known. */
  isSettled = false;
  /** When something came in last, on the clock of `Deadlines.now`. */
  lastReceived = 0;

  readonly #deadlines: Deadlines;
  readonly #scheme: 'http' | 'https';
  readonly #owner: StreamsOwner;
  readonly #open = new StreamTable<RequestStream>();
  /** Requests that wait for the connection, for the backend's SETTINGS, or for room. */
  readonly #queue: QueuedRequest[] = [];
  /** Streams that wait for the connection's window or the socket, first come first served. */
  #line: RequestStream[] = [];
  #nextId = 1;
  #closed = false;
  #wasFull = false;

  /** @param scheme what `:scheme` says */
  constructor(sender: RequestSender, deadlines: Deadlines, scheme: 'http' | 'https', owner: StreamsOwner) {
    this.sender = sender;
    this.#deadlines = deadlines;
    this.#scheme = scheme;
    this.#owner = owner;
  }

  get isEmpty(): boolean {
    return this.#open.size === 0 && this.#queue.length === 0;
  }

  get hasRoom(): boolean {
    return this.#open.size + this.#queue.length < this.limit && this.#nextId <= MAX_STREAM_ID;
  }

  /** Streams that there may be at once. */
  get limit(): number {
    return Math.min(this.isSettled ? this.sender.settings.maxConcurrentStreams : this.#owner.streamsAtOnce, MAX_STREAMS);
  }

  /** The stream of that identifier, unless it is over. */
  get(id: number): RequestStream | undefined {
    return this.#open.get(id);
  }

  /** Frames of a stream that is over may still be on their way; those of one that never was break the protocol. */
  wasOpened(id: number): boolean {
    return id % 2 === 1 && id < this.#nextId;
  }

  /** Begins a request, at once where there is room. */
  add(request: UpstreamRequest, handler: UpstreamHandler, reused: boolean): UpstreamStream {
    let stream: UpstreamStream;
    if (this.#queue.length > 0 || !this.#canOpen(request)) stream = this.#enqueue(request, handler, reused);
    else if (request.upgrade === 'websocket') stream = this.#openTunnel(request, handler, reused);
    else stream = this.#openNext(request, handler, reused);
    this.noteRoom();
    return stream;
  }

  #enqueue(request: UpstreamRequest, handler: UpstreamHandler, reused: boolean): QueuedRequest {
    if (this.#refuses(request)) return this.refuse(request, handler, reused, new NoConnectProtocolError());
    const queued = new QueuedRequest(request, handler, reused, (dropped) => this.#drop(dropped));
    this.#queue.push(queued);
    return queued;
  }

  /** One that is not sent here. */
  refuse(request: UpstreamRequest, handler: UpstreamHandler, reused: boolean, cause: Error): QueuedRequest {
    const refused = new QueuedRequest(request, handler, reused, () => {});
    refused.failLater(cause);
    return refused;
  }

  #drop(queued: QueuedRequest): void {
    const index = this.#queue.indexOf(queued);
    if (index < 0) return;
    this.#queue.splice(index, 1);
    this.settle();
  }

  /** The backend's settings are new: from now on it matters when there is room again. */
  noteRoom(): void {
    if (!this.hasRoom) this.#wasFull = true;
  }

  /** Before the backend's SETTINGS are known, one goes ahead: they may say that it takes no more than one at a time, and no tunnel. */
  #canOpen(request: UpstreamRequest): boolean {
    if (!this.isUp || this.#closed || this.sender.output.isBroken || this.#nextId > MAX_STREAM_ID) return false;
    const isTunnel = request.upgrade === 'websocket';
    if (!this.isSettled) return this.#open.size < 1 && !isTunnel;
    return this.#open.size < this.limit && (!isTunnel || this.sender.settings.connectProtocol);
  }

  /** A tunnel that the backend does not take. */
  #refuses(request: UpstreamRequest): boolean {
    return request.upgrade === 'websocket' && this.isSettled && !this.sender.settings.connectProtocol;
  }

  #openTunnel(request: UpstreamRequest, handler: UpstreamHandler, reused: boolean): UpstreamStream {
    return new ExtendedConnect(request, handler).begin((connect, tunnel) => this.#openNext(connect, tunnel, reused));
  }

  #openNext(request: UpstreamRequest, handler: UpstreamHandler, reused: boolean): RequestStream {
    const id = this.#nextId;
    this.#nextId += 2;
    const stream = new RequestStream(this, id, request, handler, reused, this.#deadlines.now);
    this.#open.add(stream);
    this.sender.head(stream, request, this.#scheme, stream.sendEnded);
    return stream;
  }

  openQueued(): void {
    const queue = this.#queue;
    for (let queued = queue[0]; queued !== undefined; queued = queue[0]) {
      const { request, handler, reused } = queued;
      if (this.#refuses(request)) {
        queue.shift();
        const elsewhere = this.#owner.onTunnelRefused(request, handler);
        if (elsewhere === undefined) queued.failLater(new NoConnectProtocolError());
        else queued.begin(elsewhere);
      } else if (this.#canOpen(request)) {
        queue.shift();
        if (request.upgrade === 'websocket') {
          queued.begin(this.#openTunnel(request, handler, reused));
        } else {
          const stream = this.#openNext(request, handler, reused);
          if (queued.begin(stream)) stream.awaitRoom();
        }
      } else {
        break;
      }
    }
    if (this.#nextId > MAX_STREAM_ID) this.#owner.onUsedUp();
  }

  /**
   * Sends elsewhere what waits for room, as far as there is another connection for it: what is under way may be tunnels,
   * which last. Not from within a call of a handler.
   */
  spread(elsewhere: SendElsewhere): void {
    const queue = this.#queue;
    for (let queued = queue[0]; queued !== undefined; queued = queue[0]) {
      const stream = elsewhere(queued.request, queued.handler);
      if (stream === undefined) return;
      queue.shift();
      if (queued.begin(stream)) queued.handler.onUpstreamWritable();
    }
  }

  // --- for the streams ---

  release(stream: RequestStream, code: ErrorCode | undefined): void {
    if (!this.#open.delete(stream.id)) return;
    this.#leaveLine(stream);
    if (code !== undefined || !stream.sendEnded) this.sender.output.send(rstStreamFrame(stream.id, code ?? ErrorCode.Cancel));
    if (code !== ErrorCode.Cancel || stream.answered) return;
    // Whoever came next would wait in vain as well.
    const { now } = this.#deadlines;
    if (this.lastReceived <= stream.openedAt && now - stream.openedAt >= SILENCE) this.#owner.onUsedUp();
  }

  settle(): void {
    if (this.#closed) return;
    this.openQueued();
    if (this.isEmpty) {
      this.#wasFull = false;
      this.#owner.onIdle();
    } else if (this.#wasFull && this.hasRoom) {
      this.#wasFull = false;
      this.#owner.onRoom();
    }
  }

  credit(stream: RequestStream, bytes: number): void {
    stream.receiveWindow += bytes;
    this.sender.output.send(windowUpdateFrame(stream.id, bytes));
  }

  waitForRoom(stream: RequestStream): void {
    stream.waiting = true;
    this.#line.push(stream);
  }

  /** The line may stand for as long as the connection lives: what is over must not stay in it, with all that it holds. */
  #leaveLine(stream: RequestStream): void {
    if (!stream.waiting) return;
    stream.waiting = false;
    const index = this.#line.indexOf(stream);
    if (index >= 0) this.#line.splice(index, 1);
  }

  // --- for the connection ---

  /** The socket or the connection's window has room again. */
  serveLine(): void {
    if (this.#line.length === 0) return;
    const line = this.#line;
    this.#line = [];
    let served = 0;
    while (served < line.length && this.sender.window > 0 && !this.sender.output.held) {
      const stream = line[served++] as RequestStream;
      stream.waiting = false;
      stream.sendMore();
    }
    // Next time they come first, and behind them those that have had their turn.
    if (served < line.length) this.#line = line.slice(served).concat(this.#line);
  }

  readWindowUpdate(streamId: number, increment: number): void {
    if (streamId === 0) {
      if (increment === 0 || !this.sender.widen(increment)) this.#owner.onBroken(increment === 0 ? ErrorCode.ProtocolError : ErrorCode.FlowControlError);
      else this.serveLine();
      return;
    }
    if (!this.wasOpened(streamId)) {
      this.#owner.onBroken(ErrorCode.ProtocolError);
      return;
    }
    const stream = this.get(streamId);
    if (stream === undefined) return;
    stream.sendWindow += increment;
    if (increment > 0 && stream.sendWindow <= MAX_WINDOW) {
      stream.sendMore();
      return;
    }
    this.release(stream, increment === 0 ? ErrorCode.ProtocolError : ErrorCode.FlowControlError);
    stream.fail('malformed', true, new Error('the backend sent a bad WINDOW_UPDATE'));
    this.settle();
  }

  /** SETTINGS_INITIAL_WINDOW_SIZE has changed (RFC 9113 section 6.9.2). @returns false where a window is larger than there can be */
  moveWindows(change: number): boolean {
    for (const stream of this.#open.values()) {
      stream.sendWindow += change;
      if (stream.sendWindow > MAX_WINDOW) return false;
      if (change > 0) stream.sendMore();
    }
    return true;
  }

  /** The backend has reset it. */
  remove(id: number): void {
    const stream = this.#open.get(id);
    if (stream === undefined) return;
    this.#open.delete(id);
    this.#leaveLine(stream);
  }

  /** Takes out the open streams above an identifier. */
  takeAbove(id: number): RequestStream[] {
    const taken = this.#open.values().filter((stream) => stream.id > id);
    for (const stream of taken) this.remove(stream.id);
    return taken;
  }

  /** Takes out the requests that were not sent. */
  takeQueue(): QueuedRequest[] {
    return this.#queue.splice(0);
  }

  /** Nothing is sent any more. */
  close(): void {
    this.#closed = true;
    this.#open.clear();
    this.#line = [];
  }
}
