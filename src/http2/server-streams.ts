// The global of that name is looked up anew at each use.
import { performance } from 'node:perf_hooks';
import { Exchange } from '../exchange/exchange.ts';
import { FieldKind, maskOf } from '../exchange/field-names.ts';
import type { Fields } from '../exchange/fields.ts';
import type { Peer } from '../exchange/peer.ts';
import { problemBody } from '../exchange/problem.ts';
import { newRequestId } from '../exchange/request-id.ts';
import { type BodyLength, type ExchangeSink, NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { BODY_TOO_LARGE, type Fault, SLOW_HEAD } from '../http1/fault.ts';
import { CONTENT_LENGTH } from '../http1/framing.ts';
import type { ServerOptions } from '../http1/server-options.ts';
import { allowedTrailers } from '../http1/trailers.ts';
import type { AnswerSender } from './answer-sender.ts';
import type { BlockAssembly } from './block-assembly.ts';
import { DEPENDS_ON_ITSELF, LENGTH_MISMATCH, MALFORMED_TRAILERS, problemFields, refusalOf, resetRefusal, TOO_MANY_STREAMS } from './fault.ts';
import { FloodGuard } from './flood-guard.ts';
import type { FrameReader } from './frame-reader.ts';
import { ErrorCode, Flag, MAX_STREAM_ID, MAX_WINDOW, rstStreamFrame, windowUpdateFrame } from './frames.ts';
import { HpackDecoder } from './hpack/decoder.ts';
import type { HeaderBlock } from './hpack/header-block.ts';
import { RequestJudge } from './request-head.ts';
import { ResetStreams } from './reset-streams.ts';
import { CONNECTION_WINDOW, MAX_STREAMS, requestBlock, STREAM_WINDOW } from './server-options.ts';
import { ServerStream } from './server-stream.ts';
import { StreamTable } from './stream-table.ts';

const FRAMING_OR_ROUTING = CONTENT_LENGTH | maskOf(FieldKind.Host);

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

/** The streams of one client's connection, and what they have in common: windows, the decoder's table, the count of what goes wrong. */
export class ServerStreams {
  readonly sender: AnswerSender;
  readonly guard = new FloodGuard();
  /** The highest that the client has opened. */
  lastId = 0;
  /** Streams above are not served any more. */
  servedUpTo = MAX_STREAM_ID;
  readonly #options: ServerOptions;
  readonly #peer: Peer;
  readonly #sink: ExchangeSink;
  readonly #owner: StreamsOwner;
  readonly #decoder = new HpackDecoder();
  readonly #judge: RequestJudge;
  readonly #block: HeaderBlock;
  readonly #streams = new StreamTable<ServerStream>();
  /** Of those that wait, the one with the lowest number has its turn first. */
  #turns = 0;
  readonly #resets = new ResetStreams();
  #requests = 0;
  /** Bytes that the client may send on all streams together, and those that it was not yet told it may send again. */
  #window = CONNECTION_WINDOW;
  #uncredited = 0;
  /** Whose DATA is being read, if anybody's, and how much of the frame is no content. */
  #dataStream: ServerStream | undefined = undefined;
  #dataOverhead = 0;
  /** WINDOW_UPDATE frames that may still come for streams that have ended meanwhile. */
  #lateUpdates = 0;
  /** Answers that wait for their client with nothing more to come. */
  #lingering = 0;
  /** Their heads were read, and their exchanges have not begun; see `beginExchanges`. */
  readonly #read: ServerStream[] = [];

  constructor(owner: StreamsOwner, sender: AnswerSender, peer: Peer, options: ServerOptions, sink: ExchangeSink) {
    this.#owner = owner;
    this.sender = sender;
    this.#peer = peer;
    this.#options = options;
    this.#sink = sink;
    this.#judge = new RequestJudge(options.scheme, options.maxHeaderBytes);
    this.#block = requestBlock(options);
  }

  get size(): number {
    return this.#streams.size;
  }

  /** As of the last sweep of the deadlines. */
  get now(): number {
    return this.#options.deadlines.now;
  }

  // --- requests ---

  /** A header block is whole. */
  readBlock(assembly: BlockAssembly): void {
    const { streamId, endsStream, dependsOnItself } = assembly;
    const block = this.#block;
    block.begin();
    const isGood = this.#decoder.decode(assembly.bytes, assembly.start, assembly.end, block);
    assembly.clear();
    if (!isGood) this.#owner.fail(ErrorCode.CompressionError);
    else if (streamId > this.lastId) this.#begin(streamId, block, endsStream, dependsOnItself);
    else this.#readTrailers(streamId, block, endsStream);
  }

  #begin(streamId: number, block: HeaderBlock, endsStream: boolean, dependsOnItself: boolean): void {
    this.lastId = streamId;
    if (streamId > this.servedUpTo) return;
    const options = this.#options;
    const startedAt = performance.now();
    if (this.#streams.size >= MAX_STREAMS) {
      this.#sink.onRefused(refusalOf(TOO_MANY_STREAMS, this.#peer, block, newRequestId(), 0, startedAt));
      this.#reset(streamId, ErrorCode.RefusedStream);
      return;
    }
    if (++this.#requests >= options.maxRequestsPerConnection) this.#owner.leave();
    if (block.dropped > 0) options.onFieldsDropped(block.dropped);
    const judge = this.#judge;
    const head = dependsOnItself ? judge.refuse(DEPENDS_ON_ITSELF) : judge.judge(block, endsStream);
    if (head === undefined) {
      this.#refuse(judge.fault, judge.malformed, streamId, block, endsStream, startedAt);
      return;
    }
    const stream = this.#open(streamId, head.method, head.body, head.expectsContinue, endsStream);
    stream.exchange = new Exchange(head, stream, this.#peer, startedAt);
    this.#read.push(stream);
  }

  /**
   * All that came in at once was read, or a body is about to be. Exchanges begin only now, so that a request whose reset came
   * along with it costs nothing but its reading: no connection to a backend, above all (CVE-2023-44487, CVE-2025-8671).
   */
  beginExchanges(): void {
    const read = this.#read;
    for (let index = 0; index < read.length; index++) {
      const stream = read[index] as ServerStream;
      const exchange = stream.exchange as Exchange;
      if (stream.detached) this.#sink.onRefused(resetRefusal(exchange, stream.resetBy));
      else stream.handler = this.#sink.onExchange(exchange);
    }
    read.length = 0;
  }

  #open(id: number, method: string, body: BodyLength, expectsContinue: boolean, endsStream: boolean): ServerStream {
    const stream = new ServerStream(this, id, method === 'HEAD', body, expectsContinue, endsStream, STREAM_WINDOW, this.sender.settings.initialWindow);
    stream.turn = ++this.#turns;
    this.#streams.add(stream);
    return stream;
  }

  #refuse(fault: Fault, malformed: boolean, streamId: number, block: HeaderBlock, endsStream: boolean, startedAt: number): void {
    const requestId = newRequestId();
    const body = malformed ? '' : problemBody(fault.status, fault.detail, requestId);
    const refusal = refusalOf(fault, this.#peer, block, requestId, block.method === 'HEAD' ? 0 : body.length, startedAt);
    if (malformed) {
      this.#reset(streamId, ErrorCode.ProtocolError);
    } else {
      const stream = this.#open(streamId, block.method, endsStream ? NO_BODY : UNKNOWN_LENGTH, false, endsStream);
      stream.respondText(fault.status, problemFields(fault, requestId), body);
    }
    this.#sink.onRefused(refusal);
  }

  /** The header section of a new stream does not get whole in time. */
  refuseSlow(streamId: number): void {
    this.lastId = streamId;
    this.#block.begin();
    this.#refuse(SLOW_HEAD, false, streamId, this.#block, false, performance.now());
  }

  #readTrailers(streamId: number, block: HeaderBlock, endsStream: boolean): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      if (streamId <= this.servedUpTo && !this.#resets.has(streamId)) this.#owner.fail(ErrorCode.StreamClosed);
    } else if (stream.endReceived) {
      this.#failRequest(stream, MALFORMED_TRAILERS, ErrorCode.StreamClosed);
    } else if (stream.isTunnel || !endsStream || block.flaw !== '' || block.pseudo !== 0 || block.tooLarge) {
      this.#failRequest(stream, MALFORMED_TRAILERS, ErrorCode.ProtocolError);
    } else {
      const trailers = block.fields();
      // A second word on how long the content is, or where it goes (RFC 9110 section 6.5.1), is not just dropped: nghttp2 looks at it.
      if (trailers.mayHave(FRAMING_OR_ROUTING)) {
        this.#failRequest(stream, MALFORMED_TRAILERS, ErrorCode.ProtocolError);
        return;
      }
      if (block.dropped > 0) this.#options.onFieldsDropped(block.dropped);
      if (stream.handler === undefined) this.beginExchanges();
      this.#endRequest(stream, allowedTrailers(trailers));
    }
  }

  /** The header of a DATA frame was read. */
  readDataHeader({ streamId, length }: FrameReader): void {
    if (streamId > this.lastId) {
      this.#owner.fail(ErrorCode.ProtocolError);
      return;
    }
    this.#window -= length;
    if (this.#window < 0) {
      this.#owner.fail(ErrorCode.FlowControlError);
      return;
    }
    this.#dataOverhead = length;
    const stream = this.#streams.get(streamId);
    this.#dataStream = stream;
    if (stream === undefined) {
      if (streamId <= this.servedUpTo && !this.#resets.has(streamId)) this.#owner.fail(ErrorCode.StreamClosed);
    } else if (stream.endReceived) {
      this.#failRequest(stream, LENGTH_MISMATCH, ErrorCode.StreamClosed);
    } else {
      stream.receiveWindow -= length;
      if (stream.receiveWindow < 0) this.#failRequest(stream, LENGTH_MISMATCH, ErrorCode.FlowControlError);
      // Its bytes are to go on as they are read.
      else if (stream.handler === undefined) this.beginExchanges();
    }
  }

  /** Bytes of a DATA frame were read. */
  readData(reader: FrameReader): void {
    const { payload, payloadStart, payloadEnd, frameEnded } = reader;
    const length = payloadEnd - payloadStart;
    this.#dataOverhead -= length;
    const stream = this.#dataStream;
    if (frameEnded) {
      this.#dataStream = undefined;
      // Empty, or padding alone.
      if (this.#dataOverhead === reader.length && (reader.flags & Flag.EndStream) === 0 && !this.countControl()) return;
    }
    if (stream === undefined || stream.detached || (stream.answerEnded && !stream.isTunnel)) {
      // The rest of a request whose answer waits for the client.
      if (stream !== undefined && frameEnded && (reader.flags & Flag.EndStream) !== 0) stream.endReceived = true;
      this.#credit(frameEnded ? length + this.#dataOverhead : length);
      return;
    }
    stream.received += length;
    if (stream.requestBody >= 0 && stream.received > stream.requestBody) {
      this.#credit(length);
      this.#failRequest(stream, LENGTH_MISMATCH, ErrorCode.ProtocolError);
    } else if (stream.received > stream.bodyLimit) {
      this.#credit(length);
      this.bodyTooLarge(stream);
    } else if (length > 0 && stream.receive(payload, payloadStart, payloadEnd)) {
      this.delivered(stream, length);
    }
    if (!frameEnded) return;
    if (this.#dataOverhead > 0) {
      stream.uncredited += this.#dataOverhead;
      this.delivered(stream, this.#dataOverhead);
    }
    if ((reader.flags & Flag.EndStream) !== 0 && !stream.detached) this.#endRequest(stream, undefined);
  }

  #endRequest(stream: ServerStream, trailers: Fields | undefined): void {
    if (stream.requestBody >= 0 && stream.received !== stream.requestBody) this.#failRequest(stream, LENGTH_MISMATCH, ErrorCode.ProtocolError);
    else stream.receiveEnd(trailers);
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
    if (stream.sendWindow > MAX_WINDOW) this.#failRequest(stream, LENGTH_MISMATCH, ErrorCode.FlowControlError);
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
  #credit(bytes: number): void {
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
    this.#credit(bytes);
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
      this.#failRequest(stream, BODY_TOO_LARGE, ErrorCode.Cancel);
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
  #failRequest(stream: ServerStream, fault: Fault, error: ErrorCode): void {
    stream.resetBy = fault;
    this.#remove(stream);
    stream.handler?.onRequestError(fault.status, fault.reason, 0);
    this.#reset(stream.id, error);
  }

  #reset(streamId: number, error: ErrorCode): void {
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
    if (held > 0) this.#credit(held);
    if (this.#streams.size === 0) this.#owner.becameIdle();
  }
}

function byTurn(left: ServerStream, right: ServerStream): number {
  return left.turn - right.turn;
}
