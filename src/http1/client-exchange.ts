import type { Fields } from '../exchange/fields.ts';
import type { UpstreamHandler, UpstreamStream } from '../exchange/streams.ts';
import type { ClientConnection } from './client-connection.ts';

/**
 * One try on one connection. It is made anew for each, so that a late call for an old one never touches the next: once
 * over, it has no connection any more, and does nothing.
 */
export class ClientExchange implements UpstreamStream {
  readonly reused: boolean;
  readonly handler: UpstreamHandler;
  readonly isHead: boolean;
  /** The response is held back. */
  paused = false;
  #connection: ClientConnection | undefined;

  constructor(connection: ClientConnection, handler: UpstreamHandler, reused: boolean, isHead: boolean) {
    this.#connection = connection;
    this.handler = handler;
    this.reused = reused;
    this.isHead = isHead;
  }

  get connected(): boolean {
    return this.#connection?.connected === true;
  }

  /** Nothing that is called from now on has an effect. */
  detach(): void {
    this.#connection = undefined;
  }

  writeBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (this.#connection === undefined || start >= end) return true;
    return this.#connection.writeBody(bytes, start, end, stable);
  }

  endBody(trailers: Fields | undefined): void {
    this.#connection?.endBody(trailers);
  }

  pauseResponse(): void {
    if (this.#connection === undefined || this.paused) return;
    this.paused = true;
    this.#connection.responsePaused();
  }

  resumeResponse(): void {
    if (this.#connection === undefined || !this.paused) return;
    this.paused = false;
    this.#connection.responseResumed();
  }

  cancel(): void {
    this.#connection?.cancelled();
  }
}
