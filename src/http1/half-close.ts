import type { Connection } from '../wire/wire.ts';
import type { ServerExchange } from './server-exchange.ts';

/** How long after the end of the client's bytes the answer may take before it matters whether the client is still there; milliseconds. */
export const HALF_CLOSE_GRACE = 1_000;
/** Means nothing to a client that has its request sent, and is reset by one that is gone. */
const PROBE = 'HTTP/1.1 100 Continue\r\n\r\n';
/** The first one makes a peer that is gone reset the connection; the next one is what finds it reset, soon or at the latest after a while. */
const PROBE_INTERVALS = [150, 2_000, HALF_CLOSE_GRACE] as const;

/**
 * Looks after a client that has half-closed, and may still wait for its answer (RFC 9112 section 9.6) or be gone
 * altogether: from here both look alike, but a client that is gone resets what it gets. So an interim answer is sent; and
 * where the answer has begun and its backend is silent, the client counts as gone.
 */
export class HalfCloseWatch {
  #probes = 0;
  #bytesWritten = 0;

  begin(connection: Connection): void {
    this.#probes = 0;
    this.#bytesWritten = connection.bytesWritten;
  }

  /**
   * To be called after HALF_CLOSE_GRACE, and then whenever the interval that it returned is over.
   * @param outputHeld the client has not taken what was written
   * @returns milliseconds; 0 for a client that counts as gone
   */
  look(connection: Connection, stream: ServerExchange, outputHeld: boolean): number {
    if (stream.responded && !outputHeld && connection.bytesWritten === this.#bytesWritten) return 0;
    let interval: number = HALF_CLOSE_GRACE;
    if (!stream.responded && !stream.isHttp10 && this.#probes < PROBE_INTERVALS.length) {
      interval = PROBE_INTERVALS[this.#probes++] as number;
      connection.writeLatin1(PROBE);
    }
    this.#bytesWritten = connection.bytesWritten;
    return interval;
  }
}
