/** A client of frames for tests of the server's side, over a wire without sockets; and a sink that lets the test answer by hand. */
import assert from 'node:assert/strict';
import { Deadlines } from '../exchange/deadlines.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { Fields } from '../exchange/fields.ts';
import type { ClientHandler, ClientStream, ExchangeSink, Refusal } from '../exchange/streams.ts';
import { MemoryConnection, settled } from '../http1/memory-wire.fixture.ts';
import { serverOptions } from '../http1/server-options.fixture.ts';
import type { ServerOptions } from '../http1/server-options.ts';
import { BlockAssembly } from './block-assembly.ts';
import { FrameReader, Read } from './frame-reader.ts';
import { Flag, FrameType, frameHeader, PREFACE, readUint32, SETTINGS_ACK, settingsFrame } from './frames.ts';
import { HpackDecoder } from './hpack/decoder.ts';
import { HeaderBlock } from './hpack/header-block.ts';
import { ServerConnection } from './server-connection.ts';

export type Pair = readonly [name: string, value: string];

/** One exchange as the sink sees it. */
export class Seen implements ClientHandler {
  readonly exchange: Exchange;
  body = '';
  ended: boolean;
  trailers: string | undefined = undefined;
  error = '';
  gone = 0;
  writable = 0;
  onEnded: (() => void) | undefined = undefined;

  constructor(exchange: Exchange) {
    this.exchange = exchange;
    this.ended = exchange.stream.requestEnded;
  }

  get stream(): ClientStream {
    return this.exchange.stream;
  }

  text(status: number, body: string, fields: readonly Pair[] = []): void {
    this.stream.respondText(status, Fields.of(fields), body);
  }

  onRequestData(bytes: Buffer, start: number, end: number): void {
    assert.ok(!this.ended && this.error === '' && this.gone === 0, 'data after the end');
    this.body += bytes.toString('latin1', start, end);
  }
  onRequestEnd(trailers: Fields | undefined): void {
    assert.ok(!this.ended, 'two ends');
    this.ended = true;
    this.trailers = trailers?.serialize();
    this.onEnded?.();
  }
  onRequestError(status: number, reason: string): void {
    assert.ok(this.error === '' && this.gone === 0, 'two ends');
    this.error = `${status} ${reason}`;
  }
  onClientGone(): void {
    assert.ok(this.error === '', 'two ends');
    this.gone++;
  }
  onClientWritable(): void {
    this.writable++;
  }
}

/** `name: value` as HPACK literals that are neither coded nor indexed. */
export function block(pairs: readonly Pair[]): string {
  return pairs.map(([name, value]) => `\0${string(name)}${string(value)}`).join('');
}

function string(text: string): string {
  if (text.length < 127) return String.fromCharCode(text.length) + text;
  let left = text.length - 127;
  let length = '\x7f';
  for (; left >= 128; left >>>= 7) length += String.fromCharCode((left & 0x7f) | 0x80);
  return length + String.fromCharCode(left) + text;
}

export function frame(type: number, flags: number, streamId: number, payload = ''): string {
  return frameHeader(payload.length, type, flags, streamId) + payload;
}

export const GET: readonly Pair[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'a.test'],
];
export const POST: readonly Pair[] = [[':method', 'POST'], ...GET.slice(1)];

/** @param end whether the stream ends with it */
export function headers(streamId: number, pairs: readonly Pair[], end = true): string {
  return frame(FrameType.Headers, Flag.EndHeaders | (end ? Flag.EndStream : 0), streamId, block(pairs));
}

export function data(streamId: number, text: string, end = false): string {
  return frame(FrameType.Data, end ? Flag.EndStream : 0, streamId, text);
}

/** What the client has got on one stream. */
export interface Answer {
  readonly informational: Record<string, string>[];
  head: Record<string, string> | undefined;
  body: string;
  trailers: Record<string, string> | undefined;
  ended: boolean;
  /** Code of an RST_STREAM. */
  reset: number | undefined;
}

export interface BenchOptions {
  readonly sink?: (seen: Seen) => void;
  readonly settings?: readonly number[];
  readonly server?: Partial<ServerOptions>;
  /** What the client sends first, in place of preface and SETTINGS. */
  readonly beginning?: string;
}

