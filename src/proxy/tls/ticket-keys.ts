import { randomBytes } from 'node:crypto';

/** Name, HMAC key and AES key of a session ticket, 16 bytes each: what Node takes. */
const LENGTH = 48;

/**
 * How long one set of ticket keys is used, in milliseconds. Whoever gets hold of a set can read the TLS 1.2 connections whose
 * tickets it sealed, so it lives hours, not days (RFC 5077 section 5.5); TLS 1.3 resumption has a fresh key exchange.
 */
export const ROTATION_INTERVAL = 8 * 3_600_000;

/**
 * The keys that session tickets are sealed with: one set for all workers, so that a session made in one is resumed in any
 * other, and under any certificate. The main thread owns them, and hands on new ones.
 *
 * Node holds one set at a time, so there is no overlap: a ticket of the set before is not an error, it costs its client one
 * full handshake, and a new ticket comes with it. Resumption under the new set works from the first connection on in every
 * worker that has it; the workers get it within milliseconds of each other.
 */
export class TicketKeyRing {
  #current = randomBytes(LENGTH);
  readonly #publish: (keys: Buffer) => void;
  readonly #timer: NodeJS.Timeout;

  /**
   * @param publish called with each new set, not with the first one
   * @param interval milliseconds between sets
   */
  constructor(publish: (keys: Buffer) => void, interval = ROTATION_INTERVAL) {
    this.#publish = publish;
    this.#timer = setInterval(() => this.rotate(), interval);
    this.#timer.unref();
  }

  /** The set in use; for a worker that starts. */
  get current(): Buffer {
    return this.#current;
  }

  rotate(): void {
    this.#current = randomBytes(LENGTH);
    this.#publish(this.#current);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
