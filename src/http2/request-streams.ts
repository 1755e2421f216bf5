import type { Deadlines } from '../exchange/deadlines.ts';
import type { UpstreamHandler, UpstreamRequest } from '../exchange/streams.ts';
import { RequestStream, type StreamConnection } from './client-stream.ts';
import { NoConnectProtocolError } from './extended-connect.ts';
import { ErrorCode, MAX_STREAM_ID, MAX_WINDOW, rstStreamFrame, windowUpdateFrame } from './frames.ts';
import type { RequestSender } from './request-sender.ts';
import { StreamTable } from './stream-table.ts';

/** Streams at once on one connection, however many more the backend takes: the next ones go on another, perhaps to another thread of it. */
export const MAX_STREAMS = 100;
/** A connection from which nothing came for as long while a request waited in vain is taken for dead; milliseconds. */
const SILENCE = 1_000;

/** Who looks after the connection. None of these is called from within `add`. */
export interface StreamsOwner {
  /** No request is under way. */
  onIdle(): void;
  /** There is room again where there was none. */
  onRoom(): void;
  /** No more requests should be added: the connection seems dead, or has no stream identifiers left. */
  onUsedUp(): void;
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
  #queue: RequestStream[] = [];
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
    return this.#open.size + this.#queue.length < this.#limit;
  }

  get #limit(): number {
    return Math.min(this.sender.settings.maxConcurrentStreams, MAX_STREAMS);
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
  add(request: UpstreamRequest, handler: UpstreamHandler, reused: boolean): RequestStream {
    const stream = new RequestStream(this, request, handler, reused);
    if (this.#queue.length === 0 && this.#canOpen(stream)) this.#openNext(stream, false);
    else this.#queue.push(stream);
    this.noteRoom();
    return stream;
  }

  /** The backend's settings are new: from now on it matters when there is room again. */
  noteRoom(): void {
    if (!this.hasRoom) this.#wasFull = true;
  }

  /** Before the backend's SETTINGS are known, one goes ahead: they may say that it takes no more than one at a time, and no tunnel. */
  #canOpen(stream: RequestStream): boolean {
    if (!this.isUp || this.#closed) return false;
    return this.isSettled ? this.#open.size < this.#limit : this.#open.size < 1 && !stream.isConnect;
  }

  #openNext(stream: RequestStream, later: boolean): void {
    if (stream.isConnect && !this.sender.settings.connectProtocol) {
      stream.failLater(new NoConnectProtocolError());
      return;
    }
    const id = this.#nextId;
    this.#nextId += 2;
    stream.id = id;
    this.#open.add(stream);
    stream.open(this.#scheme, this.#deadlines.now, later);
  }

  openQueued(): void {
    let opened = 0;
    while (opened < this.#queue.length && this.#canOpen(this.#queue[opened] as RequestStream)) this.#openNext(this.#queue[opened++] as RequestStream, true);
    if (opened > 0) this.#queue.splice(0, opened);
    if (this.#nextId > MAX_STREAM_ID) this.#owner.onUsedUp();
  }

  // --- for the streams ---

  release(stream: RequestStream, code: ErrorCode | undefined): void {
    if (stream.id === 0) {
      const index = this.#queue.indexOf(stream);
      if (index >= 0) this.#queue.splice(index, 1);
      return;
    }
    if (!this.#open.delete(stream.id)) return;
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

  // --- for the connection ---

  /** The socket or the connection's window has room again. */
  serveLine(): void {
    if (this.#line.length === 0) return;
    const line = this.#line;
    this.#line = [];
    for (const stream of line) {
      stream.waiting = false;
      stream.sendMore();
    }
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
    this.#open.delete(id);
  }

  /** Takes out the open streams above an identifier. */
  takeAbove(id: number): RequestStream[] {
    const taken = this.#open.values().filter((stream) => stream.id > id);
    for (const stream of taken) this.#open.delete(stream.id);
    return taken;
  }

  /** Takes out the requests that were not sent. */
  takeQueue(): RequestStream[] {
    return this.#queue.splice(0);
  }

  /** Nothing is sent any more. */
  close(): void {
    this.#closed = true;
    this.#open.clear();
    this.#line = [];
  }
}
