/** HTTP/2 frames (RFC 9113 sections 4, 6 and 7): their numbers, and writing them as text whose characters are bytes. */
import { latin1 } from '../wire/latin1.ts';

/** What a client says first (section 3.4). */
export const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

/** Length of a frame's header. */
export const FRAME_HEADER = 9;
/** SETTINGS_MAX_FRAME_SIZE as it is unless the peer says otherwise; we never take more. */
export const DEFAULT_MAX_FRAME = 16_384;
/** SETTINGS_INITIAL_WINDOW_SIZE, and the window of the connection, unless said otherwise. */
export const DEFAULT_WINDOW = 65_535;
/** Section 6.9.1. */
export const MAX_WINDOW = 0x7fff_ffff;
export const MAX_STREAM_ID = 0x7fff_ffff;

export const FrameType = {
  Data: 0,
  Headers: 1,
  Priority: 2,
  RstStream: 3,
  Settings: 4,
  PushPromise: 5,
  Ping: 6,
  GoAway: 7,
  WindowUpdate: 8,
  Continuation: 9,
} as const;

/** Flags; which of them a frame knows depends on its type. */
export const Flag = { EndStream: 0x1, Ack: 0x1, EndHeaders: 0x4, Padded: 0x8, Priority: 0x20 } as const;

/** Section 7. */
export const ErrorCode = {
  NoError: 0,
  ProtocolError: 1,
  InternalError: 2,
  FlowControlError: 3,
  SettingsTimeout: 4,
  StreamClosed: 5,
  FrameSizeError: 6,
  RefusedStream: 7,
  Cancel: 8,
  CompressionError: 9,
  ConnectError: 10,
  EnhanceYourCalm: 11,
  InadequateSecurity: 12,
  Http11Required: 13,
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** Section 6.5.2, RFC 8441 section 3, RFC 9218 section 2.1. */
export const Setting = {
  HeaderTableSize: 1,
  EnablePush: 2,
  MaxConcurrentStreams: 3,
  InitialWindowSize: 4,
  MaxFrameSize: 5,
  MaxHeaderListSize: 6,
  EnableConnectProtocol: 8,
  NoRfc7540Priorities: 9,
} as const;

/** The nine bytes before a frame's payload. @param length of the payload, at most 2^24 - 1 */
export function frameHeader(length: number, type: number, flags: number, streamId: number): string {
  return String.fromCharCode(
    length >>> 16,
    (length >>> 8) & 0xff,
    length & 0xff,
    type,
    flags,
    streamId >>> 24,
    (streamId >>> 16) & 0xff,
    (streamId >>> 8) & 0xff,
    streamId & 0xff,
  );
}

function uint32(value: number): string {
  return String.fromCharCode(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}

/** @param settings identifier and value in turns */
export function settingsFrame(...settings: readonly number[]): string {
  let payload = '';
  for (let index = 0; index < settings.length; index += 2) {
    const identifier = settings[index] as number;
    payload += String.fromCharCode(identifier >>> 8, identifier & 0xff) + uint32(settings[index + 1] as number);
  }
  return frameHeader(payload.length, FrameType.Settings, 0, 0) + payload;
}

export const SETTINGS_ACK = frameHeader(0, FrameType.Settings, Flag.Ack, 0);

/** @param payload eight bytes */
export function pingFrame(payload: string, ack: boolean): string {
  return frameHeader(8, FrameType.Ping, ack ? Flag.Ack : 0, 0) + payload;
}

export function rstStreamFrame(streamId: number, code: ErrorCode): string {
  return frameHeader(4, FrameType.RstStream, 0, streamId) + uint32(code);
}

/** @param lastStreamId the highest one of the peer that was or may be worked on @param debug ASCII, for whoever reads the peer's log */
export function goAwayFrame(lastStreamId: number, code: ErrorCode, debug = ''): string {
  return frameHeader(8 + debug.length, FrameType.GoAway, 0, 0) + uint32(lastStreamId) + uint32(code) + debug;
}

/** @param increment 1 to MAX_WINDOW */
export function windowUpdateFrame(streamId: number, increment: number): string {
  return frameHeader(4, FrameType.WindowUpdate, 0, streamId) + uint32(increment);
}

/** A header block as HEADERS, and CONTINUATION where it is longer than a frame may be. @param block text whose characters are bytes @param maxFrame the peer's SETTINGS_MAX_FRAME_SIZE */
export function headersFrames(streamId: number, block: string, endStream: boolean, maxFrame: number): string {
  const flags = endStream ? Flag.EndStream : 0;
  if (block.length <= maxFrame) return frameHeader(block.length, FrameType.Headers, flags | Flag.EndHeaders, streamId) + block;
  let text = frameHeader(maxFrame, FrameType.Headers, flags, streamId) + block.slice(0, maxFrame);
  for (let start = maxFrame; start < block.length; start += maxFrame) {
    const piece = block.slice(start, start + maxFrame);
    text += frameHeader(piece.length, FrameType.Continuation, start + maxFrame >= block.length ? Flag.EndHeaders : 0, streamId) + piece;
  }
  return text;
}

export function readUint32(bytes: Buffer, at: number): number {
  return (((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)) >>> 0;
}

/** The payload of a PING, to be sent back. */
export function pingPayload(bytes: Buffer, start: number): string {
  return latin1(bytes, start, start + 8);
}
