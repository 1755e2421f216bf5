/** What Node's own HTTP (llhttp) makes of bytes: the reference that this codec may be stricter than, and never laxer. */
import http, { type IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';

export interface ReadMessage {
  /** Method and target of a request, status of a response. */
  readonly start: string;
  readonly version: string;
  /** Names and values in turns. */
  readonly fields: readonly string[];
  body: string;
  trailers: readonly string[];
  complete: boolean;
}

/** A socket of which only what was given to it can be read. */
class Source extends Duplex {
  #waiting: string[];

  constructor(pieces: readonly string[]) {
    super();
    this.#waiting = [...pieces];
  }

  override _read(): void {
    const piece = this.#waiting.shift();
    this.push(piece === undefined ? null : Buffer.from(piece, 'latin1'));
  }

  override _write(_chunk: unknown, _encoding: unknown, done: () => void): void {
    done();
  }

  // What node:http expects of a socket besides.
  setTimeout(): this {
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
}

const MAX_HEAD = 1 << 20;

/** Requests as a strict `node:http` server sees them; those that are refused, and what follows, are missing. */
export class ReferenceServer {
  readonly #server = http.createServer({
    insecureHTTPParser: false,
    maxHeaderSize: MAX_HEAD,
    requireHostHeader: true,
    keepAliveTimeout: 0,
    requestTimeout: 0,
    headersTimeout: 0,
    connectionsCheckingInterval: 1 << 30,
  });
  #seen: ReadMessage[] = [];

  constructor() {
    this.#server.maxRequestsPerSocket = 0;
    this.#server.on('request', (request, response) => {
      this.#seen.push(collect(request, `${request.method} ${request.url}`));
      response.end();
    });
    // Not at once: the requests before the error are still to be read.
    this.#server.on('clientError', (_error, socket) => setImmediate(() => socket.destroy()));
    this.#server.on('connect', (_request, socket) => socket.destroy());
  }

  async read(pieces: readonly string[]): Promise<readonly ReadMessage[]> {
    const seen: ReadMessage[] = [];
    this.#seen = seen;
    const source = new Source(pieces);
    const closed = new Promise<void>((resolve) => source.once('close', resolve));
    this.#server.emit('connection', source);
    await closed;
    return seen;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

export interface ReferenceResponse {
  readonly informed: readonly number[];
  readonly response: ReadMessage | undefined;
}

/** The response as a `node:http` client sees it, with the interim ones before; undefined where it is refused. */
export async function readResponse(method: string, pieces: readonly string[]): Promise<ReferenceResponse> {
  const informed: number[] = [];
  let response: ReadMessage | undefined;
  const source = new Source(pieces);
  const closed = new Promise<void>((resolve) => source.once('close', resolve));
  const request = http.request({
    method,
    path: '/',
    createConnection: () => source as never,

    insecureHTTPParser: false,
    maxHeaderSize: MAX_HEAD,
    setHost: false,
    headers: { host: 'a' },
  });
  request.maxHeadersCount = 0;
  request.on('information', (info) => informed.push(info.statusCode));
  request.on('response', (message) => {
    response = collect(message, String(message.statusCode));
  });
  request.on('upgrade', (_message, socket) => socket.destroy());
  request.on('error', () => source.destroy());
  request.end();
  await closed;
  return { informed, response };
}

function collect(message: IncomingMessage, start: string): ReadMessage {
  const read: ReadMessage = { start, version: message.httpVersion, fields: [...message.rawHeaders], body: '', trailers: [], complete: false };
  message.on('data', (bytes: Buffer) => {
    read.body += bytes.toString('latin1');
  });
  message.on('end', () => {
    read.trailers = [...message.rawTrailers];
    read.complete = message.complete;
  });
  message.on('error', () => {});
  return read;
}
