/** What came of requests to a server whose bytes are given: as our client role sees it, and as nghttp2, the one in Node, does. */
import { type ClientHttp2Stream, connect, constants, type IncomingHttpHeaders } from 'node:http2';
import { Duplex } from 'node:stream';
import type { Answer as Try } from '../../http1/answer.fixture.ts';
import { settled } from '../../http1/memory-wire.fixture.ts';
import { clientBench } from '../client.fixture.ts';
import { FrameReader, Read } from '../frame-reader.ts';
import { FRAME_HEADER, FrameType, PREFACE } from '../frames.ts';
import type { Answers } from './answers.ts';

const HEARD = Buffer.from('heard');

/** What came of one request. */
export interface Read1 {
  status: number;
  /** `name: value`, in order. */
  fields: string[];
  body: string;
  trailers: string[];
  informed: number[];
  /** The answer came to its end. */
  complete: boolean;
  /** '' where nothing was found wrong. */
  failure: string;
}

function lines(text: string | undefined): string[] {
  return (text ?? '').split('\r\n').filter((line) => line !== '');
}

/** @param parts what the server sends, read by read */
export async function readOurs({ methods }: Answers, parts: readonly string[]): Promise<Read1[]> {
  const { connection, deadlines, send, ask } = clientBench(true, false);
  const tries: Try[] = methods.map((method) => {
    if (method !== 'CONNECT') return send(method).answer;
    // It says something to each thing that it hears. Its end would close the stream, on which a backend that goes on is ignored.
    const { answer, stream } = ask();
    answer.onBytes = () => void stream.writeBody(HEARD, 0, HEARD.length, true);
    return answer;
  });
  for (const part of parts) {
    if (part !== '') connection.send(part);
    await settled();
  }
  connection.sendEnd();
  await settled();
  deadlines.close();
  return tries.map((one) => ({
    status: one.status,
    fields: lines(one.fields),
    body: one.body,
    trailers: lines(one.trailers),
    informed: one.informed.map((line) => Number(line.slice(0, 3))),
    complete: one.ended,
    failure: one.failure,
  }));
}

/** A socket whose other end is given as text. */
class Server extends Duplex {
  readonly #reader = new FrameReader();
  #skip = PREFACE.length;
  #heads = 0;
  #waiting: { readonly count: number; readonly resolve: () => void } | undefined = undefined;

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: unknown, done: () => void): void {
    const skipped = Math.min(this.#skip, chunk.length);
    this.#skip -= skipped;
    for (let position = skipped, result: number = Read.Frame; result !== Read.More && result !== Read.Bad; position = this.#reader.position) {
      result = this.#reader.next(chunk, position, chunk.length);
      if (result === Read.Frame && this.#reader.type === FrameType.Headers) this.#heads++;
    }
    if (this.#waiting !== undefined && this.#heads >= this.#waiting.count) this.#waiting.resolve();
    done();
  }

  /** Until so many requests have come. */
  requests(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting = { count, resolve };
      if (this.#heads >= count) resolve();
    });
  }
}

function pairsOf(raw: readonly string[] | undefined, headers: IncomingHttpHeaders): string[] {
  if (raw === undefined) return Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return Array.from({ length: raw.length / 2 }, (_, index) => `${raw[index * 2]}: ${raw[index * 2 + 1]}`).filter((line) => !line.startsWith(':'));
}

/** The bytes frame by frame, by the lengths that they have now: damage may have joined two, or cut one. */
function framesOf(text: string): string[] {
  const frames: string[] = [];
  for (let at = 0; at < text.length; ) {
    const length = (text.charCodeAt(at) << 16) | (text.charCodeAt(at + 1) << 8) | text.charCodeAt(at + 2);
    const end = Math.min(text.length, at + FRAME_HEADER + length);
    frames.push(text.slice(at, end));
    at = end;
  }
  return frames;
}

/** nghttp2 gets the server's frames one by one, so that it has told of each before the next one comes. */
export async function readReference({ methods, pieces }: Answers): Promise<Read1[]> {
  const server = new Server();
  const session = connect('http://a', { createConnection: () => server, settings: { enablePush: false } });
  session.on('error', () => {});
  server.on('error', () => {});
  const seen = methods.map((method) => {
    const head = { ':method': method, ':path': '/x', ':authority': 'a' };
    return read(method === 'CONNECT' ? session.request({ ...head, ':protocol': 'websocket' }, { endStream: false }) : session.request(head));
  });
  await server.requests(methods.length);
  for (const piece of framesOf(pieces.join(''))) {
    if (server.destroyed) break;
    server.push(Buffer.from(piece, 'latin1'));
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
  if (!server.destroyed) server.push(null);
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
  session.destroy();
  server.destroy();
  return seen;
}

function read(stream: ClientHttp2Stream): Read1 {
  const seen: Read1 = { status: 0, fields: [], body: '', trailers: [], informed: [], complete: false, failure: '' };
  stream.on('error', (error) => {
    seen.failure = error.message;
  });
  stream.on('aborted', () => {
    seen.failure = 'aborted';
  });
  stream.on('headers', (headers) => seen.informed.push(Number(headers[constants.HTTP2_HEADER_STATUS])));
  stream.on('response', (headers, _flags, raw?: string[]) => {
    seen.status = Number(headers[constants.HTTP2_HEADER_STATUS]);
    seen.fields = pairsOf(raw, headers);
  });
  stream.on('data', (chunk: Buffer) => {
    seen.body += chunk.toString('latin1');
  });
  stream.on('trailers', (headers, _flags, raw?: string[]) => {
    seen.trailers = pairsOf(raw, headers);
  });
  stream.on('end', () => {
    seen.complete = seen.failure === '' && seen.status !== 0;
  });
  return seen;
}
