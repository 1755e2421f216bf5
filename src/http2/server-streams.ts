import { problemBody } from '../exchange/problem.ts';
import { newRequestId } from '../exchange/request-id.ts';
import type { BodyLength } from '../exchange/streams.ts';
import { BODY_TOO_LARGE, type Fault } from '../http1/fault.ts';
import type { ServerOptions } from '../http1/server-options.ts';
import type { AnswerSender } from './answer-sender.ts';
import { LENGTH_MISMATCH, problemFields } from './fault.ts';
import { FloodGuard } from './flood-guard.ts';
import { ErrorCode, MAX_STREAM_ID, MAX_WINDOW, rstStreamFrame, windowUpdateFrame } from './frames.ts';
import { ResetStreams } from './reset-streams.ts';
import { CONNECTION_WINDOW, STREAM_WINDOW } from './server-options.ts';
import { ServerStream } from './server-stream.ts';
import { StreamTable } from './stream-table.ts';

/** What the streams want of their connection. */
export interface StreamsOwner {
  /** Ends the connection, for an error of the client. */
  fail(error: ErrorCode): void;
  /** Takes no more requests than those on their way. */
  leave(): void;
  /** The last stream is gone. */
  becameIdle(): void;
  /** The end of an answer waits for its client. */
  lingers(): void;
}

/** The streams of one client's connection, and what they have in common: windows, resets, the count of what goes wrong. */
export class ServerStreams {
  readonly sender: AnswerSender;
  readonly guard = new FloodGuard();
  /** The highest that the client has opened. */
  lastId = 0;
  /** Streams above are not served any more. */
  servedUpTo = MAX_STREAM_ID;
  readonly #options: ServerOptions;
  readonly #owner: StreamsOwner;
  readonly #streams = new StreamTable<ServerStream>();
  /** Of those that wait, the one with the lowest number has its turn first. */
  #turns = 0;
  readonly #resets = new ResetStreams();
  /** Bytes that the client may send on all streams together, and those that it was not yet told it may send again. */
  #window = CONNECTION_WINDOW;
  #uncredited = 0;
  /** WINDOW_UPDATE frames that may still come for streams that have ended meanwhile. */
  #lateUpdates = 0;
  /** Answers that wait for their client with nothing more to come. */
  #lingering = 0;

  constructor(owner: StreamsOwner, sender: AnswerSender, options: ServerOptions) {
    this.#owner = owner;
    this.sender = sender;
    this.#options = options;
  }

  get size(): number {
    return this.#streams.size;
  }

  /** As of the last sweep of the deadlines. */
  get now(): number {
    return this.#options.deadlines.now;
  }

  get(id: number): ServerStream | undefined {
    return this.#streams.get(id);
  }

  /** A request begins. */
  open(id: number, method: string, body: BodyLength, expectsContinue: boolean, endsStream: boolean): ServerStream {
    const stream = new ServerStream(this, id, method === 'HEAD', body, expectsContinue, endsStream, STREAM_WINDOW, this.sender.settings.initialWindow);
    stream.turn = ++this.#turns;
    this.#streams.add(stream);
    return stream;
  }

  /** Takes DATA of that length out of the connection's window. @returns false: there is not as much left */
  takeWindow(length: number): boolean {
    this.#window -= length;
    return this.#window >= 0;
  }

  /** HEADERS or DATA came in on a stream that is over. It may have been on its way while we reset it; any other breaks the protocol. */
  checkLate(streamId: number): void {
    if (streamId <= this.servedUpTo && !this.#resets.has(streamId)) this.#owner.fail(ErrorCode.StreamClosed);
  }

  /** RST_STREAM came in. */
  readReset(streamId: number): void {
    if (streamId > this.lastId) {
      this.#owner.fail(ErrorCode.ProtocolError);
      return;
    }
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) {
      this.#remove(stream);
      stream.handler?.onClientGone();
    }
    if (!this.guard.countReset(this.now)) this.#owner.fail(ErrorCode.EnhanceYourCalm);
  }

  // --- windows ---

  readWindowUpdate(streamId: number, increment: number): void {
    // Of a stream this need not end the connection (section 6.9), but who sends it is no better for that.
    if (increment === 0 || streamId > this.lastId) {
      this.#owner.fail(ErrorCode.ProtocolError);
      return;
    }
    if (streamId === 0) {
      this.#widenConnection(increment);
      return;
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      // It was on its way when the stream ended.
      if (this.#lateUpdates > 0) this.#lateUpdates--;
      else this.countControl();
      return;
    }
    const isUseful = stream.sentSinceUpdate || stream.sendWindow <= 0 || !stream.wasWidened;
    stream.wasWidened = true;
    stream.sentSinceUpdate = false;
    stream.sendWindow += increment;
    if (stream.sendWindow > MAX_WINDOW) this.failRequest(stream, LENGTH_MISMATCH, ErrorCode.FlowControlError);
    else if (isUseful || this.countControl()) stream.pump();
  }

  #widenConnection(increment: number): void {
    const { sender } = this;
    const isUseful = sender.sentSinceUpdate || sender.window <= 0;
    sender.sentSinceUpdate = false;
    if (!sender.widen(increment)) this.#owner.fail(ErrorCode.FlowControlError);
    else if (isUseful || this.countControl()) this.pump();
  }

  /** The client's SETTINGS_INITIAL_WINDOW_SIZE has changed (RFC 9113 section 6.9.2). @returns false: a window is larger than there can be */
  moveWindows(by: number): boolean {
    for (const stream of this.#streams.values()) {
      stream.sendWindow += by;
      if (stream.sendWindow > MAX_WINDOW) return false;
    }
    return true;
  }

