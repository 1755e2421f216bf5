// The global of that name is looked up anew at each use.
import { performance } from 'node:perf_hooks';
import { Exchange } from '../exchange/exchange.ts';
import { FieldKind, maskOf } from '../exchange/field-names.ts';
import type { Fields } from '../exchange/fields.ts';
import type { Peer } from '../exchange/peer.ts';
import { problemBody } from '../exchange/problem.ts';
import { newRequestId } from '../exchange/request-id.ts';
import { type ExchangeSink, NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { type Fault, SLOW_HEAD } from '../http1/fault.ts';
import { CONTENT_LENGTH } from '../http1/framing.ts';
import type { ServerOptions } from '../http1/server-options.ts';
import { allowedTrailers } from '../http1/trailers.ts';
import type { BlockAssembly } from './block-assembly.ts';
import { DEPENDS_ON_ITSELF, LENGTH_MISMATCH, MALFORMED_TRAILERS, problemFields, refusalOf, resetRefusal, TOO_MANY_STREAMS } from './fault.ts';
import type { FrameReader } from './frame-reader.ts';
import { ErrorCode, Flag } from './frames.ts';
import { HpackDecoder } from './hpack/decoder.ts';
import type { HeaderBlock } from './hpack/header-block.ts';
import { RequestJudge } from './request-head.ts';
import { MAX_STREAMS, requestBlock } from './server-options.ts';
import type { ServerStream } from './server-stream.ts';
import type { ServerStreams, StreamsOwner } from './server-streams.ts';

const FRAMING_OR_ROUTING = CONTENT_LENGTH | maskOf(FieldKind.Host);

/** Reads what a client sends on its streams: header blocks and DATA within the windows. */
export class RequestReader {
  readonly #owner: StreamsOwner;
  readonly #streams: ServerStreams;
  readonly #peer: Peer;
  readonly #options: ServerOptions;
  readonly #sink: ExchangeSink;
  readonly #decoder = new HpackDecoder();
  readonly #judge: RequestJudge;
  readonly #block: HeaderBlock;
  #requests = 0;
  /** `performance.now()` of what came in at once; 0: nothing has. */
  #readAt = 0;
  /** Whose DATA is being read, if anybody's, and how much of the frame is no content. */
  #dataStream: ServerStream | undefined = undefined;
  #dataOverhead = 0;
  /** Their heads were read, and their exchanges have not begun; see `beginExchanges`. */
  readonly #read: ServerStream[] = [];

  constructor(owner: StreamsOwner, streams: ServerStreams, peer: Peer, options: ServerOptions, sink: ExchangeSink) {
    this.#owner = owner;
    this.#streams = streams;
    this.#peer = peer;
    this.#options = options;
    this.#sink = sink;
    this.#judge = new RequestJudge(options.scheme, options.maxHeaderBytes);
    this.#block = requestBlock(options);
  }

  /** A header block is whole. */
  readBlock(assembly: BlockAssembly): void {
    const { streamId, endsStream, dependsOnItself } = assembly;
    const block = this.#block;
    const isGood = this.#decoder.decode(assembly.bytes, assembly.start, assembly.end, block);
    assembly.clear();
    if (!isGood) this.#owner.fail(ErrorCode.CompressionError);
    else if (streamId > this.#streams.lastId) this.#begin(streamId, block, endsStream, dependsOnItself);
    else this.#readTrailers(streamId, block, endsStream);
  }

  #begin(streamId: number, block: HeaderBlock, endsStream: boolean, dependsOnItself: boolean): void {
    const streams = this.#streams;
    streams.lastId = streamId;
    if (streamId > streams.servedUpTo) return;
    const options = this.#options;
    if (this.#readAt === 0) this.#readAt = performance.now();
    const startedAt = this.#readAt;
    if (streams.size >= MAX_STREAMS) {
      this.#sink.onRefused(refusalOf(TOO_MANY_STREAMS, this.#peer, block, newRequestId(), 0, startedAt));
      streams.reset(streamId, ErrorCode.RefusedStream);
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
    const stream = streams.open(streamId, head.method, head.body, head.expectsContinue, endsStream);
    stream.exchange = new Exchange(head, stream, this.#peer, startedAt);
    this.#read.push(stream);
  }

  /**
   * All that came in at once was read, or a body is about to be. Exchanges begin only now, so that a request whose reset came
   * along with it costs nothing but its reading: no connection to a backend, above all (CVE-2023-44487, CVE-2025-8671).
   */
  beginExchanges(): void {
    const read = this.#read;
    this.#readAt = 0;
    for (let index = 0; index < read.length; index++) {
      const stream = read[index] as ServerStream;
      const exchange = stream.exchange as Exchange;
      if (stream.detached) this.#sink.onRefused(resetRefusal(exchange, stream.resetBy));
      else stream.handler = this.#sink.onExchange(exchange);
    }
    read.length = 0;
  }

  #refuse(fault: Fault, malformed: boolean, streamId: number, block: HeaderBlock, endsStream: boolean, startedAt: number): void {
    const requestId = newRequestId();
    const body = malformed ? '' : problemBody(fault.status, fault.detail, requestId);
    const refusal = refusalOf(fault, this.#peer, block, requestId, block.method === 'HEAD' ? 0 : body.length, startedAt);
    if (malformed) {
      this.#streams.reset(streamId, ErrorCode.ProtocolError);
    } else {
      const stream = this.#streams.open(streamId, block.method, endsStream ? NO_BODY : UNKNOWN_LENGTH, false, endsStream);
      stream.respondText(fault.status, problemFields(fault, requestId), body);
    }
    this.#sink.onRefused(refusal);
  }

  /** The header section of a new stream does not get whole in time. */
  refuseSlow(streamId: number): void {
    this.#streams.lastId = streamId;
    this.#block.begin();
    this.#refuse(SLOW_HEAD, false, streamId, this.#block, false, performance.now());
  }

  #readTrailers(streamId: number, block: HeaderBlock, endsStream: boolean): void {
    const streams = this.#streams;
    const stream = streams.get(streamId);
    if (stream === undefined) {
      streams.checkLate(streamId);
    } else if (stream.endReceived) {
      streams.failRequest(stream, MALFORMED_TRAILERS, ErrorCode.StreamClosed);
    } else if (stream.isTunnel || !endsStream || block.flaw !== '' || block.pseudo !== 0 || block.tooLarge) {
      streams.failRequest(stream, MALFORMED_TRAILERS, ErrorCode.ProtocolError);
    } else {
      const trailers = block.fields();
      // A second word on how long the content is, or where it goes (RFC 9110 section 6.5.1), is not just dropped: nghttp2 looks at it.
      if (trailers.mayHave(FRAMING_OR_ROUTING)) {
        streams.failRequest(stream, MALFORMED_TRAILERS, ErrorCode.ProtocolError);
        return;
      }
      if (block.dropped > 0) this.#options.onFieldsDropped(block.dropped);
      if (stream.handler === undefined) this.beginExchanges();
      this.#endRequest(stream, allowedTrailers(trailers));
    }
  }

  /** The header of a DATA frame was read. */
  readDataHeader({ streamId, length }: FrameReader): void {
    const streams = this.#streams;
    if (streamId > streams.lastId) {
      this.#owner.fail(ErrorCode.ProtocolError);
      return;
    }
    if (!streams.takeWindow(length)) {
      this.#owner.fail(ErrorCode.FlowControlError);
      return;
    }
    this.#dataOverhead = length;
    const stream = streams.get(streamId);
    this.#dataStream = stream;
    if (stream === undefined) {
      streams.checkLate(streamId);
    } else if (stream.endReceived) {
      streams.failRequest(stream, LENGTH_MISMATCH, ErrorCode.StreamClosed);
    } else {
      stream.receiveWindow -= length;
      if (stream.receiveWindow < 0) streams.failRequest(stream, LENGTH_MISMATCH, ErrorCode.FlowControlError);
      // Its bytes are to go on as they are read.
      else if (stream.handler === undefined) this.beginExchanges();
    }
  }

  /** Bytes of a DATA frame were read. */
  readData(reader: FrameReader): void {
    const { payload, payloadStart, payloadEnd, frameEnded } = reader;
    const length = payloadEnd - payloadStart;
    this.#dataOverhead -= length;
    const streams = this.#streams;
    const stream = this.#dataStream;
    if (frameEnded) {
      this.#dataStream = undefined;
      // Empty, or padding alone.
      if (this.#dataOverhead === reader.length && (reader.flags & Flag.EndStream) === 0 && !streams.countControl()) return;
    }
    if (stream === undefined || stream.detached || (stream.answerEnded && !stream.isTunnel)) {
      // The rest of a request whose answer waits for the client.
      if (stream !== undefined && frameEnded && (reader.flags & Flag.EndStream) !== 0) stream.endReceived = true;
      streams.creditConnection(frameEnded ? length + this.#dataOverhead : length);
      return;
    }
    stream.received += length;
    if (stream.requestBody >= 0 && stream.received > stream.requestBody) {
      streams.creditConnection(length);
      streams.failRequest(stream, LENGTH_MISMATCH, ErrorCode.ProtocolError);
    } else if (stream.received > stream.bodyLimit) {
      streams.creditConnection(length);
      streams.bodyTooLarge(stream);
    } else if (length > 0 && stream.receive(payload, payloadStart, payloadEnd)) {
      streams.delivered(stream, length);
    }
    if (!frameEnded) return;
    if (this.#dataOverhead > 0) {
      stream.uncredited += this.#dataOverhead;
      streams.delivered(stream, this.#dataOverhead);
    }
    if ((reader.flags & Flag.EndStream) !== 0 && !stream.detached) this.#endRequest(stream, undefined);
  }

  #endRequest(stream: ServerStream, trailers: Fields | undefined): void {
    if (stream.requestBody >= 0 && stream.received !== stream.requestBody) this.#streams.failRequest(stream, LENGTH_MISMATCH, ErrorCode.ProtocolError);
    else stream.receiveEnd(trailers);
  }
}
