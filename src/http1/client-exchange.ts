import type { Fields } from '../exchange/fields.ts';
import type { UpstreamHandler, UpstreamStream } from '../exchange/streams.ts';
import type { ClientConnection } from './client-connection.ts';
import type { SwitchedConnection, SwitchedHandler } from './switched-connection.ts';

/**
 * One try on one connection. It is made anew for each, so that a late call for an old one never touches the next: once
 * over, it has no connection any more, and does nothing.
 */
export class ClientExchange implements UpstreamStream {
  readonly reused: boolean;
  readonly handler: UpstreamHandler;
  readonly isHead: boolean;
  /** The key that was sent with the wish to switch to WebSocket. */
  readonly upgradeKey: string | undefined;
  /** The response is held back. */
  paused = false;
  #connection: ClientConnection | undefined;
  /** The connection, once it has switched protocols. */
  #switched: SwitchedConnection | undefined = undefined;

  constructor(connection: ClientConnection, handler: UpstreamHandler, reused: boolean, isHead: boolean, upgradeKey: string | undefined) {
    this.#connection = connection;
    this.handler = handler;
    this.reused = reused;
    this.isHead = isHead;
    this.upgradeKey = upgradeKey;
  }

  get connected(): boolean {
    return this.#connection?.connected === true || this.#switched !== undefined;
  }

  /** Nothing that is called from now on has an effect. */
  detach(): void {
    this.#connection = undefined;
  }

  /** The connection has switched protocols, and carries a tunnel from here on. */
  switchTo(switched: SwitchedConnection): void {
    this.#connection = undefined;
    this.#switched = switched;
  }

  writeBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (this.#switched !== undefined) return this.#switched.write(bytes, start, end, stable);
    if (this.#connection === undefined || start >= end) return true;
    return this.#connection.writeBody(bytes, start, end, stable);
  }

  endBody(trailers: Fields | undefined): void {
    if (this.#switched !== undefined) this.#switched.end();
    else this.#connection?.endBody(trailers);
  }

  pauseResponse(): void {
    this.#switched?.pause();
    if (this.#connection === undefined || this.paused) return;
    this.paused = true;
    this.#connection.responsePaused();
  }

  resumeResponse(): void {
    this.#switched?.resume();
    if (this.#connection === undefined || !this.paused) return;
    this.paused = false;
    this.#connection.responseResumed();
  }

  cancel(): void {
    this.#switched?.abort();
    this.#connection?.cancelled();
  }
}

/** What comes out of a backend's connection that has switched protocols, as the try's handler hears it. */
export class BackendTunnel implements SwitchedHandler {
  readonly #handler: UpstreamHandler;
  readonly #reused: boolean;
  readonly #onGone: () => void;

  /** @param onGone called once, when the connection is closed */
  constructor(handler: UpstreamHandler, reused: boolean, onGone: () => void) {
    this.#handler = handler;
    this.#reused = reused;
    this.#onGone = onGone;
  }

  onBytes(bytes: Buffer, start: number, end: number): void {
    this.#handler.onResponseData(bytes, start, end, false);
  }

  onBytesEnd(): void {
    this.#handler.onResponseEnd(undefined);
  }

  onWritable(): void {
    this.#handler.onUpstreamWritable();
  }

  onLost(error: Error | undefined): void {
    this.#onGone();
    this.#handler.onUpstreamFailure('reset', true, this.#reused, error);
  }

  onClosed(): void {
    this.#onGone();
  }
}
