import type { Deadlines } from '../exchange/deadlines.ts';
import type { Connection, ConnectionHandler } from '../wire/wire.ts';
import type { HeldBytes } from './held-bytes.ts';
import { LingeringClose } from './lingering-close.ts';
import { defer } from './turn-queue.ts';

/** Who hears what comes out of a connection that has switched protocols. Nothing is called from within a call of the connection's methods. */
export interface SwitchedHandler {
  /** Valid only during the call. */
  onBytes(bytes: Buffer, start: number, end: number): void;
  /** The peer has half-closed. */
  onBytesEnd(): void;
  /** After a write that returned false. */
  onWritable(): void;
  /** The peer is gone without an orderly end of both directions; no further callback follows, not even `onClosed`. */
  onLost(error: Error | undefined): void;
  /** It is closed, after both directions had ended or `abort`. */
  onClosed(error: Error | undefined): void;
}

/** What a connection has already done when it switches. */
export interface SwitchedState {
  /** Bytes that came in behind the head of the message that switched; to be read first. */
  readonly early: HeldBytes;
  /** The peer has half-closed already. */
  readonly peerEnded: boolean;
  /** Reading is on. */
  readonly reading: boolean;
  /** Nothing is handed on until `resume`. */
  readonly paused: boolean;
  /** The peer has not taken all that was written. */
  readonly outputHeld: boolean;
}

/**
 * A connection of HTTP/1.1 after 101 (RFC 9110 section 7.8): bytes both ways, each direction with an end of its own. It is
 * the connection's handler from then on, on either side of the gateway.
 */
export class SwitchedConnection implements ConnectionHandler {
  readonly #connection: Connection;
  readonly #deadlines: Deadlines;
  readonly #handler: SwitchedHandler;
  readonly #held: HeldBytes;
  #paused: boolean;
  #reading: boolean;
  #peerEnded: boolean;
  #peerEndTold = false;
  #outputEnded = false;
  #outputHeld: boolean;
  #deferred = false;
  #over = false;

  constructor(connection: Connection, deadlines: Deadlines, state: SwitchedState, handler: SwitchedHandler) {
    this.#connection = connection;
    this.#deadlines = deadlines;
    this.#handler = handler;
    this.#held = state.early;
    this.#paused = state.paused;
    this.#reading = state.reading;
    this.#peerEnded = state.peerEnded;
    this.#outputHeld = state.outputHeld;
    connection.handler = this;
    this.#proceed();
  }

  /** @returns as `Connection.write` does */
  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (this.#over || this.#outputEnded || this.#connection.write(bytes, start, end, stable)) return true;
    this.#outputHeld = true;
    return false;
  }

  /** Half-closes after what was written. */
  end(): void {
    if (this.#over || this.#outputEnded) return;
    this.#outputEnded = true;
    this.#connection.end();
    if (this.#peerEndTold) this.#finish();
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#updateReading();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#proceed();
  }

  /** Ends both directions at once, so that the peer sees that something is missing. Only `onClosed` follows. */
  abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.#held.clear();
    this.#connection.reset();
  }

  onData(bytes: Buffer, start: number, end: number): void {
    if (this.#over) return;
    if (!this.#held.empty) this.#held.append(bytes, start, end);
    else if (this.#paused) this.#held.hold(bytes, start, end, false);
    else this.#handler.onBytes(bytes, start, end);
    this.#updateReading();
  }

  onEnd(): void {
    this.#peerEnded = true;
    if (!this.#paused && !this.#deferred) this.#tellEnd();
  }

  onDrain(): void {
    this.#outputHeld = false;
    if (!this.#over) this.#handler.onWritable();
  }

  onClose(error: Error | undefined): void {
    if (this.#over) {
      this.#handler.onClosed(error);
      return;
    }
    this.#over = true;
    this.#held.clear();
    this.#handler.onLost(error);
  }

  runDeferred(): void {
    this.#deferred = false;
    if (this.#over || this.#paused) return;
    if (!this.#held.empty) {
      const { bytes, start, end } = this.#held;
      this.#held.clear();
      this.#handler.onBytes(bytes, start, end);
    }
    this.#updateReading();
    if (this.#peerEnded && !this.#paused) this.#tellEnd();
  }

  /** Hands on what is there, but not from within a call. */
  #proceed(): void {
    if (this.#paused || this.#deferred) return;
    if (this.#held.empty && !this.#peerEnded) {
      this.#updateReading();
      return;
    }
    this.#deferred = true;
    defer(this);
  }

  #tellEnd(): void {
    if (this.#peerEndTold || this.#over || !this.#held.empty) return;
    this.#peerEndTold = true;
    this.#handler.onBytesEnd();
    if (this.#outputEnded) this.#finish();
  }

  /** Both directions have ended: what was written may take its time, within bounds. */
  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    new LingeringClose(this.#connection, this.#deadlines, true, this.#outputHeld, (error) => this.#handler.onClosed(error));
  }

  #updateReading(): void {
    if (this.#over) return;
    const wanted = !this.#paused && this.#held.empty;
    if (wanted === this.#reading) return;
    this.#reading = wanted;
    if (wanted) this.#connection.resumeReading();
    else this.#connection.pauseReading();
  }
}
