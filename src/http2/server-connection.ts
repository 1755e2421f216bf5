import type { Timed } from '../exchange/deadlines.ts';
import { ConnectionPeer, type Peer } from '../exchange/peer.ts';
import { newRequestId } from '../exchange/request-id.ts';
import type { ExchangeSink } from '../exchange/streams.ts';
import { FLUSH_TIMEOUT, LingeringClose } from '../http1/lingering-close.ts';
import type { ServerOptions } from '../http1/server-options.ts';
import type { Connection, ConnectionHandler, TlsInfo } from '../wire/wire.ts';
import { AnswerSender } from './answer-sender.ts';
import { BlockAssembly } from './block-assembly.ts';
import { connectionFault, refusalOf } from './fault.ts';
import { FrameReader, Read } from './frame-reader.ts';
import {
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
  FrameType,
  goAwayFrame,
  MAX_STREAM_ID,
  PREFACE,
  pingFrame,
  pingPayload,
  readUint32,
  SETTINGS_ACK,
  Setting,
  settingsFrame,
  windowUpdateFrame,
} from './frames.ts';
import { RequestReader } from './request-reader.ts';
import { CONNECTION_WINDOW, MAX_STREAMS, STREAM_WINDOW } from './server-options.ts';
import { ServerStreams, type StreamsOwner } from './server-streams.ts';

/** GOAWAY: none was sent; the one that announces the other; the one that names the last stream. */
const STAYING = 0;
const LEAVING = 1;
const LEFT = 2;

/** Header blocks up to so many times the limit are still decoded, for a 431; longer ones end the connection. */
const BLOCK_FACTOR = 4;
/** A fragment of less that does not end its block is one of the frames that bring nothing on. */
const SMALL_FRAGMENT = 256;
/** Bytes of frames that the client does not take, above which nothing more is read of it. */
const MAX_UNTAKEN = 16 * 1024;
/** Milliseconds for a client to answer the PING that goes with the first GOAWAY. */
const LEAVE_TIME = 1_000;
const LEAVE_PING = 'goingawy';
/** Milliseconds between looks at streams whose end waits for the client. */
const LINGER_CHECK = 5_000;

/** One client's HTTP/2 connection: reads its frames, answers those that concern the connection, and ends it. */
export class ServerConnection implements ConnectionHandler, Timed, StreamsOwner {
  deadline: number;
  deadlineIndex = -1;
  readonly #connection: Connection;
  readonly #peer: Peer;
  readonly #options: ServerOptions;
  readonly #sink: ExchangeSink;
  readonly #onClosed: (() => void) | undefined;
  readonly #reader = new FrameReader();
  readonly #assembly = new BlockAssembly();
  readonly #sender: AnswerSender;
  readonly #streams: ServerStreams;
  readonly #requests: RequestReader;
  #closed = false;
  #prefaceRead = 0;
  /** The client's first SETTINGS came in. */
  #settled = false;
  #leaving: typeof STAYING | typeof LEAVING | typeof LEFT = STAYING;
  #reading = true;

  // On the clock of `Deadlines.now`; 0: not now.
  readonly #startedAt: number;
  #headSince = 0;
  #idleSince: number;
  #leavingSince = 0;
  #lingerCheckAt = 0;

  /** Takes the connection over. @param onClosed called once when it is gone */
  constructor(connection: Connection, options: ServerOptions, sink: ExchangeSink, onClosed?: () => void) {
    this.#connection = connection;
    this.#peer = new ConnectionPeer(connection);
    this.#options = options;
    this.#sink = sink;
    this.#onClosed = onClosed;
    this.#sender = new AnswerSender(connection);
    this.#streams = new ServerStreams(this, this.#sender, options);
    this.#requests = new RequestReader(this, this.#streams, this.#peer, options, sink);
    this.#startedAt = options.deadlines.now;
    this.#idleSince = this.#startedAt;
    this.deadline = this.#startedAt + options.headerTimeout;
    options.deadlines.add(this);
    connection.handler = this;
    this.#sender.output.send(greeting(options.maxHeaderBytes));
  }

