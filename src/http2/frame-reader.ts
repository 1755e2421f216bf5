import { PartialBytes } from '../http1/partial-bytes.ts';
import { DEFAULT_MAX_FRAME, ErrorCode, Flag, FRAME_HEADER, FrameType, readUint32 } from './frames.ts';

/** What reading came to. */
export const Read = {
  /** All was used up. */
  More: 0,
  /** A whole frame of any type but DATA: its payload is `payload[payloadStart..payloadEnd)`, valid until the next call. Of an unknown type there is no payload. */
  Frame: 1,
  /** The header of a DATA frame; Data follows, at least once. */
  DataHeader: 2,
  /** `payload[payloadStart..payloadEnd)` are bytes of the DATA frame, perhaps none; `frameEnded`: the last ones. */
  Data: 3,
  /** The connection can't go on: see `error`. */
  Bad: 4,
} as const;
export type Read = (typeof Read)[keyof typeof Read];

const AT_HEADER = 0;
const IN_PAYLOAD = 1;
const AT_PAD_LENGTH = 2;
const IN_DATA = 3;
const IN_PADDING = 4;
const SKIPPING = 5;

const NOTHING = Buffer.alloc(0);

/** Lengths that frames must have (RFC 9113 section 6); -1: any. A PRIORITY of another length is an error of its stream only. */
const EXACT_LENGTHS: readonly number[] = [-1, -1, -1, 4, -1, -1, 8, -1, 4, -1];
/** 1: on a stream, 0: on the connection, -1: either. */
const ON_STREAM: readonly number[] = [1, 1, 1, 1, 0, 1, 0, 0, -1, 1];

/**
 * Finds frame after frame in what was read, each byte once however the bytes arrive. It judges what a frame shows by
 * itself: its length, whether its stream identifier fits its type, its padding. DATA is passed on as it comes; of all other
 * frames the payload is put together first, which keeps at most one frame's length of memory, and none between frames.
 */
export class FrameReader {
  /** Where the next byte to be read is. */
  position = 0;
  type = 0;
  flags = 0;
  streamId = 0;
  /** Of the payload, padding included: what DATA takes of the windows. */
  length = 0;
  payload: Buffer = NOTHING;
  payloadStart = 0;
  payloadEnd = 0;
  frameEnded = false;
  /** HEADERS, PRIORITY: the stream is to depend on itself, which RFC 7540 section 5.3.1 forbids. */
  dependsOnItself = false;
  /** After Bad. */
  error: ErrorCode = ErrorCode.NoError;

  readonly #maxFrame: number;
  readonly #partial = new PartialBytes();
  #state = AT_HEADER;
  #left = 0;
  #padding = 0;

  constructor(maxFrame = DEFAULT_MAX_FRAME) {
    this.#maxFrame = maxFrame;
  }

  /** No frame has begun to arrive. */
  get atFrameStart(): boolean {
    return this.#state === AT_HEADER && this.#partial.length === 0;
  }

  /** A frame's header was read, and not yet all of its payload, which is put together. */
  get inPayload(): boolean {
    return this.#state === IN_PAYLOAD;
  }

  /** Within a DATA frame. */
  get inData(): boolean {
    return this.#state === IN_DATA || this.#state === AT_PAD_LENGTH || this.#state === IN_PADDING;
  }

