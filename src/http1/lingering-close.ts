import type { Deadlines, Timed } from '../exchange/deadlines.ts';
import type { Connection, ConnectionHandler } from '../wire/wire.ts';

/** Milliseconds without a byte of the client, and in all. */
const LINGER_IDLE = 5_000;
const LINGER_TOTAL = 30_000;
/** Milliseconds that the client may take for what is still to be sent. */
export const FLUSH_TIMEOUT = 60_000;

/**
 * The end of a client's connection: after what was written it half-closes, and drops what still comes in until the client
 * closes too, since closing at once would reset the answer on its way (RFC 9112 section 9.6). It is the connection's
 * handler from then on. What comes in is bounded by time alone, as with nginx: a client that reads no answer before its upload
 * is over gets it so, and dropping bytes is cheaper than the new connection that it would make otherwise.
 */
export class LingeringClose implements ConnectionHandler, Timed {
  deadline: number;
  deadlineIndex = -1;
  readonly #connection: Connection;
  readonly #deadlines: Deadlines;
  /** Everything was read, and no more will come. */
  readonly #finishing: boolean;
  readonly #onClosed: (error: Error | undefined) => void;
  #until: number;

  /**
   * @param finishing there is nothing to linger for
   * @param outputHeld something of what was written waits for the client
   */
  constructor(connection: Connection, deadlines: Deadlines, finishing: boolean, outputHeld: boolean, onClosed: (error: Error | undefined) => void) {
    this.#connection = connection;
    this.#deadlines = deadlines;
    this.#finishing = finishing;
    this.#onClosed = onClosed;
    this.deadline = deadlines.now + FLUSH_TIMEOUT;
    this.#until = this.deadline;
    deadlines.add(this);
    connection.handler = this;
    if (!outputHeld) this.onDrain();
  }

  onDrain(): void {
    if (this.#finishing) this.#connection.finish();
    else this.#connection.end();
    this.#until = this.#deadlines.now + LINGER_TOTAL;
    this.deadline = this.#deadlines.now + LINGER_IDLE;
  }

  onData(): void {
    this.deadline = Math.min(Math.max(this.deadline, this.#deadlines.now + LINGER_IDLE), this.#until);
  }

  onEnd(): void {}

  onClose(error: Error | undefined): void {
    this.#deadlines.remove(this);
    this.#onClosed(error);
  }

  onDeadline(): void {
    this.#connection.destroy();
  }
}
