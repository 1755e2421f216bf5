import type { Timed } from '../exchange/deadlines.ts';
import { ServerConnection, type ServerOptions } from '../http1/server-connection.ts';
import { PrefaceProbe } from '../http2/preface-probe.ts';
import { ServerConnection as Http2ServerConnection } from '../http2/server-connection.ts';
import type { Connection, ConnectionHandler, Preface, ServerTls, TlsInfo, Wire, WireListener } from '../wire/wire.ts';
import { type ClientConnections, type ClientPlace, NO_MORE } from './overload/client-connections.ts';
import type { Proxy } from './proxy.ts';

/** Names of the listeners, as metrics show them; their index is their cell in the shared connection counts. */
export const LISTENERS = ['http', 'https'] as const;
export type ListenerName = (typeof LISTENERS)[number];

/** Open connections of each listener over all workers; each worker writes only its own cells. */
export class ConnectionCounts {
  readonly #cells: Int32Array;
  readonly #worker: number;

  constructor(buffer: SharedArrayBuffer, worker: number) {
    this.#cells = new Int32Array(buffer);
    this.#worker = worker;
  }

  static allocate(workers: number): SharedArrayBuffer {
    return new SharedArrayBuffer(workers * LISTENERS.length * Int32Array.BYTES_PER_ELEMENT);
  }