export class RawClient {
  readonly connection = new MemoryConnection();
  readonly seen: Seen[] = [];
  readonly refusals: Refusal[] = [];
  readonly deadlines = new Deadlines(1_000_000);
  readonly server: ServerConnection;
  readonly answers = new Map<number, Answer>();
  /** Everything that is no HEADERS or DATA, as text. */
  readonly frames: string[] = [];
  goAways: { readonly last: number; readonly code: number }[] = [];
  /** Bytes of DATA, padding included. */
  dataBytes = 0;
  closed = 0;
  draining = false;
  #parsed = 0;
  readonly #reader = new FrameReader();
  readonly #decoder = new HpackDecoder();
  readonly #assembly = new BlockAssembly();

  constructor(options: BenchOptions = {}) {
    const sink: ExchangeSink = {
      onExchange: (exchange) => {
        const seen = new Seen(exchange);
        this.seen.push(seen);
        options.sink?.(seen);
        return seen;
      },
      onRefused: (refusal) => void this.refusals.push(refusal),
    };
    const how = serverOptions(this.deadlines, { isDraining: () => this.draining, ...options.server });
    this.server = new ServerConnection(this.connection, how, sink, () => this.closed++);
    this.connection.send(options.beginning ?? PREFACE + settingsFrame(...(options.settings ?? [])) + SETTINGS_ACK);
  }

  send(...frames: readonly string[]): void {
    this.connection.send(frames.join(''));
  }

  /** Lets so many milliseconds pass, as far as the server knows. */
  pass(milliseconds: number): void {
    this.deadlines.sweep(this.deadlines.now + milliseconds);
  }

  answer(streamId: number): Answer {
    let answer = this.answers.get(streamId);
    if (answer === undefined) {
      answer = { informational: [], head: undefined, body: '', trailers: undefined, ended: false, reset: undefined };
      this.answers.set(streamId, answer);
    }
    return answer;
  }

  /** Until everything that was put off has happened; reads what came. */
  async settle(): Promise<void> {
    await settled();
    const bytes = Buffer.from(this.connection.received, 'latin1');
    let position = this.#parsed;
    for (;;) {
      const result = this.#reader.next(bytes, position, bytes.length);
      position = this.#reader.position;
      assert.notEqual(result, Read.Bad, 'the server wrote a bad frame');
      if (result === Read.More) break;
      this.#take(result);
    }
    this.#parsed = position;
  }

  #take(result: Read): void {
    const { type, flags, streamId, payload, payloadStart, payloadEnd, length, frameEnded } = this.#reader;
    if (result === Read.DataHeader) {
      this.dataBytes += length;
    } else if (result === Read.Data) {
      const answer = this.answer(streamId);
      assert.ok(answer.head !== undefined && !answer.ended, 'DATA out of place');
      answer.body += payload.toString('latin1', payloadStart, payloadEnd);
      if (frameEnded && (flags & Flag.EndStream) !== 0) answer.ended = true;
    } else if (type === FrameType.Headers || type === FrameType.Continuation) {
      if (type === FrameType.Headers) this.#assembly.begin(streamId, (flags & Flag.EndStream) !== 0, false);
      const last = (flags & Flag.EndHeaders) !== 0;
      this.#assembly.add(payload, payloadStart, payloadEnd, last);
      if (last) this.#takeHead();
    } else if (type === FrameType.RstStream) {
      this.answer(streamId).reset = readUint32(payload, payloadStart);
    } else if (type === FrameType.GoAway) {
      this.goAways.push({ last: readUint32(payload, payloadStart), code: readUint32(payload, payloadStart + 4) });
    } else {
      this.frames.push(`${type} ${flags} ${streamId} ${payload.toString('hex', payloadStart, payloadEnd)}`);
    }
  }

  #takeHead(): void {
    const assembly = this.#assembly;
    const head = new HeaderBlock({ maxBytes: 1 << 18, maxFields: 1000, dropUnderscores: false });
    head.begin();
    assert.ok(this.#decoder.decode(assembly.bytes, assembly.start, assembly.end, head));
    assert.equal(head.flaw, '', 'the server wrote a malformed head');
    const answer = this.answer(assembly.streamId);
    assert.ok(!answer.ended, 'HEADERS out of place');
    const fields: Record<string, string> = {};
    if (head.status !== '') fields[':status'] = head.status;
    head.fields().forEach((name, value) => {
      assert.equal(name, name.toLowerCase());
      fields[name] = name in fields ? `${fields[name]}, ${value}` : value;
    });
    if (head.status.startsWith('1')) answer.informational.push(fields);
    else if (answer.head === undefined) answer.head = fields;
    else answer.trailers = fields;
    if (assembly.endsStream) answer.ended = true;
    assembly.clear();
  }
}
