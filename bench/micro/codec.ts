/**
 * What src/http1/ costs by itself: requests and answers go through both sides of the codec in memory, without sockets.
 * Prints the best of several rounds, in nanoseconds for one exchange.
 *
 *     node bench/micro/codec.ts [exchanges a round]
 *
 * On a busy machine count instructions instead: `perf stat -e instructions:u` of two numbers of exchanges, and the difference.
 */
import { Deadlines } from '../../src/exchange/deadlines.ts';
import type { Exchange } from '../../src/exchange/exchange.ts';
import { Fields } from '../../src/exchange/fields.ts';
import type { BodyLength, ClientHandler, UpstreamHandler } from '../../src/exchange/streams.ts';
import { ClientConnection } from '../../src/http1/client-connection.ts';
import { ServerConnection } from '../../src/http1/server-connection.ts';
import { serverOptions } from '../../src/http1/server-options.fixture.ts';
import { latin1 } from '../../src/wire/latin1.ts';
import type { Connection, ConnectionHandler, Wire } from '../../src/wire/wire.ts';

const ROUNDS = 7;
const exchanges = Number(process.argv[2] ?? 100_000);

const written = Buffer.allocUnsafeSlow(64 * 1024);

/** Takes everything at once, and copies text as a write to the kernel does. */
class Sink implements Connection {
  handler!: ConnectionHandler;
  readonly remoteAddress = '127.0.0.1';
  readonly remotePort = 40_000;
  readonly localAddress = '127.0.0.2';
  readonly localPort = 80;
  readonly tls = undefined;
  readonly bytesRead = 0;
  bytesWritten = 0;
  readonly isBroken = false;
  writeLatin1(text: string): boolean {
    this.bytesWritten += written.write(text, 0, 'latin1');
    return true;
  }
  write(_bytes: Buffer, start: number, end: number): boolean {
    this.bytesWritten += end - start;
    return true;
  }
  writeHeadAndBytes(head: string, bytes: Buffer, start: number, end: number): boolean {
    return this.writeLatin1(head + latin1(bytes, start, end));
  }
  pauseReading(): void {}
  resumeReading(): void {}
  setBulk(): void {}
  end(): void {}
  finish(): void {}
  destroy(): void {}
  reset(): void {}
}

const body = JSON.stringify({ id: 1, text: 'x'.repeat(130) });
const answer = `HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Sun, 22 Nov 2026 09:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: keep-alive\r\n\r\n${body}`;
const small = 'GET /api/orders?x=1 HTTP/1.1\r\nHost: shop.example.com\r\n\r\n';
const browser = `${small.slice(0, -2)}${[
  'Connection: keep-alive',
  'Cache-Control: max-age=0',
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'Accept-Encoding: gzip, deflate, br, zstd',
  'Accept-Language: en-US,en;q=0.9',
  'Cookie: session=abcdef0123456789; theme=dark',
  'Sec-Fetch-Site: same-origin',
  'Sec-Fetch-Mode: navigate',
  'Sec-Fetch-Dest: document',
  'Upgrade-Insecure-Requests: 1',
].join('\r\n')}\r\n\r\n`;

/** All connections read into one buffer, as on the fast wire. */
const bytes = Buffer.allocUnsafeSlow(64 * 1024);
const ANSWER_AT = 32 * 1024;
bytes.write(answer, ANSWER_AT, 'latin1');

const deadlines = new Deadlines();
const options = serverOptions(deadlines, { maxRequestsPerConnection: Number.POSITIVE_INFINITY });

const ignored: ClientHandler = { onRequestData() {}, onRequestEnd() {}, onRequestError() {}, onClientGone() {}, onClientWritable() {} };

function answered(exchange: Exchange): ClientHandler {
  const fields = new Fields();
  fields.append('Content-Type', 'application/json');
  exchange.stream.respondText(200, fields, body);
  return ignored;
}

const backend = new Sink();
const wire: Wire = {
  name: 'stream',
  connect({ handler }) {
    backend.handler = handler;
    return backend;
  },
  listen() {
    throw new Error('nothing listens here');
  },
};
const client = new ClientConnection(wire, deadlines, { address: '127.0.0.1', port: 80 }, 1000, { onReusable() {}, onGone() {} });
backend.handler.onConnect?.();

class Relayed implements ClientHandler, UpstreamHandler {
  readonly #exchange: Exchange;
  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    const { method, path, query, requestFields, stream } = exchange;
    requestFields.set('X-Forwarded-For', exchange.peerAddress);
    client.request({ method, target: path + query, fields: requestFields, body: stream.requestBody }, this);
  }
  onResponse(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, stable: boolean, last: boolean): void {
    this.#exchange.stream.respond(status, fields, length, first, start, end, stable, last);
  }
  onRequestData(): void {}
  onRequestEnd(): void {}
  onRequestError(): void {}
  onClientGone(): void {}
  onClientWritable(): void {}
  onInformational(): void {}
  onResponseData(): void {}
  onResponseEnd(): void {}
  onUpstreamWritable(): void {}
  onUpstreamFailure(): void {
    throw new Error('the answer of the bench itself was refused');
  }
}

function measure(name: string, request: string, onExchange: (exchange: Exchange) => ClientHandler, relay: boolean): void {
  const connection = new Sink();
  new ServerConnection(connection, options, { onExchange, onRefused() {} });
  bytes.write(request, 0, 'latin1');
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const started = process.hrtime.bigint();
    for (let count = 0; count < exchanges; count++) {
      connection.handler.onData(bytes, 0, request.length);
      if (relay) backend.handler.onData(bytes, ANSWER_AT, ANSWER_AT + answer.length);
    }
    best = Math.min(best, Number(process.hrtime.bigint() - started) / exchanges);
  }
  if (connection.bytesWritten < exchanges * ROUNDS * body.length) throw new Error(`${name}: not every request was answered`);
  console.log(`${name.padEnd(34)} ${best.toFixed(0).padStart(6)} ns`);
}

measure('answered, 1 field', small, answered, false);
measure('answered, 12 fields', browser, answered, false);
measure('relayed, 1 field', small, (exchange) => new Relayed(exchange), true);
measure('relayed, 12 fields', browser, (exchange) => new Relayed(exchange), true);
deadlines.close();