  /** No request is under way, nor has one begun to arrive. */
  get idle(): boolean {
    return this.#streams.size === 0 && this.#headSince === 0;
  }

  get tls(): TlsInfo | undefined {
    return this.#connection.tls;
  }

  /** Takes no more requests than those that are on their way, and closes when they are answered. */
  closeIfIdle(): void {
    this.leave();
  }

  // --- reading ---

  onData(bytes: Buffer, start: number, end: number): void {
    let position = start;
    if (this.#prefaceRead < PREFACE.length) {
      position = this.#readPreface(bytes, position, end);
      if (position < 0) return;
    }
    const reader = this.#reader;
    const requests = this.#requests;
    while (!this.#closed) {
      const result = reader.next(bytes, position, end);
      position = reader.position;
      if (result === Read.More) break;
      if (result === Read.Bad) this.fail(reader.error);
      else if (result === Read.Data) requests.readData(reader);
      else this.#readFrame(result === Read.DataHeader);
    }
    requests.beginExchanges();
    if (this.#closed) return;
    // The time that DATA may take is the exchange's to watch.
    if (this.#assembly.streamId === 0 && (reader.atFrameStart || reader.inData)) this.#headSince = 0;
    else if (this.#headSince === 0) this.#headSince = this.#now;
    this.#updateReading();
    this.#schedule();
  }

  /** @returns where the frames begin, or -1 where there are none yet */
  #readPreface(bytes: Buffer, start: number, end: number): number {
    let position = start;
    while (position < end && this.#prefaceRead < PREFACE.length) {
      if (bytes[position] !== PREFACE.charCodeAt(this.#prefaceRead)) {
        this.fail(ErrorCode.ProtocolError);
        return -1;
      }
      position++;
      this.#prefaceRead++;
    }
    return this.#prefaceRead < PREFACE.length ? -1 : position;
  }

  #readFrame(isData: boolean): void {
    const { type, flags, streamId } = this.#reader;
    // The first frame is SETTINGS (section 3.4); between the frames of a header block there is no other (section 6.10).
    const isEarly = !this.#settled && (type !== FrameType.Settings || (flags & Flag.Ack) !== 0);
    const assembled = this.#assembly.streamId;
    const isOutOfPlace = assembled === 0 ? type === FrameType.Continuation : type !== FrameType.Continuation || streamId !== assembled;
    if (isEarly || isOutOfPlace) this.fail(ErrorCode.ProtocolError);
    else if (isData) this.#requests.readDataHeader(this.#reader);
    else if (type === FrameType.Headers || type === FrameType.Continuation) this.#readFragment(type);
    else if (type === FrameType.WindowUpdate) this.#streams.readWindowUpdate(streamId, this.#readNumber() & 0x7fff_ffff);
    else if (type === FrameType.RstStream) this.#streams.readReset(streamId);
    else if (type === FrameType.Settings) this.#readSettings();
    else if (type === FrameType.Ping) this.#readPing();
    else if (type === FrameType.Priority) this.#readPriority();
    else if (type === FrameType.PushPromise) this.fail(ErrorCode.ProtocolError);
    // A client's GOAWAY stops nothing that it has asked for; frames of unknown types are ignored (section 5.5).
    else this.#streams.countControl();
    // What is cut behind it has just begun.
    if (this.#assembly.streamId === 0) this.#headSince = 0;
  }

  #readNumber(): number {
    return readUint32(this.#reader.payload, this.#reader.payloadStart);
  }

  #readFragment(type: number): void {
    const { payload, payloadStart, payloadEnd, flags, streamId, dependsOnItself } = this.#reader;
    const assembly = this.#assembly;
    if (type === FrameType.Headers) {
      // A client's streams have odd numbers (section 5.1.1).
      if ((streamId & 1) === 0) {
        this.fail(ErrorCode.ProtocolError);
        return;
      }
      assembly.begin(streamId, (flags & Flag.EndStream) !== 0, dependsOnItself);
    }
    const length = payloadEnd - payloadStart;
    const last = (flags & Flag.EndHeaders) !== 0;
    if (assembly.length + length > this.#options.maxHeaderBytes * BLOCK_FACTOR) {
      this.fail(ErrorCode.EnhanceYourCalm);
      return;
    }
    if (!last && length < SMALL_FRAGMENT && !this.#streams.countControl()) return;
    assembly.add(payload, payloadStart, payloadEnd, last);
    if (last) this.#requests.readBlock(assembly);
  }

  /** Priorities are ignored (section 5.3.2), but for what can't be one. */
  #readPriority(): void {
    if (this.#reader.length !== 5) this.fail(ErrorCode.FrameSizeError);
    else if (this.#reader.dependsOnItself) this.fail(ErrorCode.ProtocolError);
    else this.#streams.countControl();
  }

  #readSettings(): void {
    const { payload, payloadStart, payloadEnd, flags } = this.#reader;
    if ((flags & Flag.Ack) !== 0) {
      // To the ones that are sent at the beginning; whatever comes beyond that is of no use.
      this.#streams.countControl();
      return;
    }
    if (this.#settled && !this.#streams.countControl()) return;
    this.#settled = true;
    const { settings, output } = this.#sender;
    const before = settings.initialWindow;
    const error = this.#sender.settle(payload, payloadStart, payloadEnd);
    if (error !== ErrorCode.NoError) {
      this.fail(error);
      return;
    }
    if (!this.#streams.moveWindows(settings.initialWindow - before)) {
      this.fail(ErrorCode.FlowControlError);
      return;
    }
    output.send(SETTINGS_ACK);
    if (settings.initialWindow > before) this.#streams.pump();
  }

  #readPing(): void {
    const { payload, payloadStart, flags } = this.#reader;
    const text = pingPayload(payload, payloadStart);
    if ((flags & Flag.Ack) !== 0 && this.#leaving === LEAVING && text === LEAVE_PING) {
      this.#nameLast();
    } else if (this.#streams.countControl() && (flags & Flag.Ack) === 0) {
      this.#sender.output.send(pingFrame(text, true));
    }
  }

  /** A client that does not take what it gets is not read from, so that no more of that comes about. */
  #updateReading(): void {
    if (this.#closed) return;
    const { output } = this.#sender;
    const wanted = !output.held || output.pendingBytes < MAX_UNTAKEN;
    if (wanted === this.#reading) return;
    this.#reading = wanted;
    if (wanted) this.#connection.resumeReading();
    else this.#connection.pauseReading();
  }

  onDrain(): void {
    const { output } = this.#sender;
    output.drained();
    if (!output.held) this.#streams.pump();
    this.#updateReading();
    this.#schedule();
  }

  // --- the end ---

  /** RFC 9113 section 6.8: the client is told first that it is to go, and then, when it must know, which request was the last. */
  leave(): void {
    if (this.#closed || this.#leaving !== STAYING) return;
    this.#leaving = LEAVING;
    this.#leavingSince = this.#now;
    this.#sender.output.send(goAwayFrame(MAX_STREAM_ID, ErrorCode.NoError) + pingFrame(LEAVE_PING, false));
    this.#schedule();
  }

  #nameLast(): void {
    this.#leaving = LEFT;
    this.#streams.servedUpTo = this.#streams.lastId;
    this.#sender.output.send(goAwayFrame(this.#streams.lastId, ErrorCode.NoError));
    if (this.#streams.size === 0) this.#close();
  }

  becameIdle(): void {
    this.#idleSince = this.#now;
    // Not from within what the stream's handler calls.
    if (this.#leaving === LEFT) setImmediate(() => this.#closeWhenLeft());
    else this.#schedule();
  }

  #closeWhenLeft(): void {
    if (this.#streams.size === 0) this.#close();
  }

  lingers(): void {
    if (this.#lingerCheckAt > 0) return;
    this.#lingerCheckAt = this.#now + LINGER_CHECK;
    this.#schedule();
  }

  fail(error: ErrorCode): void {
    if (this.#closed) return;
    this.#sink.onRefused(refusalOf(connectionFault(error), this.#peer, undefined, newRequestId(), 0, performance.now()));
    const { lastId, servedUpTo } = this.#streams;
    // Not above the one that was named before (section 6.8).
    this.#sender.output.send(goAwayFrame(Math.min(lastId, servedUpTo), error));
    this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#sender.output.close();
    this.#assembly.clear();
    this.#options.deadlines.remove(this);
    if (!this.#reading) this.#connection.resumeReading();
    new LingeringClose(this.#connection, this.#options.deadlines, false, this.#sender.output.held, (error) => this.onClose(error));
    this.#streams.end();
  }

  onEnd(): void {
    // Whoever can't say how much it takes can't be answered.
    this.#close();
  }

  onClose(_error: Error | undefined): void {
    this.#closed = true;
    this.#sender.output.drop();
    this.#assembly.clear();
    this.#options.deadlines.remove(this);
    this.#streams.end();
    this.#onClosed?.();
  }

  // --- time ---

  get #now(): number {
    return this.#options.deadlines.now;
  }

  #schedule(): void {
    if (this.#closed) return;
    const { headerTimeout, keepAliveTimeout } = this.#options;
    let deadline = Number.POSITIVE_INFINITY;
    if (this.#streams.size === 0) deadline = this.#idleSince + (this.#sender.output.held ? FLUSH_TIMEOUT : keepAliveTimeout);
    else if (this.#lingerCheckAt > 0) deadline = this.#lingerCheckAt;
    if (!this.#settled) deadline = Math.min(deadline, this.#startedAt + headerTimeout);
    if (this.#headSince > 0) deadline = Math.min(deadline, this.#headSince + headerTimeout);
    if (this.#leaving === LEAVING) deadline = Math.min(deadline, this.#leavingSince + LEAVE_TIME);
    this.deadline = deadline;
  }

  onDeadline(): void {
    const now = this.#now;
    const { headerTimeout } = this.#options;
    if (!this.#settled && now >= this.#startedAt + headerTimeout) this.fail(ErrorCode.ProtocolError);
    else if (this.#headSince > 0 && now >= this.#headSince + headerTimeout) this.#failSlowHead();
    else if (this.#leaving === LEAVING && now >= this.#leavingSince + LEAVE_TIME) this.#nameLast();
    else if (this.#streams.size === 0) this.#leaveIdle();
    else this.#checkLingering(now);
    this.#schedule();
  }

  /** A header section that does not get whole: its request is answered, as in HTTP/1.1, and the last. */
  #failSlowHead(): void {
    const reader = this.#reader;
    const streamId = this.#assembly.streamId || (reader.inPayload && reader.type === FrameType.Headers ? reader.streamId : 0);
    if (streamId > this.#streams.lastId && (streamId & 1) === 1) this.#requests.refuseSlow(streamId);
    this.fail(ErrorCode.EnhanceYourCalm);
  }

  /** Nothing is under way. */
  #leaveIdle(): void {
    const { output } = this.#sender;
    if (output.held && this.#now >= this.#idleSince + FLUSH_TIMEOUT) this.#connection.destroy();
    else if (!output.held && this.#now >= this.#idleSince + this.#options.keepAliveTimeout) this.#nameLast();
  }

  #checkLingering(now: number): void {
    if (this.#lingerCheckAt === 0 || now < this.#lingerCheckAt) return;
    this.#streams.resetLingering(now - FLUSH_TIMEOUT);
    this.#lingerCheckAt = this.#streams.lingering > 0 ? now + LINGER_CHECK : 0;
  }
}

const greetings = new Map<number, string>();

/** What we say first of all (RFC 9113 section 3.4). */
function greeting(maxHeaderBytes: number): string {
  let text = greetings.get(maxHeaderBytes);
  if (text === undefined) {
    const settings = settingsFrame(
      ...[Setting.MaxConcurrentStreams, MAX_STREAMS],
      ...[Setting.InitialWindowSize, STREAM_WINDOW],
      ...[Setting.MaxHeaderListSize, maxHeaderBytes],
      ...[Setting.EnableConnectProtocol, 1],
    );
    text = settings + windowUpdateFrame(0, CONNECTION_WINDOW - DEFAULT_WINDOW);
    greetings.set(maxHeaderBytes, text);
  }
  return text;
}
