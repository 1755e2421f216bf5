/** Clients for tests: a plain one on node:http, and a raw one that sends bytes as they are given. */
import { type Agent, type IncomingHttpHeaders, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { Changes } from './changes.ts';
import { endWith, type Lifetime, PATIENCE } from './lifetime.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly agent?: Agent | false;
  readonly localAddress?: string;
}

/** One request on a connection of its own, unless an agent is given. */
export async function send(port: number, path: string, options: RequestOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        path,
        method: options.method ?? 'GET',
        headers: { ...options.headers },
        agent: options.agent ?? false,
        ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() }));
        response.on('error', reject);
      },
    );
    outgoing.on('error', reject);
    outgoing.setTimeout(PATIENCE, () => outgoing.destroy(new Error(`nothing came of ${path} for ${PATIENCE} ms`)));
    outgoing.end(options.body);
  });
}

export async function get(port: number, path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  return send(port, path, { headers });
}

/** Sends text as it is and gives back all that came until the other side closed. */
export async function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET') reject(error);
    });
    socket.setTimeout(PATIENCE, () => socket.destroy(new Error(`the connection is open and nothing came for ${PATIENCE} ms`)));
  });
}

/** A raw connection that a test drives step by step. */
export class RawConnection {
  readonly socket: Socket;
  received = '';
  ended = false;
  readonly #changes = new Changes();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.received += chunk.toString('latin1');
      this.#changes.wake();
    });
    socket.on('error', () => {});
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.ended = true;
        this.#changes.wake();
      });
    }
  }

  static async open(lifetime: Lifetime, port: number): Promise<RawConnection> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    endWith(lifetime, () => socket.destroy());
    const connection = new RawConnection(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return connection;
  }

  write(text: string): void {
    this.socket.write(text);
  }

  /** Waits until what was received satisfies, or the other side closed. */
  async until(satisfied: (received: string) => boolean): Promise<string> {
    await this.#changes.until(
      () => this.ended || satisfied(this.received),
      () => `${satisfied}, after ${JSON.stringify(this.received.slice(-1000))}`,
    );
    return this.received;
  }

  async untilEnded(): Promise<string> {
    return await this.until(() => false);
  }

  close(): void {
    this.socket.destroy();
  }
}
