/** Both ends of WebSocket tunnels, as raw bytes, over HTTP/1.1 and HTTP/2 alike. */
import { connect as connectHttp2, createServer as createHttp2Server, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { Changes } from './changes.ts';
import { endWith, type Lifetime } from './lifetime.ts';
import { accepting, handshake, TunnelBackend } from './tunnel-backend.ts';

export type Version = 'HTTP/1.1' | 'HTTP/2';

/** One end of a tunnel that is open, or of a handshake that was refused. */
export class TunnelEnd {
  readonly path: string;
  /** What the other side has said of itself, by lower-case name; pseudo-header fields with their colon. */
  readonly head: ReadonlyMap<string, string>;
  received = '';
  /** The other side has said its last. */
  ended = false;
  readonly #duplex: Duplex & { close?(code: number): void; resetAndDestroy?(): void };
  readonly #changes = new Changes();

  constructor(duplex: Duplex, path: string, head: ReadonlyMap<string, string>, first = '') {
    this.#duplex = duplex;
    this.path = path;
    this.head = head;
    this.received = first;
    duplex.on('data', (bytes: Buffer) => {
      this.received += bytes.toString('latin1');
      this.#changes.wake();
    });
    duplex.on('error', () => {});
    for (const event of ['end', 'close']) {
      duplex.on(event, () => {
        this.ended = true;
        this.#changes.wake();
      });
    }
  }

  write(text: string): void {
    this.#duplex.write(text, 'latin1');
  }

  /** Half-closes. */
  end(text = ''): void {
    this.#duplex.end(text, 'latin1');
  }

  /** Resets. */
  break(): void {
    if (this.#duplex.close === undefined) this.#duplex.resetAndDestroy?.();
    else this.#duplex.close(8);
  }

  async until(satisfied: (end: TunnelEnd) => boolean): Promise<void> {
    await this.#changes.until(
      () => satisfied(this),
      () => `${this.path}: ${JSON.stringify(this.received.slice(-100))}, ended: ${this.ended}`,
    );
  }

  async untilReceived(text: string): Promise<void> {
    await this.until((end) => end.received.length >= text.length);
  }
}

/** A handshake, once it is answered. */
export async function openTunnel(lifetime: Lifetime, version: Version, port: number, path: string): Promise<TunnelEnd> {
  return version === 'HTTP/2' ? openByHttp2(lifetime, port, path) : openByHttp1(lifetime, port, path);
}

async function openByHttp1(lifetime: Lifetime, port: number, path: string): Promise<TunnelEnd> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  endWith(lifetime, () => socket.destroy());
  socket.write(handshake(path));
  return await new Promise((resolve, reject) => {
    let text = '';
    const onData = (bytes: Buffer): void => {
      text += bytes.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end < 0) return;
      socket.off('data', onData);
      resolve(new TunnelEnd(socket, path, fieldsOf(`:status: ${text.slice(9, 12)}\r\n${text.slice(0, end)}`), text.slice(end + 4)));
    };
    socket.on('data', onData);
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`the connection was closed after ${text}`)));
  });
}

async function openByHttp2(lifetime: Lifetime, port: number, path: string): Promise<TunnelEnd> {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  endWith(lifetime, () => session.destroy());
  return await new Promise((resolve, reject) => {
    session.on('error', reject);
    session.once('remoteSettings', () => {
      const stream = session.request(
        { ':method': 'CONNECT', ':protocol': 'websocket', ':path': path, ':authority': 'a', 'sec-websocket-version': '13' },
        { endStream: false },
      );
      stream.on('error', reject);
      stream.on('response', (head) => {
        resolve(new TunnelEnd(stream, path, new Map(Object.entries(head).map(([name, value]) => [name, String(value)]))));
      });
    });
  });
}

function fieldsOf(text: string): Map<string, string> {
  const lines = [...text.matchAll(/^(:?[^:\r\n]+): *(.*?)\r?$/gm)];
  return new Map(lines.map(([, name, value]) => [(name as string).toLowerCase(), value as string]));
}

/** A backend that takes every handshake, but for paths that end with `refused`. */
export class TunnelServer {
  readonly port: number;
  readonly #ends: TunnelEnd[];
  readonly #changes: Changes;

  private constructor(port: number, ends: TunnelEnd[], changes: Changes) {
    this.port = port;
    this.#ends = ends;
    this.#changes = changes;
  }

  static async start(lifetime: Lifetime, version: Version): Promise<TunnelServer> {
    return version === 'HTTP/2' ? TunnelServer.startHttp2(lifetime) : TunnelServer.#startHttp1(lifetime);
  }

  static async #startHttp1(lifetime: Lifetime): Promise<TunnelServer> {
    const backend = await TunnelBackend.start(lifetime);
    const server = new TunnelServer(backend.port, [], new Changes());
    backend.onHead = ({ socket, head, path }) => {
      if (path.endsWith('refused')) socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
      else socket.write(accepting(head));
      server.#add(new TunnelEnd(socket, path, fieldsOf(head)));
    };
    return server;
  }

  /** @param http2 that it is to run on, with ENABLE_CONNECT_PROTOCOL */
  static async startHttp2(lifetime: Lifetime, http2: Http2Server = createHttp2Server({ settings: { enableConnectProtocol: true } })): Promise<TunnelServer> {
    const sessions = new Set<ServerHttp2Session>();
    http2.on('session', (session) => sessions.add(session));
    await new Promise<void>((resolve) => http2.listen(0, '127.0.0.1', resolve));
    endWith(lifetime, () => {
      for (const session of sessions) session.destroy();
      http2.close();
    });
    const server = new TunnelServer((http2.address() as AddressInfo).port, [], new Changes());
    http2.on('stream', (stream: ServerHttp2Stream, head) => {
      const path = head[':path'] ?? '';
      if (path.endsWith('refused')) {
        stream.respond({ ':status': 403 });
        stream.end('no');
      } else {
        stream.respond({ ':status': 200 });
      }
      server.#add(new TunnelEnd(stream, path, new Map(Object.entries(head).map(([name, value]) => [name, String(value)]))));
    });
    return server;
  }

  #add(end: TunnelEnd): void {
    this.#ends.push(end);
    this.#changes.wake();
  }

  /** Its end of the tunnel that was asked for at that path; waits for it. */
  async asked(path: string): Promise<TunnelEnd> {
    const find = (): TunnelEnd | undefined => this.#ends.find((end) => end.path === path);
    await this.#changes.until(
      () => find() !== undefined,
      () => `${path} was not asked for, but ${this.#ends.map((end) => end.path).join(' ')}`,
    );
    return find() as TunnelEnd;
  }
}