  add(listener: number, by: 1 | -1): void {
    Atomics.add(this.#cells, this.#worker * LISTENERS.length + listener, by);
  }

  total(listener: number): number {
    let sum = 0;
    for (let cell = listener; cell < this.#cells.length; cell += LISTENERS.length) sum += Atomics.load(this.#cells, cell);
    return sum;
  }

  /** For the main thread, after that worker died. */
  clearWorker(worker: number): void {
    this.#cells.fill(0, worker * LISTENERS.length, (worker + 1) * LISTENERS.length);
  }
}

/** For a connection that is closed at once. */
const REFUSED: ConnectionHandler = { onData: ignore, onEnd: ignore, onDrain: ignore, onClose: ignore };

function ignore(): void {}

/** An engine's end of a client's connection. */
interface ClientEnd {
  /** No request is under way, nor has one begun to arrive. */
  readonly idle: boolean;
  readonly tls: TlsInfo | undefined;
  /** Closes the connection now, if it is idle, or as soon as it is. */
  closeIfIdle(): void;
}

/** One listening port of one worker, and the connections that came in by it. */
export class Listener {
  readonly name: ListenerName;
  readonly #index: number;
  readonly #counts: ConnectionCounts;
  readonly #maxConnections: number;
  readonly #h2c: boolean;
  readonly #connections = new Set<ClientEnd>();
  readonly #options: ServerOptions;
  /** For connections whose first answer is to be the last. */
  readonly #lastOptions: ServerOptions;
  readonly #proxy: Proxy;
  readonly #clients: ClientConnections | undefined;
  #wire: WireListener | undefined;
  #refused = 0;
  #idleBefore: ReadonlySet<ClientEnd> = new Set();
  #passed = 0;
  #onEmpty: (() => void) | undefined;

  /**
   * @param options how strict the connections are
   * @param counts shared, so that `maxConnections` holds over all workers
   * @param h2c whether HTTP/2 is taken by prior knowledge where there is no TLS
   * @param clients undefined: there is no limit of the connections of one client
   */
  constructor(
    name: ListenerName,
    proxy: Proxy,
    options: ServerOptions,
    counts: ConnectionCounts,
    maxConnections: number,
    h2c: boolean,
    clients: ClientConnections | undefined,
  ) {
    this.name = name;
    this.#index = LISTENERS.indexOf(name);
    this.#proxy = proxy;
    this.#options = options;
    this.#lastOptions = { ...options, isDraining: () => true };
    this.#counts = counts;
    this.#maxConnections = maxConnections;
    this.#h2c = h2c;
    this.#clients = clients;
  }

  get open(): number {
    return this.#connections.size;
  }

  /** Connections that are passed through. */
  get passed(): number {
    return this.#passed;
  }

  /** Connections with an exchange under way. */
  get active(): number {
    let active = 0;
    for (const connection of this.#connections) if (!connection.idle) active++;
    return active;
  }

  get refused(): number {
    return this.#refused + (this.#wire?.refusedConnections ?? 0);
  }

  /** Times that accepting paused for want of file descriptors. */
  get pauses(): number {
    return this.#wire?.pauses ?? 0;
  }

  get failedHandshakes(): number {
    return this.#wire?.failedHandshakes ?? 0;
  }

  /** @throws (rejects) with the system's error, such as EADDRINUSE */
  async listen(wire: Wire, host: string, port: number, tls: ServerTls | undefined, preface: Preface | undefined, onPause: () => void): Promise<void> {
    this.#wire = await wire.listen(
      { host, port, reusePort: true, maxConnections: this.#maxConnections, onPause, ...(tls && { tls }), ...(preface && { preface }) },
      (connection) => {
        const place = this.#enter(connection);
        if (place !== NO_MORE) this.#accept(connection, place);
      },
    );
  }

  /** Chooses the protocol: by ALPN under TLS, else by the first bytes. */
  #accept(connection: Connection, place: ClientPlace): void {
    if (connection.tls !== undefined || !this.#h2c) {
      this.#serve(connection, connection.tls?.alpn === 'h2', place);
      return;
    }
    const { deadlines, headerTimeout } = this.#options;
    const choose = (isHttp2: boolean) => {
      this.#connections.delete(probe);
      return this.#serve(connection, isHttp2, place);
    };
    const probe: PrefaceProbe = new PrefaceProbe(connection, deadlines, headerTimeout, choose, () => this.#closed(probe, place));
    this.#connections.add(probe);
  }

  #serve(connection: Connection, isHttp2: boolean, place: ClientPlace): ConnectionHandler & Timed {
    const Engine = isHttp2 ? Http2ServerConnection : ServerConnection;
    const { tls } = connection;
    // Those that are open when it changes whom a host asks for what are ended then; this one comes too late for that.
    const options = tls === undefined || this.#proxy.clientValidations.fits(tls) ? this.#options : this.#lastOptions;
    const server: ConnectionHandler & Timed & ClientEnd = new Engine(connection, options, this.#proxy, () => this.#closed(server, place));
    this.#connections.add(server);
    return server;
  }

  /** Closes connections on which nothing is under way, nor was at the last call: one that is new may be about to send. */
  closeIdle(): void {
    const idle = new Set<ClientEnd>();
    for (const connection of this.#connections) {
      if (!connection.idle) continue;
      if (this.#idleBefore.has(connection)) connection.closeIfIdle();
      else idle.add(connection);
    }
    this.#idleBefore = idle;
  }

  /** Ends connections by TLS: those that are idle now, the others after what is under way. */
  end(isOver: (tls: TlsInfo) => boolean): void {
    for (const connection of this.#connections) if (connection.tls !== undefined && isOver(connection.tls)) connection.closeIfIdle();
  }

  /**
   * Counts a connection that came in here and carries something else than HTTP.
   * @returns what to call once it is gone; undefined: it is one too many, and was closed
   */
  admit(connection: Connection): (() => void) | undefined {
    const place = this.#enter(connection);
    if (place === NO_MORE) return undefined;
    this.#passed++;
    return () => {
      this.#passed--;
      this.#left(place);
    };
  }

  /** @returns NO_MORE: it is one too many, and was closed */
  #enter(connection: Connection): ClientPlace {
    const place = this.#counts.total(this.#index) >= this.#maxConnections ? NO_MORE : (this.#clients?.enter(connection.remoteAddress) ?? 0);
    if (place === NO_MORE) {
      this.#refused++;
      connection.handler = REFUSED;
      connection.destroy();
      return place;
    }
    this.#counts.add(this.#index, 1);
    return place;
  }

  /** While the process has no file descriptors left. */
  pauseAccepting(): void {
    this.#wire?.pauseAccepting();
  }

  setTicketKeys(keys: Buffer): void {
    this.#wire?.setTicketKeys(keys);
  }

  /** Accepts nothing more; resolves when the last connection is gone. */
  async drain(): Promise<void> {
    await this.#wire?.close();
    for (const connection of this.#connections) connection.closeIfIdle();
    if (this.#connections.size + this.#passed === 0) return;
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
  }

  #closed(connection: ClientEnd, place: ClientPlace): void {
    if (this.#connections.delete(connection)) this.#left(place);
  }

  #left(place: ClientPlace): void {
    this.#counts.add(this.#index, -1);
    this.#clients?.leave(place);
    if (this.#connections.size + this.#passed === 0) this.#onEmpty?.();
  }
}
