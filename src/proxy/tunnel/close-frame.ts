import { randomFillSync } from 'node:crypto';

const FIN_CLOSE = 0x88;
const MASKED = 0x80;

/**
 * A WebSocket Close frame with a status code and no reason (RFC 6455 section 5.5.1).
 * @param masked as a client has to send it (section 5.3)
 */
export function closeFrame(code: number, masked: boolean): Buffer {
  const high = code >> 8;
  const low = code & 0xff;
  if (!masked) return Buffer.of(FIN_CLOSE, 2, high, low);
  const frame = Buffer.of(FIN_CLOSE, MASKED | 2, 0, 0, 0, 0, high, low);
  randomFillSync(frame, 2, 4);
  frame[6] = high ^ (frame[2] as number);
  frame[7] = low ^ (frame[3] as number);
  return frame;
}
