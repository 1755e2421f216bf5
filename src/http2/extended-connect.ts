import type { Fields } from '../exchange/fields.ts';
import { LateStream } from '../exchange/late-stream.ts';
import { type BodyLength, UNKNOWN_LENGTH, type UpstreamFailure, type UpstreamHandler, type UpstreamRequest, type UpstreamStream } from '../exchange/streams.ts';
import { acceptOf } from '../http1/upgrade.ts';

const KEY = 'sec-websocket-key';

/** The backend's SETTINGS have no ENABLE_CONNECT_PROTOCOL, without which extended CONNECT must not be sent (RFC 8441 section 3). */
export class NoConnectProtocolError extends Error {
  constructor() {
    super('the backend takes no WebSocket over HTTP/2');
  }
}

/**
 * A request for WebSocket as HTTP/2 has it (RFC 8441 section 5), between a handler that has asked for an upgrade and a stream of the
 * connection: the key stays here, and a success is the 101 with the answer to that key.
 */
export class ExtendedConnect extends LateStream implements UpstreamHandler {
  readonly #request: UpstreamRequest;
  readonly #handler: UpstreamHandler;
  #open = false;

  /** @param request with `upgrade`, its key among the fields */
  constructor(request: UpstreamRequest, handler: UpstreamHandler) {
    super();
    this.#request = request;
    this.#handler = handler;
  }

  /** @param send sends what it gets on a stream of the connection */
  begin(send: (request: UpstreamRequest, handler: UpstreamHandler) => UpstreamStream): this {
    const fields = this.#request.fields.clone();
    fields.remove(KEY);
    this.passTo(send({ ...this.#request, method: 'CONNECT', fields, body: UNKNOWN_LENGTH }, this));
    return this;
  }

  protected override dropped(): void {}

  onInformational(status: number, fields: Fields): void {
    this.#handler.onInformational(status, fields);
  }

  onResponse(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, stable: boolean, last: boolean): void {
    this.#open = status < 300;
    // HTTP/2 has no such field; a client of HTTP/1.1 looks at it.
    if (this.#open) fields.set('Sec-WebSocket-Accept', acceptOf(this.#request.fields.get(KEY) ?? ''));
    this.#handler.onResponse(this.#open ? 101 : status, fields, length, first, start, end, stable, last);
  }

  onResponseData(bytes: Buffer, start: number, end: number, stable: boolean): void {
    this.#handler.onResponseData(bytes, start, end, stable);
  }

  onResponseEnd(trailers: Fields | undefined): void {
    this.#handler.onResponseEnd(trailers);
  }

  onUpstreamWritable(): void {
    // Before, there is nothing to be written.
    if (this.#open) this.#handler.onUpstreamWritable();
  }

  onUpstreamFailure(failure: UpstreamFailure, requestBytesSent: boolean, reusedConnection: boolean, cause: Error | undefined): void {
    this.#handler.onUpstreamFailure(failure, requestBytesSent, reusedConnection, cause);
  }
}
