import { FieldKind, HOP_BY_HOP, maskOf } from '../exchange/field-names.ts';
import type { Fields } from '../exchange/fields.ts';
import { NO_BODY, UNKNOWN_LENGTH, type UpstreamRequest } from '../exchange/streams.ts';
import { CONTENT_LENGTH } from '../http1/framing.ts';
import type { Connection } from '../wire/wire.ts';
import { FrameOutput } from './frame-output.ts';
import { DEFAULT_WINDOW, ErrorCode, headersFrames, MAX_WINDOW } from './frames.ts';
import { HpackEncoder } from './hpack/encoder.ts';
import { PeerSettings } from './peer-settings.ts';

const NOT_SENT = HOP_BY_HOP | CONTENT_LENGTH | maskOf(FieldKind.Expect);
/** We take trailers, whoever the client is (RFC 9110 section 10.1.4); gRPC servers insist on being told. */
const TE_TRAILERS = 'te: trailers\r\n';
const TE = maskOf(FieldKind.Te);

/** DATA frames are no larger, whatever the backend takes: others' frames have their turn in between. */
const MAX_DATA = 16_384;

/** A stream as the sender sees it. */
export interface SendingStream {
  readonly id: number;
  /** Bytes that the backend takes. */
  sendWindow: number;
}

/** The way to one backend: header blocks, DATA within the windows, and what the backend has said of itself. */
export class RequestSender {
  readonly output: FrameOutput;
  readonly settings = new PeerSettings();
  /** Bytes that the backend takes on all streams together. */
  window = DEFAULT_WINDOW;
  readonly #encoder = new HpackEncoder();

  constructor(connection: Connection) {
    this.output = new FrameOutput(connection);
    // Only a server that breaks the protocol says so (RFC 9113 section 6.5.2).
    this.settings.pushEnabled = false;
  }

  head(stream: SendingStream, { method, target, fields, body }: UpstreamRequest, scheme: 'http' | 'https', endStream: boolean): void {
    fields.removeKinds(NOT_SENT);
    if (body === NO_BODY || body === UNKNOWN_LENGTH) fields.appendLines(TE_TRAILERS, TE);
    else fields.appendLines(`${TE_TRAILERS}content-length: ${body}\r\n`, TE | CONTENT_LENGTH);
    const block = this.#encoder.request(method, scheme, target, fields);
    this.output.send(headersFrames(stream.id, block, endStream, this.settings.maxFrame));
  }

  trailers(stream: SendingStream, fields: Fields): void {
    this.output.send(headersFrames(stream.id, this.#encoder.trailers(fields), true, this.settings.maxFrame));
  }

  /** Sends what windows and connection take of `bytes[start..end)`; nothing and the end of the stream where it is empty. @returns how many bytes */
  body(stream: SendingStream, bytes: Buffer, start: number, end: number): number {
    const { output } = this;
    if (start === end) {
      output.sendData(stream.id, bytes, start, end, true, MAX_DATA);
      return 0;
    }
    if (output.held) return 0;
    const length = Math.min(end - start, stream.sendWindow, this.window);
    if (length <= 0) return 0;
    stream.sendWindow -= length;
    this.window -= length;
    output.sendData(stream.id, bytes, start, start + length, false, MAX_DATA);
    return length;
  }

  /** The backend takes more on the connection. @returns false: more than there can be */
  widen(increment: number): boolean {
    this.window += increment;
    return this.window <= MAX_WINDOW;
  }

  /** SETTINGS came in; the streams' windows are the caller's to move. @returns NoError, or what is wrong */
  settle(bytes: Buffer, start: number, end: number): ErrorCode {
    const error = this.settings.apply(bytes, start, end);
    if (error !== ErrorCode.NoError) return error;
    if (this.settings.pushEnabled) return ErrorCode.ProtocolError;
    this.#encoder.setMaxTableSize(this.settings.headerTableSize);
    return ErrorCode.NoError;
  }
}
