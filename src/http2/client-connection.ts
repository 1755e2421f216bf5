import type { Deadlines, Timed } from '../exchange/deadlines.ts';
import { MAX_FIELDS_TEXT } from '../exchange/fields.ts';
import type { UpstreamFailure, UpstreamHandler, UpstreamRequest, UpstreamStream } from '../exchange/streams.ts';
import type { Connection, ConnectionHandler } from '../wire/wire.ts';
import { BlockAssembly } from './block-assembly.ts';
import type { RequestStream } from './client-stream.ts';
import { FrameReader, Read } from './frame-reader.ts';
import {
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
  FRAME_HEADER,
  FrameType,
  goAwayFrame,
  MAX_STREAM_ID,
  MAX_WINDOW,
  PREFACE,
  pingFrame,
  pingPayload,
  readUint32,
  SETTINGS_ACK,
  Setting,
  settingsFrame,
  windowUpdateFrame,
} from './frames.ts';
import { HpackDecoder } from './hpack/decoder.ts';
import { HeaderBlock } from './hpack/header-block.ts';
import { RequestSender } from './request-sender.ts';
import { RequestStreams, type SendElsewhere, type StreamsOwner } from './request-streams.ts';

/** Who keeps the connection; as `ConnectionOwner` of upstream/ has it. None of these is called from within `request` or `destroy`. */
export interface ClientConnectionOwner {
  onReusable(connection: ClientConnection): void;
  onRoom(connection: ClientConnection): void;
  onFull(connection: ClientConnection): void;
  onRetired(connection: ClientConnection): void;
  onGone(connection: ClientConnection): void;
  onTunnelRefused: SendElsewhere;
  onNoRoom: SendElsewhere;
  streamsAtOnce: number;
}

/** What all streams together may send us beyond what was read; streams have windows of their own, so that a slow one stops no other. */
const CONNECTION_WINDOW = 1024 * 1024;
const CREDIT_FROM = CONNECTION_WINDOW >>> 1;
/** As for HTTP/1.1: a head above these is malformed. */
const MAX_HEAD_BYTES = MAX_FIELDS_TEXT;
const MAX_FIELDS = 1000;
/** A backend that makes us answer more than it reads. */
const MAX_PENDING = 1024 * 1024;
/** One to say that the end is near, one with the last stream; the rest is noise. */
const MAX_GOAWAYS = 16;
const HELLO =
  PREFACE + settingsFrame(Setting.EnablePush, 0, Setting.MaxHeaderListSize, MAX_HEAD_BYTES) + windowUpdateFrame(0, CONNECTION_WINDOW - DEFAULT_WINDOW);

/** Used up before `onData` returns, so one will do for all. */
const block = new HeaderBlock({ maxBytes: MAX_HEAD_BYTES, maxFields: MAX_FIELDS, dropUnderscores: false });

const CODE_NAMES: readonly string[] = Object.keys(ErrorCode);

/** Why a backend's connection is of no use: `code` is for `replies`, which has a reason of its own for it. */
export class NotHttp2Error extends Error {
  readonly code = 'ERR_NOT_HTTP2';

  constructor() {
    super('the backend does not speak HTTP/2');
  }
}

/** One HTTP/2 connection to a backend: carries many requests at once. */
export class ClientConnection implements ConnectionHandler, StreamsOwner, Timed {
  deadline = Number.POSITIVE_INFINITY;
  deadlineIndex = -1;
  /** Requests begun on it so far. */
  requests = 0;
  /** These two are of its owner's use. */
  generation = 0;
  preamble: Buffer | undefined = undefined;

