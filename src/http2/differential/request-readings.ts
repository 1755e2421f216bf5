/** What this codec and nghttp2, by way of `node:http2`, make of the same bytes of a client. */
import { createServer, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, connect } from 'node:net';
import { FieldKind, HOP_BY_HOP, kindOfName, maskOf } from '../../exchange/field-names.ts';
import { Fields } from '../../exchange/fields.ts';
import { normalizePath } from '../../exchange/path.ts';
import { allowedTrailers } from '../../http1/trailers.ts';
import { PREFACE, pingFrame, settingsFrame } from '../frames.ts';
import { RawClient, type Seen } from '../raw-client.fixture.ts';
import type { ServerStream } from '../server-stream.ts';

/** A request that was taken. */
export interface Reading {
  readonly streamId: number;
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  /** Those that are passed on, `name: value` each. */
  readonly fields: readonly string[];
  body: string;
  trailers: readonly string[];
  ended: boolean;
  /** With `Content-Length: 0`, or as a request for a tunnel, it is complete for this codec whether or not the stream has ended. */
  readonly endsByLength: boolean;
}

export interface Outcome {
  readonly requests: readonly Reading[];
  /** The connection went on to the end of the bytes. */
  readonly alive: boolean;
  /** For a look at how a split changes things: every reset and GOAWAY. */
  readonly rest: readonly string[];
}

/** The PING at the end, by whose answer everything was read. */
const LAST_PING = 'lastping';
const BEGINNING = PREFACE + settingsFrame();

const DROPPED = HOP_BY_HOP | maskOf(FieldKind.ContentLength, FieldKind.Expect, FieldKind.Host);

function isPassedOn(name: string): boolean {
  // That of a request for a tunnel is our own.
  return !name.startsWith(':') && !name.includes('_') && name !== 'sec-websocket-key' && (DROPPED & (1 << kindOfName(name))) === 0;
}

function linesOf(fields: Fields): string[] {
  const lines: string[] = [];
  fields.forEach((name, value) => {
    if (isPassedOn(name)) lines.push(`${name}: ${value}`);
  });
  return lines;
}

/**
 * @param cuts where the bytes are cut into reads
 * @param answers whether requests are answered, as soon as they are there: then a stream is over, and what may still come on it depends on the reads
 */
export async function readOurs(frames: string, cuts: readonly number[], answers: boolean): Promise<Outcome> {
  const taken: { readonly reading: Reading; readonly seen: Seen }[] = [];
  const client = new RawClient({
    beginning: BEGINNING,
    sink: (seen) => {
      const { exchange, stream } = seen;
      const reading: Reading = {
        streamId: (stream as ServerStream).id,
        method: exchange.upgrade === '' ? exchange.method : 'CONNECT',
        target: exchange.path + exchange.query,
        authority: exchange.authority,
        fields: linesOf(exchange.requestFields),
        body: '',
        trailers: [],
        ended: false,
        endsByLength: stream.requestBody === 0 || exchange.upgrade !== '',
      };
      taken.push({ reading, seen });
      const end = (): void => {
        reading.body = seen.body;
        reading.trailers = seen.trailers?.split('\r\n').slice(0, -1) ?? [];
        reading.ended = true;
        if (answers) stream.respondText(200, new Fields(), 'ok');
      };
      if (seen.ended) end();
      else seen.onEnded = end;
      stream.resumeRequestBody();
    },
  });
  let from = 0;
  for (const cut of [...cuts, frames.length]) {
    if (cut > from) client.send(frames.slice(from, cut));
    from = Math.max(from, cut);
  }
  client.send(pingFrame(LAST_PING, false));
  await client.settle();
  const resets = [...client.answers].filter(([, { reset }]) => reset !== undefined).map(([id, { reset }]) => `reset ${id} ${reset}`);
  // One that was reset has begun before, or has not, as the bytes were split.
  const isOver = ({ gone, error }: Seen): boolean => gone > 0 || error !== '';
  const told = taken.filter(({ seen }) => isOver(seen)).map(({ seen }) => (seen.error === '' ? 'client_gone' : seen.error.replace(/^\d+ /, '')));
  const reasons = [...told, ...client.refusals.map(({ reason }) => reason)].sort();
  const requests = taken.filter(({ seen }) => !isOver(seen)).map(({ reading }) => reading);
  const rest = [...resets.sort(), ...client.goAways.map(({ last, code }) => `goaway ${last} ${code}`), ...reasons];
  client.deadlines.close();
  return { requests, alive: client.goAways.length === 0, rest };
}

