/** Clients of HTTP/2 and of gRPC: several requests at once on a connection, and a new connection after a GOAWAY. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type OutgoingHttpHeaders } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lifetime } from '../../test/gateway/lifetime.ts';
import { ClientLoad } from './client-load.ts';

/** Connections, and requests at once on each of them. */
const CONNECTIONS = 3;
const AT_ONCE = 3;
/** Milliseconds. */
const REST = 20;
const PATIENCE = 30_000;

/** What came of one request. */
interface Ended {
  readonly status: number;
  readonly body: Buffer;
  readonly trailers: OutgoingHttpHeaders;
  /** Code of the reset that ended it; 0: none. */
  readonly code: number;
  readonly error: string;
}

abstract class Http2ClientLoad extends ClientLoad {
  readonly #url: string;
  readonly #host: string;
  readonly #sessions: (ClientHttp2Session | undefined)[] = [];
  /** Connections that ended with a GOAWAY. */
  goAways = 0;

  /** @param url `https:` by ALPN, `http:` by prior knowledge @param host for `:authority`, and as server name */
  constructor(url: string, host: string) {
    super();
    this.#url = url;
    this.#host = host;
  }

  start(lifetime: Lifetime): this {
    this.begin(lifetime, CONNECTIONS * AT_ONCE);
    return this;
  }

  /** One request, from its start to its end. */
  protected abstract ask(index: number): Promise<void>;

  protected async runClient(index: number): Promise<void> {
    for (; !this.isStopping; await sleep(REST)) await this.ask(index);
    const session = this.#sessions[index % CONNECTIONS];
    if (session !== undefined && !session.destroyed) session.close();
  }

  /** One request; again when the gateway says that it has not looked at it (RFC 9113 sections 6.8 and 8.7). @param write its body, which it ends */
  protected async request(index: number, fields: OutgoingHttpHeaders, write?: (stream: ClientHttp2Stream) => void): Promise<Ended> {
    for (;;) {
      const ended = await this.#requestOnce(index, fields, write);
      if (ended.code !== constants.NGHTTP2_REFUSED_STREAM || ended.status !== 0) return ended;
    }
  }

  async #requestOnce(index: number, fields: OutgoingHttpHeaders, write: ((stream: ClientHttp2Stream) => void) | undefined): Promise<Ended> {
    const stream = this.#session(index % CONNECTIONS).request({ ':authority': this.#host, ...fields }, { endStream: write === undefined });
    let [status, error] = [0, ''];
    let trailers: OutgoingHttpHeaders = {};
    const chunks: Buffer[] = [];
    stream.setTimeout(PATIENCE, () => stream.close(constants.NGHTTP2_CANCEL));
    stream.on('response', (found) => {
      status = Number(found[':status']);
    });
    stream.on('trailers', (found) => {
      trailers = found;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', (found) => {
      error = found.message;
    });
    write?.(stream);
    await new Promise<void>((resolve) => stream.on('close', resolve));
    return { status, body: Buffer.concat(chunks), trailers, code: stream.rstCode ?? 0, error };
  }

  #session(slot: number): ClientHttp2Session {
    const present = this.#sessions[slot];
    if (present !== undefined && !present.closed && !present.destroyed) return present;
    const session = connect(this.#url, { servername: this.#host, rejectUnauthorized: false });
    session.on('goaway', () => this.goAways++);
    // Each stream tells of it, too.
    session.on('error', () => {});
    this.#sessions[slot] = session;
    return session;
  }
}

export class Http2Load extends Http2ClientLoad {
  protected async ask(index: number): Promise<void> {
    const { status, body, code, error } = await this.request(index, { ':path': '/' });
    if (status === 200 && code === 0 && error === '' && body.length > 0) this.succeed();
    else this.fail(`HTTP/2 ${status} code ${code} ${error} after ${body.length} bytes`);
  }
}

/** A message with its prefix: not compressed, its length, its bytes. */
function message(text: string): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(text.length, 1);
  return Buffer.concat([prefix, Buffer.from(text)]);
}

/** Messages of a call that streams, and milliseconds between two of them. */
const MESSAGES = 10;
const PAUSE = 50;

/** Unary calls, and every third client makes calls of several messages each way. The service echoes. */
export class GrpcLoad extends Http2ClientLoad {
  protected async ask(index: number): Promise<void> {
    const messages = Array.from({ length: index % 3 === 0 ? MESSAGES : 1 }, (_, count) => message(`hello ${count}`));
    const fields = { ':method': 'POST', ':path': '/test.Echo/Say', 'content-type': 'application/grpc', te: 'trailers' };
    const { status, body, trailers, code, error } = await this.request(index, fields, (stream) => void writeMessages(stream, messages));
    if (status === 200 && code === 0 && trailers['grpc-status'] === '0' && body.equals(Buffer.concat(messages))) this.succeed();
    else this.fail(`gRPC ${status} code ${code} grpc-status ${trailers['grpc-status']} ${error} after ${body.length} bytes`);
  }
}

async function writeMessages(stream: ClientHttp2Stream, messages: readonly Buffer[]): Promise<void> {
  for (const [index, one] of messages.entries()) {
    if (index > 0) await sleep(PAUSE);
    if (stream.destroyed) return;
    stream.write(one);
  }
  stream.end();
}
