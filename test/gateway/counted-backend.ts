/** A backend of long answers that counts what the system takes of them, so that a test can say where the bytes are. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { endWith, type Lifetime } from './lifetime.ts';
import { accepting } from './tunnel-backend.ts';

/** Small, since of one block it is not known how much of it the system has taken. */
const block = Buffer.alloc(4096, 'tidegate ');

/** One connection of the gateway to the backend, which writes to it whatever the system takes. */
interface Source {
  readonly socket: Socket;
  /** Bytes of the body that the system has taken for certain; of one block more it may have taken a part. */
  taken: number;
}

export interface Queues {
  /** Bytes that were written and that the other side has not confirmed. */
  readonly unconfirmed: number;
  /** Bytes that have come and that nobody has read. */
  readonly unread: number;
}

/** The queues of every TCP socket of this machine's IPv4 loopback, by `local port:remote port`. */
export function queues(): Map<string, Queues> {
  const found = new Map<string, Queues>();
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n')) {
    const [, local, remote, unconfirmed, unread] = /: \w+:(\w+) \w+:(\w+) \w+ (\w+):(\w+) /.exec(line) ?? [];
    if (local === undefined) continue;
    const port = (hex = ''): number => Number.parseInt(hex, 16);
    found.set(`${port(local)}:${port(remote)}`, { unconfirmed: port(unconfirmed), unread: port(unread) });
  }
  return found;
}

export function queueOf(all: ReadonlyMap<string, Queues>, local: number, remote: number): Queues {
  const found = all.get(`${local}:${remote}`);
  assert.ok(found, `${local}:${remote}`);
  return found;
}

/** `/small` gets two bytes, an upgrade to WebSocket bytes without an end, anything else a body of the given length. */
export class CountedBackend {
  /** By the path that was asked for. */
  readonly sources = new Map<string, Source>();
  readonly #server: Server;

  private constructor(length: number) {
    const head = `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`;
    this.#server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (bytes) => {
        const text = String(bytes);
        if (text.startsWith('GET /small ')) {
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
          return;
        }
        const upgrades = /^upgrade: websocket\r$/im.test(text);
        const end = upgrades ? Number.POSITIVE_INFINITY : length;
        const source: Source = { socket, taken: 0 };
        this.sources.set(/ (\S+) /.exec(text)?.[1] ?? '', source);
        const push = (): void => {
          const next = end - source.taken >= block.length ? block : block.subarray(0, end - source.taken);
          if (next.length === 0) return;
          socket.write(next, (error) => {
            if (error) return;
            source.taken += next.length;
            push();
          });
        };
        socket.write(upgrades ? accepting(text) : head, push);
      });
    });
  }

  /** @param length bytes of a body */
  static async start(lifetime: Lifetime, length: number): Promise<CountedBackend> {
    const backend = new CountedBackend(length);
    await new Promise<void>((resolve) => backend.#server.listen(0, '127.0.0.1', resolve));
    endWith(lifetime, () => {
      for (const { socket } of backend.sources.values()) socket.destroy();
      backend.#server.close();
    });
    return backend;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /**
   * Bytes of a body that the gateway has read. The system tells how full the queues between the two are, so that nothing has to
   * be supposed of their sizes: taken by the system = unconfirmed + (gateway: unread + read).
   */
  readByGateway(path: string, all: ReadonlyMap<string, Queues>): number {
    const source = this.sources.get(path);
    assert.ok(source, path);
    const upstreamPort = source.socket.remotePort as number;
    return source.taken + block.length - queueOf(all, this.port, upstreamPort).unconfirmed - queueOf(all, upstreamPort, this.port).unread;
  }
}
