/** A raw backend for tunnels: it takes a handshake, and then says and hears bytes as the test wants. */
import { createHash } from 'node:crypto';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { Changes } from './changes.ts';
import { endWith, type Lifetime } from './lifetime.ts';

export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

/** A good handshake (RFC 6455 section 4.1). */
export function handshake(path: string, ...fields: string[]): string {
  const lines = [`Host: a`, 'Connection: Upgrade', 'Upgrade: websocket', `Sec-WebSocket-Key: ${KEY}`, 'Sec-WebSocket-Version: 13', ...fields];
  return `GET ${path} HTTP/1.1\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
}

/** A 101 that is right for the request with that head. */
export function accepting(head: string, ...fields: string[]): string {
  const key = /^sec-websocket-key: *(.*)$/im.exec(head)?.[1]?.trim() ?? '';
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  const lines = ['Connection: Upgrade', 'Upgrade: websocket', `Sec-WebSocket-Accept: ${accept}`, ...fields];
  return `HTTP/1.1 101 Switching Protocols\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
}

/** One connection that the gateway has made. */
export class BackendSocket {
  readonly socket: Socket;
  head = '';
  /** What came behind the head. */
  received = '';
  /** The gateway has half-closed, or is gone. */
  ended = false;
  closed = false;
  wasReset = false;
  readonly #wake: () => void;

  constructor(socket: Socket, onHead: (connection: BackendSocket) => void, wake: () => void) {
    this.socket = socket;
    this.#wake = wake;
    let text = '';
    socket.on('data', (bytes) => {
      if (this.head !== '') {
        this.received += bytes.toString('latin1');
      } else {
        text += bytes.toString('latin1');
        const end = text.indexOf('\r\n\r\n');
        if (end >= 0) {
          this.head = text.slice(0, end);
          this.received = text.slice(end + 4);
          onHead(this);
        }
      }
      wake();
    });
    socket.on('end', () => this.#over());
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.wasReset ||= error.code === 'ECONNRESET';
    });
    socket.on('close', () => {
      this.closed = true;
      this.#over();
    });
  }

  get path(): string {
    return this.head.split(' ')[1] ?? '';
  }

  #over(): void {
    this.ended = true;
    this.#wake();
  }
}

export class TunnelBackend {
  readonly connections: BackendSocket[] = [];
  /** What a handshake is answered with; by default it is accepted. */
  onHead: (connection: BackendSocket) => void = (connection) => connection.socket.write(accepting(connection.head));
  readonly #server: Server;
  readonly #changes = new Changes();

  private constructor() {
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
      this.connections.push(
        new BackendSocket(
          socket,
          (connection) => this.onHead(connection),
          () => this.#changes.wake(),
        ),
      );
    });
  }

  static async start(lifetime: Lifetime): Promise<TunnelBackend> {
    const backend = new TunnelBackend();
    await new Promise<void>((resolve) => backend.#server.listen(0, '127.0.0.1', resolve));
    endWith(lifetime, () => {
      for (const { socket } of backend.connections) socket.destroy();
      backend.#server.close();
    });
    return backend;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The connection on which that path was asked for; waits for it. */
  async asked(path: string): Promise<BackendSocket> {
    const find = (): BackendSocket | undefined => this.connections.find((connection) => connection.path === path);
    await this.until(() => find() !== undefined);
    return find() as BackendSocket;
  }

  async until(satisfied: () => boolean): Promise<void> {
    await this.#changes.until(satisfied, () => `${this.connections.length} connections`);
  }
}
