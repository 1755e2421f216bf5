/** A raw backend that records every byte it gets, connection by connection, and answers as the test says. */

import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { Changes } from './changes.ts';
import { endWith, type Lifetime } from './lifetime.ts';

export interface RecordedRequest {
  /** Head up to and without the empty line. */
  readonly head: string;
  readonly body: string;
  readonly connection: number;
}

/** @returns what to write; undefined: nothing */
export type Responder = (request: RecordedRequest, socket: Socket) => string | Buffer | undefined;

export const OK: Responder = () => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

export function answering(body: string): Responder {
  return () => `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\nContent-Type: text/plain\r\n\r\n${body}`;
}

export class Backend {
  readonly requests: RecordedRequest[] = [];
  /** Bytes of each connection, as they came. */
  readonly streams: string[] = [];
  readonly sockets = new Set<Socket>();
  respond: Responder;
  connections = 0;
  readonly #server: Server;
  readonly #changes = new Changes();

  private constructor(respond: Responder) {
    this.respond = respond;
    this.#server = createServer({ noDelay: true, allowHalfOpen: false }, (socket) => this.#serve(socket));
  }

  static async start(lifetime: Lifetime, respond: Responder = OK): Promise<Backend> {
    const backend = new Backend(respond);
    await new Promise<void>((resolve) => backend.#server.listen(0, '127.0.0.1', resolve));
    endWith(lifetime, () => backend.stop());
    return backend;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Waits until that many whole requests have come. */
  async untilRequests(count: number): Promise<void> {
    await this.until(() => this.requests.length >= count);
  }

  /** Waits until the state of connections and bytes is as wanted. */
  async until(satisfied: () => boolean): Promise<void> {
    await this.#changes.until(satisfied, () => `${this.requests.length} requests on ${this.connections} connections, of which ${this.sockets.size} are open`);
  }

  /** Its port refuses connections from then on. */
  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(socket: Socket): void {
    const connection = this.connections++;
    this.streams[connection] = '';
    this.sockets.add(socket);
    let held = '';
    socket.on('data', (chunk) => {
      const text = chunk.toString('latin1');
      this.streams[connection] += text;
      held += text;
      for (let taken = takeRequest(held); taken !== undefined; taken = takeRequest(held)) {
        held = held.slice(taken.length);
        const request = { head: taken.head, body: taken.body, connection };
        this.requests.push(request);
        const answer = this.respond(request, socket);
        if (answer !== undefined) socket.write(answer);
      }
      this.#changes.wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.sockets.delete(socket);
      this.#changes.wake();
    });
  }
}

/** The first whole request of some text: what a backend that believes Content-Length and chunked framing sees. */
function takeRequest(text: string): { head: string; body: string; length: number } | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const head = text.slice(0, end);
  const start = end + 4;
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  if (length !== undefined) {
    const stop = start + Number(length);
    return text.length < stop ? undefined : { head, body: text.slice(start, stop), length: stop };
  }
  if (!/^transfer-encoding: *chunked/im.test(head)) return { head, body: '', length: start };
  let body = '';
  for (let at = start; ; ) {
    const line = text.indexOf('\r\n', at);
    if (line < 0) return undefined;
    const size = Number.parseInt(text.slice(at, line), 16);
    if (size === 0) {
      const last = text.indexOf('\r\n\r\n', line);
      return last < 0 ? undefined : { head, body, length: last + 4 };
    }
    if (text.length < line + 2 + size + 2) return undefined;
    body += text.slice(line + 2, line + 2 + size);
    at = line + 2 + size + 2;
  }
}
