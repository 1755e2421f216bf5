/** What the tests of the client's role stand on: a backend that is made of calls. */
import assert from 'node:assert/strict';
import { Deadlines } from '../exchange/deadlines.ts';
import { Fields } from '../exchange/fields.ts';
import { type BodyLength, NO_BODY, type UpstreamHandler, type UpstreamRequest, type UpstreamStream } from '../exchange/streams.ts';
import { Answer, TunnelAnswer } from '../http1/answer.fixture.ts';
import { type MemoryConnection, MemoryWire, settled } from '../http1/memory-wire.fixture.ts';
import { ClientConnection, type ClientConnectionOwner } from './client-connection.ts';
import { FrameReader, Read } from './frame-reader.ts';
import { Flag, FrameType, frameHeader, headersFrames, PREFACE, readUint32, settingsFrame } from './frames.ts';
import { HpackDecoder } from './hpack/decoder.ts';
import { HpackEncoder } from './hpack/encoder.ts';
import { decodePairs, type Pair } from './hpack/hpack.fixture.ts';

const TYPES = Object.keys(FrameType);

/** One frame that the backend has got, as a line: type, stream, and what is in it. */
export type Line = string;

/** The backend's end of a connection in memory. */
export class FakeBackend {
  readonly connection: MemoryConnection;
  readonly #reader = new FrameReader();
  readonly #decoder = new HpackDecoder();
  readonly #encoder = new HpackEncoder();
  #read = PREFACE.length;

  constructor(connection: MemoryConnection) {
    this.connection = connection;
  }

  /** The frames since the last call. DATA of one call in one line. */
  lines(): Line[] {
    const lines: Line[] = [];
    const bytes = Buffer.from(this.connection.received, 'latin1');
    const reader = this.#reader;
    let data = '';
    for (let result: number = Read.Frame; result !== Read.More || this.#read < bytes.length; ) {
      // An empty frame has no byte of its own behind its header.
      if (this.#read >= bytes.length && result !== Read.DataHeader) break;
      result = reader.next(bytes, this.#read, bytes.length);
      this.#read = reader.position;
      assert.notEqual(result, Read.Bad);
      const payload = reader.payload.subarray(reader.payloadStart, reader.payloadEnd);
      const end = (reader.flags & Flag.EndStream) !== 0 ? ' END' : '';
      if (result === Read.DataHeader) data = '';
      if (result === Read.Data) {
        data += payload.toString('latin1');
        if (reader.frameEnded) lines.push(`Data ${reader.streamId} ${data.length > 40 ? data.length : data}${end}`);
      } else if (result === Read.Frame) {
        lines.push(`${TYPES[reader.type]} ${reader.streamId}${this.#describe(payload, end)}`);
      }
    }
    return lines;
  }

  #describe(payload: Buffer, end: string): string {
    const { type, flags } = this.#reader;
    if (type === FrameType.Headers) {
      assert.ok((flags & Flag.EndHeaders) !== 0);
      const pairs = decodePairs(this.#decoder, Buffer.from(payload)) as Pair[];
      return `${pairs.map(([name, value]) => ` ${name}=${value}`).join('')}${end}`;
    }
    if (type === FrameType.Settings) return (flags & Flag.Ack) !== 0 ? ' ack' : '';
    if (type === FrameType.Ping) return ` ${payload.toString('latin1')}${(flags & Flag.Ack) !== 0 ? ' ack' : ''}`;
    if (type === FrameType.RstStream || type === FrameType.WindowUpdate) return ` ${readUint32(payload, 0)}`;
    if (type === FrameType.GoAway) return ` ${readUint32(payload, 0)} ${readUint32(payload, 4)}`;
    return '';
  }

  /** @param settings identifier and value in turns */
  settings(...settings: readonly number[]): void {
    this.send(settingsFrame(...settings));
  }

  head(stream: number, pairs: readonly Pair[], end = false): string {
    this.#encoder.begin();
    for (const [name, value] of pairs) this.#encoder.pair(name, value);
    return headersFrames(stream, this.#encoder.finish(), end, 16_384);
  }

  data(stream: number, body: string, end = false): string {
    return frameHeader(body.length, FrameType.Data, end ? Flag.EndStream : 0, stream) + body;
  }

  /** An answer of status 200. */
  ok(stream: number, body: string): string {
    return this.head(stream, [[':status', '200']]) + this.data(stream, body, true);
  }

  send(...frames: readonly string[]): void {
    this.connection.send(frames.join(''));
  }
}

/** Of a handshake (RFC 6455 section 1.3). */
export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

/** A connection that is up, its settings exchanged, unless it is said otherwise. */
export function clientBench(up = true, settled = up) {
  const wire = new MemoryWire();
  const deadlines = new Deadlines(1_000_000);
  deadlines.sweep(1000);
  const counts = { reusable: 0, room: 0, full: 0, retired: 0, gone: 0 };
  /** Requests for tunnels that go elsewhere, others that found no room, and where to. */
  const refused: { request: UpstreamRequest; handler: UpstreamHandler }[] = [];
  const crowded: { request: UpstreamRequest; handler: UpstreamHandler }[] = [];
  const elsewhere: { stream: UpstreamStream | undefined } = { stream: undefined };
  const owner: ClientConnectionOwner = {
    onReusable: () => counts.reusable++,
    onRoom: () => counts.room++,
    onFull: () => counts.full++,
    onRetired: () => counts.retired++,
    onGone: () => counts.gone++,
    onTunnelRefused: (request, handler) => {
      refused.push({ request, handler });
      return elsewhere.stream;
    },
    onNoRoom: (request, handler) => {
      if (elsewhere.stream !== undefined) crowded.push({ request, handler });
      return elsewhere.stream;
    },
    streamsAtOnce: Number.POSITIVE_INFINITY,
  };
  const client = new ClientConnection((handler) => wire.connect({ host: '192.0.2.9', port: 8080, handler }), deadlines, 'http', 5_000, owner);
  const connection = wire.connections[0] as MemoryConnection;
  const backend = new FakeBackend(connection);
  const send = (method = 'GET', body: BodyLength = NO_BODY, fields: readonly Pair[] = [['Host', 'a']]) => {
    const answer = new Answer();
    const stream: UpstreamStream = client.request({ method, target: '/x', fields: Fields.of(fields), body }, answer);
    return { answer, stream };
  };
  /** A request for WebSocket. */
  const ask = () => {
    const answer = new TunnelAnswer();
    const fields = Fields.of([
      ['Host', 'a'],
      ['Sec-WebSocket-Key', KEY],
      ['Sec-WebSocket-Version', '13'],
      ['Sec-WebSocket-Protocol', 'chat'],
    ]);
    const stream: UpstreamStream = client.request({ method: 'GET', target: '/chat', fields, body: NO_BODY, upgrade: 'websocket' }, answer);
    return { answer, stream, fields };
  };
  if (up) connection.handler.onConnect?.();
  if (settled) {
    backend.settings();
    connection.received = '';
    // Its own frames are of no interest to most.
    connection.received = PREFACE;
  }
  return { client, connection, backend, counts, deadlines, owner, send, ask, refused, crowded, elsewhere };
}

/** A bench whose own settings have gone out and been acknowledged. */
export async function ready() {
  const made = clientBench();
  await settled();
  made.backend.lines();
  return made;
}
