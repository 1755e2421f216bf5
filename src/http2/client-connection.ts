import type { Deadlines, Timed } from '../exchange/deadlines.ts';
import type { UpstreamFailure, UpstreamHandler, UpstreamRequest, UpstreamStream } from '../exchange/streams.ts';
import type { Connection, ConnectionHandler } from '../wire/wire.ts';
import { AnswerReader, CONNECTION_WINDOW, codeName, MAX_HEAD_BYTES } from './answer-reader.ts';
import { FrameReader, Read } from './frame-reader.ts';
import {
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
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

/** A backend that makes us answer more than it reads. */
const MAX_PENDING = 1024 * 1024;
/** One to say that the end is near, one with the last stream; the rest is noise. */
const MAX_GOAWAYS = 16;
const HELLO =
  PREFACE + settingsFrame(Setting.EnablePush, 0, Setting.MaxHeaderListSize, MAX_HEAD_BYTES) + windowUpdateFrame(0, CONNECTION_WINDOW - DEFAULT_WINDOW);

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
  readonly #sender: RequestSender;
  readonly #streams: RequestStreams;
  readonly #answers: AnswerReader;
  /** It takes no new request. */
  #retired = false;
  #closed = false;
  /** Our SETTINGS are. */
  #acknowledged = false;
  #goAways = 0;
  /** `requests` when the owner was told last that none is under way. */
  #reusableAfter = 0;
  /** The last stream of the last GOAWAY. */
  #lastServed = MAX_STREAM_ID;

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
    this.#answers = new AnswerReader(this.#streams, this.#reader, this);
  }

  get hasRoom(): boolean {
    return !this.#retired && !this.#closed && !this.#connection.isBroken && this.#streams.hasRoom;
  }

  /** Whether the backend takes WebSocket beside other requests (RFC 8441 section 3); undefined: it has not said yet. */
  get takesTunnels(): boolean | undefined {
    return this.#streams.isSettled ? this.#sender.settings.connectProtocol : undefined;
  }

  /** May be called before the connection is up; where there is no room, the request waits for it. */
  request(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream {
    this.requests++;
    const reused = this.requests > 1;
    if (!this.#closed && !this.#retired && !this.#connection.isBroken) return this.#streams.add(request, handler, reused);
    return this.#streams.refuse(request, handler, reused, new Error('the connection is closed'));
  }

  /** Closes it at once. For connections without a request under way. */
  destroy(): void {
    this.#shut(ErrorCode.NoError);
  }

  onIdle(): void {
    if (this.#retired) {
      this.#lose('reset', undefined, ErrorCode.NoError);
    } else if (this.#reusableAfter !== this.requests) {
      // Once only, also where the end of one request cancels the last other one, as that of a hedge does, and so is told from within.
      this.#reusableAfter = this.requests;
      this.#owner.onReusable(this);
    }
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
    const answers = this.#answers;
    let position = start;
    // Up to More, for an empty frame has no byte of its own behind its header.
    while (!this.#closed) {
      const result = reader.next(bytes, position, end);
      position = reader.position;
      if (result === Read.More) break;
      if (result === Read.Bad) this.onBroken(reader.error);
      else if (!this.#streams.isSettled && !(result === Read.Frame && reader.type === FrameType.Settings)) this.onBroken(ErrorCode.ProtocolError);
      else if (answers.inBlock && reader.type !== FrameType.Continuation) this.onBroken(ErrorCode.ProtocolError);
      else if (result === Read.DataHeader) answers.readDataHeader();
      else if (result === Read.Data) position = answers.readData(bytes, position, end);
      else this.#onFrame();
    }
    answers.flushHeads();
    if (this.#sender.output.pendingBytes > MAX_PENDING) this.onBroken(ErrorCode.EnhanceYourCalm);
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
      case FrameType.Continuation:
        this.#answers.readFragment();
        return;
      case FrameType.RstStream:
        this.#answers.readReset(streamId, readUint32(payload, payloadStart));
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
        this.#streams.readWindowUpdate(streamId, readUint32(payload, payloadStart) & MAX_WINDOW);
        return;
      case FrameType.PushPromise:
        // We have said that we take none.
        this.onBroken(ErrorCode.ProtocolError);
        return;
      case FrameType.Priority:
        // Ignored (section 5.3.2), but for what can't be one.
        if (reader.length !== 5) this.onBroken(ErrorCode.FrameSizeError);
        else if (reader.dependsOnItself) this.onBroken(ErrorCode.ProtocolError);
        return;
      default:
      // What is not known.
    }
  }

  #onSettings(bytes: Buffer, start: number, end: number): void {
    if ((this.#reader.flags & Flag.Ack) !== 0) {
      // We send SETTINGS once; nghttp2 takes no acknowledgement of nothing either.
      if (!this.#streams.isSettled || this.#acknowledged) this.onBroken(ErrorCode.ProtocolError);
      this.#acknowledged = true;
      return;
    }
    const sender = this.#sender;
    const windowBefore = sender.settings.initialWindow;
    const error = sender.settle(bytes, start, end);
    if (error !== ErrorCode.NoError) {
      this.onBroken(error);
      return;
    }
    sender.output.send(SETTINGS_ACK);
    const change = sender.settings.initialWindow - windowBefore;
    if (change !== 0 && !this.#streams.moveWindows(change)) {
      this.onBroken(ErrorCode.FlowControlError);
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

  #onGoAway(lastId: number, code: number): void {
    if (++this.#goAways > MAX_GOAWAYS) {
      this.onBroken(ErrorCode.EnhanceYourCalm);
      return;
    }
    // It can't be one of its own streams, nor more than was said before (RFC 9113 section 6.8): those may have gone elsewhere since.
    if (lastId > this.#lastServed || (lastId > 0 && lastId % 2 === 0)) {
      this.onBroken(ErrorCode.ProtocolError);
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
  onBroken(code: ErrorCode): void {
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
    this.#answers.clear();
    const { output } = this.#sender;
    if (this.#streams.isUp) output.send(goAwayFrame(0, code));
    output.close();
    if (this.#streams.isUp && !output.held) this.#connection.finish();
    else this.#connection.destroy();
  }
}
