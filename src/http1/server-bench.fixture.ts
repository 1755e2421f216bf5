/** An HTTP/1.1 connection of a client in memory, and the exchanges on it, which tests answer by hand. */
import assert from 'node:assert/strict';
import { Deadlines } from '../exchange/deadlines.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { Fields } from '../exchange/fields.ts';
import type { ClientHandler, ExchangeSink, Refusal } from '../exchange/streams.ts';
import { MemoryConnection } from './memory-wire.fixture.ts';
import { ServerConnection, type ServerOptions } from './server-connection.ts';
import { serverOptions } from './server-options.fixture.ts';

/** One exchange as the sink sees it; the test answers it by hand, or `answer` does at its end. */
export class Seen implements ClientHandler {
  readonly exchange: Exchange;
  body = '';
  ended = false;
  trailers: string | undefined = undefined;
  error = '';
  gone = 0;
  writable = 0;
  onEnded: ((seen: Seen) => void) | undefined = undefined;
  onBytes: ((seen: Seen) => void) | undefined = undefined;

  constructor(exchange: Exchange) {
    this.exchange = exchange;
    this.ended = exchange.stream.requestEnded;
  }

  get stream() {
    return this.exchange.stream;
  }

  text(status: number, body: string, fields: readonly (readonly [string, string])[] = []): void {
    this.stream.respondText(status, Fields.of(fields), body);
  }

  onRequestData(bytes: Buffer, start: number, end: number): void {
    assert.ok(!this.ended && this.error === '', 'data after the end');
    this.body += bytes.toString('latin1', start, end);
    this.onBytes?.(this);
  }
  onRequestEnd(trailers: Fields | undefined): void {
    assert.ok(!this.ended, 'two ends');
    this.ended = true;
    this.trailers = trailers?.serialize();
    this.onEnded?.(this);
  }
  onRequestError(status: number, reason: string): void {
    this.error = `${status} ${reason}`;
  }
  onClientGone(): void {
    this.gone++;
  }
  onClientWritable(): void {
    this.writable++;
  }
}

export interface Bench {
  readonly connection: MemoryConnection;
  readonly server: ServerConnection;
  readonly seen: Seen[];
  readonly refused: Refusal[];
  readonly deadlines: Deadlines;
  readonly state: { draining: boolean; closed: number; dropped: number; at: number };
  /** Lets the clock go on. */
  pass(milliseconds: number): void;
  /** What the client has got, dates and ids being stars. */
  output(): string;
}

export function bench(onExchange: (seen: Seen) => void = () => {}, options: Partial<ServerOptions> = {}): Bench {
  const connection = new MemoryConnection();
  const seen: Seen[] = [];
  const refused: Refusal[] = [];
  const deadlines = new Deadlines(1_000_000);
  const state = { draining: false, closed: 0, dropped: 0, at: 1000 };
  deadlines.sweep(state.at);
  const sink: ExchangeSink = {
    onExchange(exchange) {
      const handler = new Seen(exchange);
      seen.push(handler);
      onExchange(handler);
      return handler;
    },
    onRefused: (refusal) => refused.push(refusal),
  };
  const server = new ServerConnection(
    connection,
    serverOptions(deadlines, {
      isDraining: () => state.draining,
      onFieldsDropped: (count) => {
        state.dropped += count;
      },
      ...options,
    }),
    sink,
    () => {
      state.closed++;
    },
  );
  const pass = (milliseconds: number) => {
    state.at += milliseconds;
    deadlines.sweep(state.at);
  };
  const output = () => connection.received.replace(/Date: [^\r]*\r\n/g, '').replace(/[0-9a-f]{32}/g, '*');
  return { connection, server, seen, refused, deadlines, state, pass, output };
}

export const get = (path = '/', ...fields: string[]) => `GET ${path} HTTP/1.1\r\nHost: a\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`;
export const post = (body: string, ...fields: string[]) => `POST / HTTP/1.1\r\nHost: a\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n${body}`;
export const ok = (body: string, ...fields: string[]) =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n${body}`;
export const hello = (seen: Seen) => seen.text(200, 'hello');
/** Reads the body and says what it was. */
export const echo = (seen: Seen) => {
  const answer = () => seen.text(200, `${seen.exchange.method} ${seen.exchange.path} [${seen.body}]`);
  if (seen.ended) answer();
  else {
    seen.onEnded = answer;
    seen.stream.resumeRequestBody();
  }
};
