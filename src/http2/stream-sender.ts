import type { Fields } from '../exchange/fields.ts';
import type { Connection } from '../wire/wire.ts';
import { FrameOutput } from './frame-output.ts';
import { DEFAULT_WINDOW, ErrorCode, headersFrames, MAX_WINDOW } from './frames.ts';
import { HpackEncoder } from './hpack/encoder.ts';
import { PeerSettings } from './peer-settings.ts';

/** DATA frames are no larger, whatever the peer takes: others' frames have their turn in between. */
const MAX_DATA = 16_384;

/** A stream as the sender sees it. */
export interface SendingStream {
  readonly id: number;
  /** Bytes that the peer takes; may be below zero (RFC 9113 section 6.9.2). */
  sendWindow: number;
  sentSinceUpdate: boolean;
}

/** The way to one peer, in either role: header blocks, DATA within the windows, and what the peer has said of itself. */
export class StreamSender {
  readonly output: FrameOutput;
  readonly settings = new PeerSettings();
  /** Bytes that the peer takes on all streams together. */
  window = DEFAULT_WINDOW;
  sentSinceUpdate = false;
  protected readonly encoder = new HpackEncoder();

  constructor(connection: Connection) {
    this.output = new FrameOutput(connection);
  }

  /** @param block of the encoder, and the last that it has made */
  protected sendBlock(stream: SendingStream, block: string, endStream: boolean): void {
    this.output.send(headersFrames(stream.id, block, endStream, this.settings.maxFrame));
  }

  trailers(stream: SendingStream, fields: Fields): void {
    this.sendBlock(stream, this.encoder.trailers(fields), true);
  }

  /** Sends what windows and connection take of `bytes[start..end)`; with its last byte the stream ends where that is wanted. @returns how many bytes */
  body(stream: SendingStream, bytes: Buffer, start: number, end: number, endStream: boolean): number {
    const { output } = this;
    if (start === end) {
      if (endStream) output.sendData(stream.id, bytes, start, end, true, MAX_DATA);
      return 0;
    }
    if (output.held) return 0;
    const length = Math.min(end - start, stream.sendWindow, this.window);
    if (length <= 0) return 0;
    stream.sendWindow -= length;
    this.window -= length;
    stream.sentSinceUpdate = true;
    this.sentSinceUpdate = true;
    output.sendData(stream.id, bytes, start, start + length, endStream && start + length === end, MAX_DATA);
    return length;
  }

  /** The peer takes more on the connection. @returns false: more than there can be */
  widen(increment: number): boolean {
    this.window += increment;
    return this.window <= MAX_WINDOW;
  }

  /** SETTINGS came in; the streams' windows are the caller's to move. @returns NoError, or what is wrong */
  settle(bytes: Buffer, start: number, end: number): ErrorCode {
    const error = this.settings.apply(bytes, start, end);
    if (error === ErrorCode.NoError) this.encoder.setMaxTableSize(this.settings.headerTableSize);
    return error;
  }
}
