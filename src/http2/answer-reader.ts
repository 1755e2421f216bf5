import { MAX_FIELDS_TEXT } from '../exchange/fields.ts';
import { BlockAssembly } from './block-assembly.ts';
import type { RequestStream } from './client-stream.ts';
import type { FrameReader } from './frame-reader.ts';
import { ErrorCode, Flag, FRAME_HEADER, FrameType, readUint32, windowUpdateFrame } from './frames.ts';
import { HpackDecoder } from './hpack/decoder.ts';
import { HeaderBlock } from './hpack/header-block.ts';
import type { RequestStreams } from './request-streams.ts';

/** What all streams together may send us beyond what was read; streams have windows of their own, so that a slow one stops no other. */
export const CONNECTION_WINDOW = 1024 * 1024;
const CREDIT_FROM = CONNECTION_WINDOW >>> 1;
/** As for HTTP/1.1: a head above these is malformed. */
export const MAX_HEAD_BYTES = MAX_FIELDS_TEXT;
const MAX_FIELDS = 1000;

/** Used up before `onData` of the connection returns, so one will do for all. */
const block = new HeaderBlock({ maxBytes: MAX_HEAD_BYTES, maxFields: MAX_FIELDS, dropUnderscores: false });

const CODE_NAMES: readonly string[] = Object.keys(ErrorCode);

/** Reads what a backend sends on its streams: header blocks, DATA within the windows, resets. */
export class AnswerReader {
  readonly #streams: RequestStreams;
  readonly #reader: FrameReader;
  readonly #owner: { onBroken(code: ErrorCode): void };
  readonly #decoder = new HpackDecoder();
  readonly #assembly = new BlockAssembly();
  /** Streams whose answer's head waits for what comes in the same read. */
  #heads: RequestStream[] = [];
  #receiveWindow = CONNECTION_WINDOW;
  /** Of the DATA frame under way, from its payload's beginning: what is no content in the end is padding. */
  #dataLeft = 0;

  /** @param reader of the connection, which has just read the frame that a call is about @param owner hears that the backend broke the protocol */
  constructor(streams: RequestStreams, reader: FrameReader, owner: { onBroken(code: ErrorCode): void }) {
    this.#streams = streams;
    this.#reader = reader;
    this.#owner = owner;
  }

  /** A header block is under way: nothing but CONTINUATION may follow (RFC 9113 section 6.10). */
  get inBlock(): boolean {
    return this.#assembly.streamId !== 0;
  }

  #wasOpened(streamId: number): boolean {
    if (this.#streams.wasOpened(streamId)) return true;
    this.#owner.onBroken(ErrorCode.ProtocolError);
    return false;
  }

  /** HEADERS or CONTINUATION. */
  readFragment(): void {
    const reader = this.#reader;
    const assembly = this.#assembly;
    if (reader.type === FrameType.Headers) {
      if (!this.#wasOpened(reader.streamId)) return;
      assembly.begin(reader.streamId, (reader.flags & Flag.EndStream) !== 0, reader.dependsOnItself);
    } else if (reader.streamId !== assembly.streamId || reader.streamId === 0) {
      this.#owner.onBroken(ErrorCode.ProtocolError);
      return;
    }
    const last = (reader.flags & Flag.EndHeaders) !== 0;
    // An empty one that does not end the block brings nothing, and could come for ever.
    const isNothing = reader.type === FrameType.Continuation && !last && reader.payloadStart === reader.payloadEnd;
    if (isNothing || assembly.length + reader.payloadEnd - reader.payloadStart > MAX_HEAD_BYTES) {
      this.#owner.onBroken(ErrorCode.EnhanceYourCalm);
      return;
    }
    assembly.add(reader.payload, reader.payloadStart, reader.payloadEnd, last);
    if (last) this.#readBlock(assembly);
  }

  #readBlock(assembly: BlockAssembly): void {
    const good = this.#decoder.decode(assembly.bytes, assembly.start, assembly.end, block);
    const { streamId, endsStream } = assembly;
    assembly.clear();
    if (!good) {
      this.#owner.onBroken(ErrorCode.CompressionError);
      return;
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    const hadHead = stream.headWaits;
    stream.receiveHeaders(block, endsStream);
    if (stream.headWaits && !hadHead) this.#heads.push(stream);
  }

  /** All that came in at once was read. */
  flushHeads(): void {
    if (this.#heads.length === 0) return;
    const heads = this.#heads;
    this.#heads = [];
    for (const stream of heads) stream.flushHead();
  }

  /** The header of a DATA frame. */
  readDataHeader(): void {
    const { streamId, length } = this.#reader;
    if (!this.#wasOpened(streamId)) return;
    this.#receiveWindow -= length;
    const stream = this.#streams.get(streamId);
    this.#dataLeft = length;
    if (stream !== undefined) stream.receiveWindow -= length;
    if (this.#receiveWindow < 0 || (stream !== undefined && stream.receiveWindow < 0)) {
      this.#owner.onBroken(ErrorCode.FlowControlError);
      return;
    }
    if (this.#receiveWindow <= CONNECTION_WINDOW - CREDIT_FROM) {
      // Whatever becomes of it: how much is kept is bounded by the windows of the streams.
      this.#streams.sender.output.send(windowUpdateFrame(0, CONNECTION_WINDOW - this.#receiveWindow));
      this.#receiveWindow = CONNECTION_WINDOW;
    }
  }

  /** Bytes of a DATA frame. @param position where the next frame begins @returns where to go on */
  readData(bytes: Buffer, position: number, end: number): number {
    const { payload, payloadStart, payloadEnd, frameEnded, streamId, flags } = this.#reader;
    this.#dataLeft -= payloadEnd - payloadStart;
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return position;
    let ends = frameEnded && (flags & Flag.EndStream) !== 0;
    let next = position;
    if (frameEnded && !ends && isEmptyEnd(bytes, position, end, streamId)) {
      ends = true;
      next = position + FRAME_HEADER;
    }
    if (frameEnded && !ends && this.#dataLeft > 0) stream.receivePadding(this.#dataLeft);
    stream.receiveData(payload, payloadStart, payloadEnd, ends);
    return next;
  }

  readReset(streamId: number, code: number): void {
    if (!this.#wasOpened(streamId)) return;
    const streams = this.#streams;
    const stream = streams.get(streamId);
    if (stream === undefined) return;
    streams.remove(streamId);
    if (code !== ErrorCode.NoError || !stream.closeInOrder())
      stream.fail('reset', code !== ErrorCode.RefusedStream, new Error(`the backend reset the stream: ${codeName(code)}`));
    streams.settle();
  }

  /** The connection is over. */
  clear(): void {
    this.#assembly.clear();
  }
}

/** Whether an empty DATA frame that ends the stream follows: many a server tells the end by itself, after the last bytes. */
function isEmptyEnd(bytes: Buffer, position: number, end: number, streamId: number): boolean {
  if (end - position < FRAME_HEADER || bytes[position + 4] !== Flag.EndStream || bytes[position + 3] !== FrameType.Data) return false;
  return bytes[position] === 0 && bytes[position + 1] === 0 && bytes[position + 2] === 0 && readUint32(bytes, position + 5) === streamId;
}

/** As `PROTOCOL_ERROR`; the number of one that is not known. */
export function codeName(code: number): string {
  const name = CODE_NAMES[code];
  return name === undefined ? String(code) : name.replace(/(?<=[a-z])(?=[A-Z0-9])/g, '_').toUpperCase();
}