  /** Goes on with the answers that were held back. */
  pump(): void {
    let waiting: ServerStream[] | undefined;
    for (const stream of this.#streams.values()) {
      if (stream.heldAnswer === undefined && !stream.blocked) continue;
      waiting ??= [];
      waiting.push(stream);
    }
    if (waiting === undefined) return;
    if (waiting.length > 1) waiting.sort(byTurn);
    for (let index = 0; index < waiting.length; index++) {
      const stream = waiting[index] as ServerStream;
      if (stream.detached) continue;
      const goesOn = stream.pump();
      if (this.sender.output.held || this.sender.window <= 0) {
        // Next time the others come first.
        for (let done = 0; done <= index; done++) (waiting[done] as ServerStream).turn = ++this.#turns;
        return;
      }
      if (!goesOn) return;
    }
  }

  /** A frame that costs work and brings nothing on. @returns false: it was one too many, and the connection is over */
  countControl(): boolean {
    if (this.guard.countControl(this.now)) return true;
    this.#owner.fail(ErrorCode.EnhanceYourCalm);
    return false;
  }

  /** Bytes were passed on, or are not wanted: the client may send as many again. */
  creditConnection(bytes: number): void {
    this.#uncredited += bytes;
    if (this.#uncredited < CONNECTION_WINDOW / 2) return;
    this.sender.output.send(windowUpdateFrame(0, this.#uncredited));
    this.#window += this.#uncredited;
    this.#uncredited = 0;
  }

  // --- called by the streams ---

  /** An answer begins. */
  answering(): void {
    if (this.#options.isDraining()) this.#owner.leave();
  }

  /** The handler has got so many bytes of the request. */
  delivered(stream: ServerStream, bytes: number): void {
    this.creditConnection(bytes);
    this.credit(stream);
  }

  /** The client may go on with its request, if there is nothing in the way. */
  credit(stream: ServerStream): void {
    const { uncredited } = stream;
    if (stream.paused || stream.endReceived || stream.detached || uncredited < STREAM_WINDOW / 2) return;
    stream.uncredited = 0;
    stream.receiveWindow += uncredited;
    this.sender.output.send(windowUpdateFrame(stream.id, uncredited));
  }

  bodyTooLarge(stream: ServerStream): void {
    if (stream.responded) {
      this.failRequest(stream, BODY_TOO_LARGE, ErrorCode.Cancel);
      return;
    }
    const { handler } = stream;
    stream.handler = undefined;
    const requestId = stream.exchange?.requestId || newRequestId();
    const body = problemBody(BODY_TOO_LARGE.status, BODY_TOO_LARGE.detail, requestId);
    stream.respondText(BODY_TOO_LARGE.status, problemFields(BODY_TOO_LARGE, requestId), body);
    handler?.onRequestError(BODY_TOO_LARGE.status, BODY_TOO_LARGE.reason, stream.isHead ? 0 : body.length);
  }

  /** The answer is cut so that the client sees it. */
  abortStream(stream: ServerStream): void {
    // As a reset of TCP is told (RFC 8441 section 5).
    this.#send(stream.id, stream.isTunnel ? ErrorCode.Cancel : ErrorCode.InternalError);
    this.#remove(stream);
  }

  /** All of the answer went out, or waits for the client. */
  answerSent(stream: ServerStream): void {
    // The other direction of a tunnel goes on.
    if (stream.isTunnel && !stream.requestEnded) return;
    // What is left of the request is of no use to anybody (RFC 9113 section 8.1).
    if (!stream.endReceived) this.#send(stream.id, ErrorCode.NoError);
    this.#remove(stream);
  }

  /** The answer is complete, and the client has to take it. */
  lingers(stream: ServerStream): void {
    stream.lingering = true;
    this.#lingering++;
    this.#owner.lingers();
  }

  /** Resets the streams whose clients have not taken anything of their answer's end since then. */
  resetLingering(since: number): void {
    for (const stream of this.#streams.values()) {
      if (!stream.answerEnded || stream.heldAnswer === undefined || stream.lingersSince > since) continue;
      this.#send(stream.id, ErrorCode.Cancel);
      this.#remove(stream);
    }
  }

  get lingering(): number {
    return this.#lingering;
  }

  // --- the end of streams ---

  /** The connection is over: so is everything on it. */
  end(): void {
    const streams = this.#streams.values();
    this.#streams.clear();
    for (const stream of streams) {
      stream.detach();
      stream.handler?.onClientGone();
    }
  }

  /** The client has broken a rule: the stream is reset, and counted. */
  failRequest(stream: ServerStream, fault: Fault, error: ErrorCode): void {
    stream.resetBy = fault;
    this.#remove(stream);
    stream.handler?.onRequestError(fault.status, fault.reason, 0);
    this.reset(stream.id, error);
  }

  reset(streamId: number, error: ErrorCode): void {
    this.#send(streamId, error);
    if (!this.guard.countReset(this.now)) this.#owner.fail(ErrorCode.EnhanceYourCalm);
  }

  #send(streamId: number, error: ErrorCode): void {
    this.#resets.add(streamId);
    this.sender.output.send(rstStreamFrame(streamId, error));
  }

  #remove(stream: ServerStream): void {
    if (!this.#streams.delete(stream.id)) return;
    const held = stream.heldRequest?.length ?? 0;
    if (stream.lingering) this.#lingering--;
    if (stream.sentSinceUpdate) this.#lateUpdates++;
    stream.detach();
    if (held > 0) this.creditConnection(held);
    if (this.#streams.size === 0) this.#owner.becameIdle();
  }
}

function byTurn(left: ServerStream, right: ServerStream): number {
  return left.turn - right.turn;
}
