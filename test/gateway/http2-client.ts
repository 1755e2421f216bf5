/** Requests over HTTP/2, by Node's own client. */
import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders, type IncomingHttpStatusHeader } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { endWith, type Lifetime } from './lifetime.ts';

export interface Http2Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders & IncomingHttpStatusHeader;
  readonly body: string;
  readonly trailers: IncomingHttpHeaders | undefined;
}

export interface Http2Request {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Buffer;
}

export class Http2Client {
  readonly session: ClientHttp2Session;
  /** Codes of the GOAWAY frames that came. */
  readonly goAways: number[] = [];
  error: Error | undefined;

  /** @param url `http:` by prior knowledge, `https:` without a look at the certificate */
  constructor(lifetime: Lifetime, url: string) {
    this.session = connect(url, { rejectUnauthorized: false });
    this.session.on('goaway', (code) => this.goAways.push(code));
    this.session.on('error', (error) => {
      this.error = error;
    });
    endWith(lifetime, () => this.session.destroy());
  }

  stream(path: string, { method = 'GET', headers = {}, body }: Http2Request = {}): ClientHttp2Stream {
    const stream = this.session.request({ ':method': method, ':path': path, ...headers }, { endStream: body === undefined });
    stream.on('error', () => {});
    return stream;
  }

  /** @throws (rejects) the error of a stream that was reset */
  async send(path: string, request: Http2Request = {}): Promise<Http2Answer> {
    const stream = this.stream(path, request);
    if (request.body !== undefined) stream.end(request.body);
    return answerOf(stream);
  }
}

export async function answerOf(stream: ClientHttp2Stream): Promise<Http2Answer> {
  const chunks: Buffer[] = [];
  let headers: (IncomingHttpHeaders & IncomingHttpStatusHeader) | undefined;
  let trailers: IncomingHttpHeaders | undefined;
  stream.on('response', (found) => {
    headers = found;
  });
  stream.on('trailers', (found) => {
    trailers = found;
  });
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise<void>((resolve, reject) => {
    stream.on('error', reject);
    stream.on('close', () => (headers === undefined ? reject(new Error('no answer')) : resolve()));
  });
  const found = headers as IncomingHttpHeaders & IncomingHttpStatusHeader;
  return { status: Number(found[':status']), headers: found, body: Buffer.concat(chunks).toString('latin1'), trailers };
}

/** Sends bytes on a connection of their own, and gives what comes until the other side closes. @param pieces written one after the other, each in a packet of its own */
export async function exchangeBytes(port: number, pieces: readonly string[], done: (received: string) => boolean): Promise<string> {
  const socket = connectTcp({ host: '127.0.0.1', port, noDelay: true });
  let received = '';
  socket.on('error', () => {});
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
    if (done(received)) socket.destroy();
  });
  await once(socket, 'connect');
  for (const piece of pieces) await new Promise<void>((resolve) => socket.write(Buffer.from(piece, 'latin1'), () => setImmediate(resolve)));
  if (!socket.closed) await once(socket, 'close');
  return received;
}