/** Path and query as this codec gives them on: dot segments, which damage may make, are resolved. */
function normalized(target: string): string {
  const at = target.indexOf('?');
  const path = at < 0 ? target : target.slice(0, at);
  return (normalizePath(path) ?? path) + target.slice(path.length);
}

/** So many turns of the event loop, each of which reads what has come. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** node:http2 as the reference. */
export class ReferenceHttp2 {
  readonly #server: Http2Server;
  #requests: Reading[] = [];
  #sessions = new Set<ServerHttp2Session>();

  constructor() {
    this.#server = createServer({ settings: { maxConcurrentStreams: 100, enableConnectProtocol: true } });
    this.#server.on('session', (session) => {
      this.#sessions.add(session);
      session.on('error', () => {});
      session.on('close', () => this.#sessions.delete(session));
    });
    this.#server.on('sessionError', () => {});
    this.#server.on('stream', (stream, headers, _flags, raw) => {
      const list = raw as unknown as readonly string[];
      const fields: string[] = [];
      const cookies: string[] = [];
      for (let index = 0; index < list.length; index += 2) {
        const name = list[index] as string;
        if (name === 'cookie') cookies.push(list[index + 1] as string);
        else if (isPassedOn(name)) fields.push(`${name}: ${list[index + 1]}`);
      }
      if (cookies.length > 0) fields.push(`cookie: ${cookies.join('; ')}`);
      const reading: Reading = {
        streamId: stream.id ?? 0,
        method: String(headers[':method']),
        target: normalized(String(headers[':path'])),
        authority: String(headers[':authority'] ?? headers.host),
        fields,
        body: '',
        trailers: [],
        ended: false,
        endsByLength: false,
      };
      this.#requests.push(reading);
      stream.on('error', () => {});
      stream.on('data', (chunk: Buffer) => {
        reading.body += chunk.toString('latin1');
      });
      stream.on('trailers', (_trailers, _trailerFlags, rawTrailers) => {
        const trailers = rawTrailers as unknown as readonly string[];
        const pairs = trailers.flatMap((name, index) => (index % 2 === 0 && isPassedOn(name) ? [[name, trailers[index + 1] as string] as const] : []));
        reading.trailers = linesOf(allowedTrailers(Fields.of(pairs)) ?? new Fields());
      });
      stream.on('end', () => {
        reading.ended = true;
        // Closed and not yet destroyed is one that was reset meanwhile.
        if (!stream.destroyed && !stream.closed) (stream as ServerHttp2Stream).respond({ ':status': 200 }, { endStream: true });
      });
    });
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  async close(): Promise<void> {
    for (const session of this.#sessions) session.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async read(frames: string): Promise<Outcome> {
    this.#requests = [];
    const { port } = this.#server.address() as AddressInfo;
    const socket = connect(port, '127.0.0.1');
    let received = '';
    const alive = await new Promise<boolean>((resolve) => {
      socket.on('error', () => {});
      socket.on('close', () => resolve(false));
      socket.on('data', (chunk: Buffer) => {
        received += chunk.toString('latin1');
        if (received.includes(`\x06\x01\0\0\0\0${LAST_PING}`)) resolve(true);
      });
      socket.write(Buffer.from(BEGINNING + frames + pingFrame(LAST_PING, false), 'latin1'));
      // A frame whose length eats the PING at the end is never whole. That nothing came for a while says so only once all that is
      // there has been read: after a few turns, for both ends are of this process.
      socket.setTimeout(100, () => void turns(100).then(() => resolve(false)));
    });
    // Bodies are told a few turns later.
    await turns(4);
    socket.destroy();
    return { requests: this.#requests, alive, rest: [] };
  }
}