  next(bytes: Buffer, start: number, end: number): Read {
    let position = start;
    // The pieces of the last frame that was put together are done with.
    if (this.#state === AT_HEADER) {
      if (this.#partial.length === 0 && end - position >= FRAME_HEADER) {
        const result = this.#header(bytes, position);
        this.position = position + FRAME_HEADER;
        if (result >= 0) return result as Read;
        position += FRAME_HEADER;
      } else {
        const partial = this.#partial;
        const taken = Math.min(end - position, FRAME_HEADER - partial.length);
        if (taken > 0) partial.append(bytes, position, position + taken);
        position += taken;
        this.position = position;
        if (partial.length < FRAME_HEADER) return Read.More;
        const result = this.#header(partial.bytes, 0);
        partial.clear();
        if (result >= 0) return result as Read;
      }
    }
    if (this.#state === IN_PAYLOAD) return this.#readPayload(bytes, position, end);
    if (this.#state === SKIPPING) {
      const taken = Math.min(this.#left, end - position);
      this.#left -= taken;
      this.position = position + taken;
      if (this.#left > 0) return Read.More;
      this.#state = AT_HEADER;
      return this.next(bytes, this.position, end);
    }
    return this.#readData(bytes, position, end);
  }

  /** @returns -1: go on with the payload */
  #header(bytes: Buffer, at: number): number {
    const length = ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
    const type = bytes[at + 3] as number;
    const flags = bytes[at + 4] as number;
    const streamId = readUint32(bytes, at + 5) & 0x7fff_ffff;
    this.length = length;
    this.type = type;
    this.flags = flags;
    this.streamId = streamId;
    this.dependsOnItself = false;
    if (length > this.#maxFrame) return this.#bad(ErrorCode.FrameSizeError);
    this.#left = length;
    if (type > FrameType.Continuation) {
      // To be ignored (section 4.1), but for where it stands.
      this.#state = length === 0 ? AT_HEADER : SKIPPING;
      this.payloadStart = 0;
      this.payloadEnd = 0;
      return Read.Frame;
    }
    const exact = EXACT_LENGTHS[type] as number;
    if (exact >= 0 && length !== exact) return this.#bad(ErrorCode.FrameSizeError);
    const onStream = ON_STREAM[type] as number;
    if (onStream >= 0 && (streamId !== 0) !== (onStream === 1)) return this.#bad(ErrorCode.ProtocolError);
    if (type === FrameType.Data) {
      this.#padding = 0;
      const padded = (flags & Flag.Padded) !== 0;
      if (padded && length === 0) return this.#bad(ErrorCode.FrameSizeError);
      this.#state = padded ? AT_PAD_LENGTH : IN_DATA;
      return Read.DataHeader;
    }
    if (type === FrameType.Settings) {
      const isAck = (flags & Flag.Ack) !== 0;
      if (isAck ? length !== 0 : length % 6 !== 0) return this.#bad(ErrorCode.FrameSizeError);
    } else if (type === FrameType.GoAway && length < 8) {
      return this.#bad(ErrorCode.FrameSizeError);
    }
    this.#state = IN_PAYLOAD;
    return -1;
  }

  #readPayload(bytes: Buffer, position: number, end: number): Read {
    const partial = this.#partial;
    if (partial.length === 0 && end - position >= this.length) {
      this.payload = bytes;
      this.payloadStart = position;
      this.payloadEnd = position + this.length;
      this.position = this.payloadEnd;
    } else {
      const taken = Math.min(this.length - partial.length, end - position);
      partial.append(bytes, position, position + taken);
      this.position = position + taken;
      if (partial.length < this.length) return Read.More;
      this.payload = partial.bytes;
      this.payloadStart = 0;
      this.payloadEnd = this.length;
      // The bytes stay as they are: whoever appends next gets memory of its own.
      partial.clear();
    }
    this.#state = AT_HEADER;
    if (this.type === FrameType.Headers) return this.#stripHeaders();
    if (this.type === FrameType.Priority && this.length === 5) {
      this.dependsOnItself = (readUint32(this.payload, this.payloadStart) & 0x7fff_ffff) === this.streamId;
    }
    return Read.Frame;
  }

  /** Leaves the fragment of the header block (section 6.2). */
  #stripHeaders(): Read {
    let padding = 0;
    if ((this.flags & Flag.Padded) !== 0) {
      if (this.payloadStart === this.payloadEnd) return this.#bad(ErrorCode.FrameSizeError);
      padding = this.payload[this.payloadStart++] as number;
    }
    if ((this.flags & Flag.Priority) !== 0) {
      if (this.payloadEnd - this.payloadStart < 5) return this.#bad(ErrorCode.FrameSizeError);
      this.dependsOnItself = (readUint32(this.payload, this.payloadStart) & 0x7fff_ffff) === this.streamId;
      this.payloadStart += 5;
    }
    if (padding > this.payloadEnd - this.payloadStart) return this.#bad(ErrorCode.ProtocolError);
    this.payloadEnd -= padding;
    return Read.Frame;
  }

  #readData(bytes: Buffer, start: number, end: number): Read {
    let position = start;
    if (this.#state === AT_PAD_LENGTH) {
      if (position === end) return this.#more(position);
      this.#padding = bytes[position++] as number;
      this.#left--;
      if (this.#padding > this.#left) return this.#bad(ErrorCode.ProtocolError);
      this.#left -= this.#padding;
      this.#state = IN_DATA;
    }
    this.payload = bytes;
    this.payloadStart = position;
    if (this.#state === IN_DATA) {
      const taken = Math.min(this.#left, end - position);
      position += taken;
      this.#left -= taken;
      this.payloadEnd = position;
      if (this.#left > 0) return taken === 0 ? this.#more(position) : this.#data(position, false);
      this.#left = this.#padding;
      this.#state = IN_PADDING;
    } else {
      this.payloadEnd = position;
    }
    const skipped = Math.min(this.#left, end - position);
    position += skipped;
    this.#left -= skipped;
    if (this.#left === 0) {
      this.#state = AT_HEADER;
      return this.#data(position, true);
    }
    return this.payloadStart === this.payloadEnd ? this.#more(position) : this.#data(position, false);
  }

  #data(position: number, ended: boolean): Read {
    this.position = position;
    this.frameEnded = ended;
    return Read.Data;
  }

  #more(position: number): Read {
    this.position = position;
    return Read.More;
  }

  #bad(error: ErrorCode): Read {
    this.error = error;
    return Read.Bad;
  }
}