  readonly #connection: Connection;
  readonly #deadlines: Deadlines;
  readonly #owner: ClientConnectionOwner;
  readonly #reader = new FrameReader();
  readonly #decoder = new HpackDecoder();
  readonly #assembly = new BlockAssembly();
  readonly #sender: RequestSender;
  readonly #streams: RequestStreams;
  /** Streams whose answer's head waits for what comes in the same read. */
  #heads: RequestStream[] = [];
  /** It takes no new request. */
  #retired = false;
  #closed = false;
  /** Our SETTINGS are. */
  #acknowledged = false;
  #goAways = 0;
  /** The last stream of the last GOAWAY. */
  #lastServed = MAX_STREAM_ID;
  #receiveWindow = CONNECTION_WINDOW;
  /** Of the DATA frame under way, from its payload's beginning: what is no content in the end is padding. */
  #dataLeft = 0;

  /**
   * @param connect begins to connect with the handler that it gets
   * @param scheme what `:scheme` says
   * @param connectTimeout milliseconds until the backend has sent its SETTINGS
   */
  constructor(
    connect: (handler: ConnectionHandler) => Connection,
    deadlines: Deadlines,
    scheme: 'http' | 'https',
    connectTimeout: number,
    owner: ClientConnectionOwner,
  ) {
    this.#deadlines = deadlines;
    this.#owner = owner;
    this.deadline = deadlines.now + connectTimeout;
    deadlines.add(this);
    this.#connection = connect(this);
    this.#sender = new RequestSender(this.#connection);
    this.#streams = new RequestStreams(this.#sender, deadlines, scheme, this);
  }

  get hasRoom(): boolean {
    return !this.#retired && !this.#closed && this.#streams.hasRoom;
  }

  /** Whether the backend takes WebSocket beside other requests (RFC 8441 section 3); undefined: it has not said yet. */
  get takesTunnels(): boolean | undefined {
    return this.#streams.isSettled ? this.#sender.settings.connectProtocol : undefined;
  }

