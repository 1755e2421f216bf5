import { DEFAULT_MAX_FRAME, DEFAULT_WINDOW, ErrorCode, MAX_WINDOW, readUint32, Setting } from './frames.ts';

/** What the peer has said of itself (RFC 9113 section 6.5.2). */
export class PeerSettings {
  headerTableSize = 4_096;
  pushEnabled = true;
  /** Infinity: as many as we like. */
  maxConcurrentStreams = Number.POSITIVE_INFINITY;
  initialWindow = DEFAULT_WINDOW;
  maxFrame = DEFAULT_MAX_FRAME;
  /** Infinity: it did not say. */
  maxHeaderListSize = Number.POSITIVE_INFINITY;
  connectProtocol = false;
  /** SETTINGS_NO_RFC7540_PRIORITIES; undefined before the first SETTINGS. It means nothing to us. */
  #noPriorities: number | undefined = undefined;

  /** @param bytes with `bytes[start..end)` the payload of SETTINGS, its length a multiple of six @returns NoError, or what is wrong with it */
  apply(bytes: Buffer, start: number, end: number): ErrorCode {
    for (let at = start; at < end; at += 6) {
      const value = readUint32(bytes, at + 2);
      switch (((bytes[at] as number) << 8) | (bytes[at + 1] as number)) {
        case Setting.HeaderTableSize:
          this.headerTableSize = value;
          break;
        case Setting.EnablePush:
          if (value > 1) return ErrorCode.ProtocolError;
          this.pushEnabled = value === 1;
          break;
        case Setting.MaxConcurrentStreams:
          this.maxConcurrentStreams = value;
          break;
        case Setting.InitialWindowSize:
          if (value > MAX_WINDOW) return ErrorCode.FlowControlError;
          this.initialWindow = value;
          break;
        case Setting.MaxFrameSize:
          if (value < DEFAULT_MAX_FRAME || value > 0xff_ffff) return ErrorCode.ProtocolError;
          this.maxFrame = value;
          break;
        case Setting.MaxHeaderListSize:
          this.maxHeaderListSize = value;
          break;
        case Setting.EnableConnectProtocol:
          // Once on it stays on (RFC 8441 section 3).
          if (value > 1 || (value === 0 && this.connectProtocol)) return ErrorCode.ProtocolError;
          this.connectProtocol = value === 1;
          break;
        case Setting.NoRfc7540Priorities:
          // What must not be is refused all the same: other values, and another one than that of the first SETTINGS (RFC 9218 section 2.1).
          if (value > 1 || (this.#noPriorities !== undefined && this.#noPriorities !== value)) return ErrorCode.ProtocolError;
          this.#noPriorities = value;
          break;
        default:
        // Unknown ones are ignored.
      }
    }
    this.#noPriorities ??= 0;
    return ErrorCode.NoError;
  }
}
