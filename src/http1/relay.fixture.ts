/** The least that can stand between the two sides of the codec: sends every exchange on to one backend, and nothing else. */
import { Deadlines } from '../exchange/deadlines.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { Fields } from '../exchange/fields.ts';
import type { BodyLength, ClientHandler, ExchangeSink, UpstreamFailure, UpstreamHandler, UpstreamStream } from '../exchange/streams.ts';
import type { Wire, WireListener } from '../wire/wire.ts';
import { ClientConnection } from './client-connection.ts';
import { ServerConnection, type ServerOptions } from './server-connection.ts';
import { serverOptions } from './server-options.fixture.ts';

export class Relay implements ExchangeSink {
  readonly deadlines = new Deadlines();
  readonly idle: ClientConnection[] = [];
  readonly failures: UpstreamFailure[] = [];
  /** Clients that went away before their answer was complete. */
  gone = 0;
  opened = 0;
  readonly #wire: Wire;
  readonly #target: { readonly address: string; readonly port: number };
  readonly #options: ServerOptions;
  #listener: WireListener | undefined;

  constructor(wire: Wire, backendPort: number) {
    this.#wire = wire;
    this.#target = { address: '127.0.0.1', port: backendPort };
    this.#options = serverOptions(this.deadlines, { maxRequestsPerConnection: 1_000_000 });
  }

  /** @returns the port */
  async listen(port = 0): Promise<number> {
    this.#listener = await this.#wire.listen({ host: '127.0.0.1', port, reusePort: false, maxConnections: 10_000 }, (connection) => {
      new ServerConnection(connection, this.#options, this);
    });
    return this.#listener.port;
  }

  async close(): Promise<void> {
    for (const connection of this.idle.splice(0)) connection.destroy();
    await this.#listener?.close();
    this.deadlines.close();
  }

  onExchange(exchange: Exchange): ClientHandler {
    return new RelayedExchange(this, exchange);
  }

  onRefused(): void {}

  connection(): ClientConnection {
    const idle = this.idle.pop();
    if (idle !== undefined) return idle;
    this.opened++;
    return new ClientConnection(this.#wire, this.deadlines, this.#target, 5_000, this);
  }

  onReusable(connection: ClientConnection): void {
    this.idle.push(connection);
  }

  onGone(connection: ClientConnection): void {
    const index = this.idle.indexOf(connection);
    if (index >= 0) this.idle.splice(index, 1);
  }
}

class RelayedExchange implements ClientHandler, UpstreamHandler {
  readonly #relay: Relay;
  readonly #exchange: Exchange;
  readonly #upstream: UpstreamStream;
  #responding = false;

  constructor(relay: Relay, exchange: Exchange) {
    this.#relay = relay;
    this.#exchange = exchange;
    const { method, path, query, requestFields, stream } = exchange;
    this.#upstream = relay.connection().request({ method, target: path + query, fields: requestFields, body: stream.requestBody }, this);
    if (!stream.requestEnded && this.#upstream.connected) stream.resumeRequestBody();
  }

  onRequestData(bytes: Buffer, start: number, end: number, stable: boolean): void {
    if (!this.#upstream.writeBody(bytes, start, end, stable)) this.#exchange.stream.pauseRequestBody();
  }
  onRequestEnd(trailers: Fields | undefined): void {
    this.#upstream.endBody(trailers);
  }
  onRequestError(): void {
    this.#upstream.cancel();
  }
  onClientGone(): void {
    this.#relay.gone++;
    this.#upstream.cancel();
  }
  onClientWritable(): void {
    this.#upstream.resumeResponse();
  }

  onInformational(status: number, fields: Fields): void {
    this.#exchange.stream.inform(status, fields);
  }
  onResponse(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, stable: boolean, last: boolean): void {
    this.#responding = true;
    if (!this.#exchange.stream.respond(status, fields, length, first, start, end, stable, last)) this.#upstream.pauseResponse();
  }
  onResponseData(bytes: Buffer, start: number, end: number, stable: boolean): void {
    if (!this.#exchange.stream.writeBody(bytes, start, end, stable)) this.#upstream.pauseResponse();
  }
  onResponseEnd(trailers: Fields | undefined): void {
    this.#exchange.stream.endBody(trailers);
  }
  onUpstreamWritable(): void {
    this.#exchange.stream.resumeRequestBody();
  }
  onUpstreamFailure(failure: UpstreamFailure): void {
    this.#relay.failures.push(failure);
    if (this.#responding) this.#exchange.stream.abort();
    else this.#exchange.stream.respondText(502, new Fields(), failure);
  }
}
