import type { Deadlines, Timed } from '../exchange/deadlines.ts';
import type { Connection, ConnectionHandler } from '../wire/wire.ts';
import { PREFACE } from './frames.ts';

const BYTES = Buffer.from(PREFACE, 'latin1');

/**
 * Tells by a plain connection's first bytes whether its client speaks HTTP/2 by prior knowledge (RFC 9113 section 3.3): with
 * the first byte that is not the preface's it is HTTP/1, whatever reads the bytes came in. An engine takes over then.
 */
export class PrefaceProbe implements ConnectionHandler, Timed {
  deadline: number;
  deadlineIndex = -1;
  readonly #connection: Connection;
  readonly #deadlines: Deadlines;
  readonly #choose: (isHttp2: boolean) => ConnectionHandler & Timed;
  readonly #onClosed: () => void;
  #matched = 0;

  /**
   * @param timeout milliseconds for the first bytes
   * @param choose makes the engine's end of the connection, which is its handler from then on
   * @param onClosed called where the connection is gone before that
   */
  constructor(connection: Connection, deadlines: Deadlines, timeout: number, choose: (isHttp2: boolean) => ConnectionHandler & Timed, onClosed: () => void) {
    this.#connection = connection;
    this.#deadlines = deadlines;
    this.#choose = choose;
    this.#onClosed = onClosed;
    this.deadline = deadlines.now + timeout;
    deadlines.add(this);
    connection.handler = this;
  }

  /** Under TLS the protocol is chosen by ALPN. */
  readonly tls = undefined;

  get idle(): boolean {
    return this.#matched === 0;
  }

  closeIfIdle(): void {
    if (this.idle) this.#connection.finish();
  }

  onData(bytes: Buffer, start: number, end: number): void {
    let matched = this.#matched;
    let position = start;
    while (position < end && matched < BYTES.length && bytes[position] === BYTES[matched]) {
      position++;
      matched++;
    }
    if (position === end && matched < BYTES.length) {
      this.#matched = matched;
      return;
    }
    const engine = this.#hand(matched === BYTES.length);
    if (this.#connection.handler === engine) engine.onData(bytes, start, end);
  }

  onEnd(): void {
    if (this.#matched === 0) this.#connection.finish();
    else this.#hand(false).onEnd();
  }

  onDrain(): void {}

  onClose(): void {
    this.#deadlines.remove(this);
    this.#onClosed();
  }

  onDeadline(): void {
    if (this.#matched === 0) this.#connection.finish();
    else this.#hand(false).onDeadline(this.#deadlines.now);
  }

  /** To the engine, with what earlier reads have brought. */
  #hand(isHttp2: boolean): ConnectionHandler & Timed {
    this.#deadlines.remove(this);
    const engine = this.#choose(isHttp2);
    if (this.#matched > 0) engine.onData(Buffer.from(BYTES.subarray(0, this.#matched)), 0, this.#matched);
    return engine;
  }
}