  /** May be called before the connection is up; where there is no room, the request waits for it. */
  request(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream {
    this.requests++;
    const reused = this.requests > 1;
    if (!this.#closed && !this.#retired) return this.#streams.add(request, handler, reused);
    return this.#streams.refuse(request, handler, reused, new Error('the connection is closed'));
  }

  /** Closes it at once. For connections without a request under way. */
  destroy(): void {
    this.#shut(ErrorCode.NoError);
  }

  onIdle(): void {
    if (this.#retired) this.#lose('reset', undefined, ErrorCode.NoError);
    else this.#owner.onReusable(this);
  }

  onRoom(): void {
    if (!this.#retired) this.#owner.onRoom(this);
  }

  onUsedUp(): void {
    this.#retire();
  }

  get streamsAtOnce(): number {
    return this.#owner.streamsAtOnce;
  }

  onTunnelRefused(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream | undefined {
    return this.#owner.onTunnelRefused(request, handler);
  }

  // --- the socket ---

  onConnect(): void {
    if (this.#closed) return;
    this.#streams.isUp = true;
    this.#sender.output.send(HELLO);
    this.#streams.openQueued();
    this.#sender.output.flush();
  }

  onDrain(): void {
    this.#sender.output.drained();
    if (!this.#sender.output.held) this.#streams.serveLine();
  }

  onData(bytes: Buffer, start: number, end: number): void {
    this.#streams.lastReceived = this.#deadlines.now;
    const reader = this.#reader;
    let position = start;
    // Up to More, for an empty frame has no byte of its own behind its header.
    while (!this.#closed) {
      const result = reader.next(bytes, position, end);
      position = reader.position;
      if (result === Read.More) break;
      if (result === Read.Bad) this.#broken(reader.error);
      else if (!this.#streams.isSettled && !(result === Read.Frame && reader.type === FrameType.Settings)) this.#broken(ErrorCode.ProtocolError);
      else if (this.#assembly.streamId !== 0 && reader.type !== FrameType.Continuation) this.#broken(ErrorCode.ProtocolError);
      else if (result === Read.DataHeader) this.#onDataHeader();
      else if (result === Read.Data) position = this.#onDataPiece(bytes, position, end);
      else this.#onFrame();
    }
    if (this.#heads.length > 0) this.#flushHeads();
    if (this.#sender.output.pendingBytes > MAX_PENDING) this.#broken(ErrorCode.EnhanceYourCalm);
  }

  #flushHeads(): void {
    const heads = this.#heads;
    this.#heads = [];
    for (const stream of heads) stream.flushHead();
  }

  onEnd(): void {
    this.#lose('reset', new Error('the backend closed the connection before its answers were complete'), ErrorCode.NoError);
  }

  onClose(error: Error | undefined): void {
    this.#lose(this.#streams.isUp ? 'reset' : 'connect-failure', error, ErrorCode.NoError);
  }

  onDeadline(): void {
    const error: NodeJS.ErrnoException = new Error(
      this.#streams.isUp ? 'the backend sent no SETTINGS in time' : 'the backend did not accept the connection in time',
    );
    error.code = 'ETIMEDOUT';
    this.#lose(this.#streams.isUp ? 'reset' : 'connect-failure', error, ErrorCode.SettingsTimeout);
  }

  // --- frames ---

  #onFrame(): void {
    const reader = this.#reader;
    const { payload, payloadStart, payloadEnd, streamId } = reader;
    switch (reader.type) {
      case FrameType.Headers:
        if (!this.#wasOpened(streamId)) return;
        this.#assembly.begin(streamId, (reader.flags & Flag.EndStream) !== 0, reader.dependsOnItself);
        this.#onFragment();
        return;
      case FrameType.Continuation:
        if (streamId === this.#assembly.streamId && streamId !== 0) this.#onFragment();
        else this.#broken(ErrorCode.ProtocolError);
        return;
      case FrameType.RstStream:
        this.#onReset(streamId, readUint32(payload, payloadStart));
        return;
      case FrameType.Settings:
        this.#onSettings(payload, payloadStart, payloadEnd);
        return;
      case FrameType.Ping:
        if ((reader.flags & Flag.Ack) === 0) this.#sender.output.send(pingFrame(pingPayload(payload, payloadStart), true));
        return;
      case FrameType.GoAway:
        this.#onGoAway(readUint32(payload, payloadStart) & MAX_STREAM_ID, readUint32(payload, payloadStart + 4));
        return;
      case FrameType.WindowUpdate:
        this.#onWindowUpdate(streamId, readUint32(payload, payloadStart) & MAX_WINDOW);
        return;
      case FrameType.PushPromise:
        // We have said that we take none.
        this.#broken(ErrorCode.ProtocolError);
        return;
      case FrameType.Priority:
        // Ignored (section 5.3.2), but for what can't be one.
        if (reader.length !== 5) this.#broken(ErrorCode.FrameSizeError);
        else if (reader.dependsOnItself) this.#broken(ErrorCode.ProtocolError);
        return;
      default:
      // What is not known.
    }
  }

  #wasOpened(streamId: number): boolean {
    if (this.#streams.wasOpened(streamId)) return true;
    this.#broken(ErrorCode.ProtocolError);
    return false;
  }

  #onFragment(): void {
    const reader = this.#reader;
    const assembly = this.#assembly;
    const last = (reader.flags & Flag.EndHeaders) !== 0;
    // An empty one that does not end the block brings nothing, and could come for ever.
    const isNothing = reader.type === FrameType.Continuation && !last && reader.payloadStart === reader.payloadEnd;
    if (isNothing || assembly.length + reader.payloadEnd - reader.payloadStart > MAX_HEAD_BYTES) {
      this.#broken(ErrorCode.EnhanceYourCalm);
      return;
    }
    assembly.add(reader.payload, reader.payloadStart, reader.payloadEnd, last);
    if (!last) return;
    block.begin();
    const good = this.#decoder.decode(assembly.bytes, assembly.start, assembly.end, block);
    const { streamId, endsStream } = assembly;
    assembly.clear();
    if (!good) {
      this.#broken(ErrorCode.CompressionError);
      return;
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    const hadHead = stream.headWaits;
    stream.receiveHeaders(block, endsStream);
    if (stream.headWaits && !hadHead) this.#heads.push(stream);
  }

  #onDataHeader(): void {
    const { streamId, length } = this.#reader;
    if (!this.#wasOpened(streamId)) return;
    this.#receiveWindow -= length;
    const stream = this.#streams.get(streamId);
    this.#dataLeft = length;
    if (stream !== undefined) stream.receiveWindow -= length;
    if (this.#receiveWindow < 0 || (stream !== undefined && stream.receiveWindow < 0)) {
      this.#broken(ErrorCode.FlowControlError);
      return;
    }
    if (this.#receiveWindow <= CONNECTION_WINDOW - CREDIT_FROM) {
      // Whatever becomes of it: how much is kept is bounded by the windows of the streams.
      this.#sender.output.send(windowUpdateFrame(0, CONNECTION_WINDOW - this.#receiveWindow));
      this.#receiveWindow = CONNECTION_WINDOW;
    }
  }

  /** @returns where to go on */
  #onDataPiece(bytes: Buffer, position: number, end: number): number {
    const reader = this.#reader;
    const { payload, payloadStart, payloadEnd, frameEnded, streamId } = reader;
    this.#dataLeft -= payloadEnd - payloadStart;
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return position;
    let ends = frameEnded && (reader.flags & Flag.EndStream) !== 0;
    let next = position;
    if (frameEnded && !ends && isEmptyEnd(bytes, position, end, streamId)) {
      ends = true;
      next = position + FRAME_HEADER;
    }
    if (frameEnded && !ends && this.#dataLeft > 0) stream.receivePadding(this.#dataLeft);
    stream.receiveData(payload, payloadStart, payloadEnd, ends);
    return next;
  }

  #onReset(streamId: number, code: number): void {
    if (!this.#wasOpened(streamId)) return;
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    this.#streams.remove(streamId);
    if (code !== ErrorCode.NoError || !stream.closeInOrder())
      stream.fail('reset', code !== ErrorCode.RefusedStream, new Error(`the backend reset the stream: ${codeName(code)}`));
    this.#streams.settle();
  }

  #onSettings(bytes: Buffer, start: number, end: number): void {
    if ((this.#reader.flags & Flag.Ack) !== 0) {
      // We send SETTINGS once; nghttp2 takes no acknowledgement of nothing either.
      if (!this.#streams.isSettled || this.#acknowledged) this.#broken(ErrorCode.ProtocolError);
      this.#acknowledged = true;
      return;
    }
    const sender = this.#sender;
    const windowBefore = sender.settings.initialWindow;
    const error = sender.settle(bytes, start, end);
    if (error !== ErrorCode.NoError) {
      this.#broken(error);
      return;
    }
    sender.output.send(SETTINGS_ACK);
    const change = sender.settings.initialWindow - windowBefore;
    if (change !== 0 && !this.#streams.moveWindows(change)) {
      this.#broken(ErrorCode.FlowControlError);
      return;
    }
    if (!this.#streams.isSettled) {
      this.#streams.isSettled = true;
      this.deadline = Number.POSITIVE_INFINITY;
      this.#deadlines.remove(this);
    }
    this.#streams.noteRoom();
    if (!this.#streams.isEmpty) this.#streams.settle();
    this.#tellLimit();
  }

  /** The backend has said how many streams it takes at once, which may be fewer than were counted on. */
  #tellLimit(): void {
    const streams = this.#streams;
    // One that takes none for now may take some soon, and a new connection would get no more.
    if (streams.limit > 0) this.#owner.streamsAtOnce = streams.limit;
    if (this.#closed || this.#retired || streams.hasRoom) return;
    this.#owner.onFull(this);
    if (streams.limit > 0) streams.spread((request, handler) => this.#owner.onNoRoom(request, handler));
  }

  #onWindowUpdate(streamId: number, increment: number): void {
    if (streamId === 0) {
      if (increment === 0 || !this.#sender.widen(increment)) this.#broken(increment === 0 ? ErrorCode.ProtocolError : ErrorCode.FlowControlError);
      else this.#streams.serveLine();
      return;
    }
    if (!this.#wasOpened(streamId)) return;
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    stream.sendWindow += increment;
    if (increment > 0 && stream.sendWindow <= MAX_WINDOW) {
      stream.sendMore();
      return;
    }
    this.#streams.release(stream, increment === 0 ? ErrorCode.ProtocolError : ErrorCode.FlowControlError);
    stream.fail('malformed', true, new Error('the backend sent a bad WINDOW_UPDATE'));
    this.#streams.settle();
  }

  #onGoAway(lastId: number, code: number): void {
    if (++this.#goAways > MAX_GOAWAYS) {
      this.#broken(ErrorCode.EnhanceYourCalm);
      return;
    }
    // It can't be one of its own streams, nor more than was said before (RFC 9113 section 6.8): those may have gone elsewhere since.
    if (lastId > this.#lastServed || (lastId > 0 && lastId % 2 === 0)) {
      this.#broken(ErrorCode.ProtocolError);
      return;
    }
    this.#lastServed = lastId;
    this.#retire();
    const cause = new Error(`the backend closes the connection: ${codeName(code)}`);
    // They were not worked on, and never will be (RFC 9113 section 6.8).
    for (const stream of this.#streams.takeAbove(lastId)) stream.fail('reset', false, cause);
    this.#streams.settle();
  }

  // --- the end ---

  /** Requests that were not sent yet go elsewhere; those that were may end well. */
  #retire(): void {
    if (this.#retired || this.#closed) return;
    this.#retired = true;
    this.#owner.onRetired(this);
    for (const queued of this.#streams.takeQueue()) queued.failLater(new Error('the connection takes no more requests'));
  }

  /** The backend broke the protocol: nothing of the connection can be trusted any more. */
  #broken(code: ErrorCode): void {
    const cause = this.#streams.isSettled ? new Error(`the backend broke a rule of HTTP/2: ${codeName(code)}`) : new NotHttp2Error();
    this.#lose('malformed', cause, code);
  }

  #lose(failure: UpstreamFailure, cause: Error | undefined, code: ErrorCode): void {
    if (this.#closed) return;
    const unsent = this.#streams.takeQueue();
    const sent = this.#streams.takeAbove(0);
    this.#shut(code);
    this.#owner.onGone(this);
    // A tunnel that the backend has ended is whole for the client, who may not have got all of it yet.
    for (const stream of sent) if (failure === 'malformed' || !stream.closeInOrder()) stream.fail(failure, true, cause);
    // A server that speaks something else would have the others on the next connection, too.
    const failureOfUnsent = failure === 'malformed' && this.#streams.isSettled ? 'reset' : failure;
    for (const queued of unsent) queued.fail(failureOfUnsent, cause);
  }

  #shut(code: ErrorCode): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#deadlines.remove(this);
    this.#streams.close();
    this.#assembly.clear();
    const { output } = this.#sender;
    if (this.#streams.isUp) output.send(goAwayFrame(0, code));
    output.close();
    if (this.#streams.isUp && !output.held) this.#connection.finish();
    else this.#connection.destroy();
  }
}

/** Whether an empty DATA frame that ends the stream follows: many a server tells the end by itself, after the last bytes. */
function isEmptyEnd(bytes: Buffer, position: number, end: number, streamId: number): boolean {
  if (end - position < FRAME_HEADER || bytes[position + 4] !== Flag.EndStream || bytes[position + 3] !== FrameType.Data) return false;
  return bytes[position] === 0 && bytes[position + 1] === 0 && bytes[position + 2] === 0 && readUint32(bytes, position + 5) === streamId;
}

/** As `PROTOCOL_ERROR`; the number of one that is not known. */
function codeName(code: number): string {
  const name = CODE_NAMES[code];
  return name === undefined ? String(code) : name.replace(/(?<=[a-z])(?=[A-Z0-9])/g, '_').toUpperCase();
}
