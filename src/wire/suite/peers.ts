/** What the suite's cases are made of: a handler that records, listeners with echo, and public sockets as the other side. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { secureContextOptions } from '../secure-context.ts';
import type { Connection, ConnectionHandler, ListenOptions, ServerTls, Wire, WireListener } from '../wire.ts';

export type Make = () => Promise<Wire>;

function pem(name: string): Buffer {
  return readFileSync(new URL(`../testdata/${name}`, import.meta.url));
}

export const rsaContext = tls.createSecureContext({ ...secureContextOptions, key: pem('rsa.key'), cert: pem('rsa.crt') });
export const ecdsaContext = tls.createSecureContext({ ...secureContextOptions, key: pem('ecdsa.key'), cert: pem('ecdsa.crt') });

/** Waits for a state; fails after two minutes. */
export async function until(state: () => boolean, what: string): Promise<void> {
  const last = Date.now() + 120_000;
  while (!state()) {
    if (Date.now() > last) assert.fail(`not reached: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Records what a connection reports; `events` holds everything but data and drains. */
export class Recorder implements ConnectionHandler {
  connection!: Connection;
  readonly chunks: Buffer[] = [];
  readonly events: string[] = [];
  length = 0;
  drains = 0;
  error: NodeJS.ErrnoException | undefined;

  /** Called when `connection` is set. */
  opened(): void {}
  onConnect(): void {
    this.events.push('connect');
  }
  onData(bytes: Buffer, start: number, end: number): void {
    assert.ok(end > start, 'onData without bytes');
    assert.ok(!this.ended && !this.closed, 'onData after the end');
    this.length += end - start;
    this.chunks.push(Buffer.from(bytes.subarray(start, end)));
  }
  onEnd(): void {
    assert.ok(!this.ended && !this.closed, 'onEnd twice, or after onClose');
    this.events.push('end');
  }
  onDrain(): void {
    assert.ok(!this.closed, 'onDrain after onClose');
    this.drains++;
  }
  onClose(error: Error | undefined): void {
    assert.ok(!this.closed, 'onClose twice');
    this.error = error;
    this.events.push('close');
  }

  get ended(): boolean {
    return this.events.includes('end');
  }
  get closed(): boolean {
    return this.events.includes('close');
  }
  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }
}

export function serverTls(changes: Partial<ServerTls> = {}): ServerTls {
  return { secureContext: () => rsaContext, ticketKeys: Buffer.alloc(48, 7), handshakeTimeout: 10_000, alpnProtocols: [], ...changes };
}

export interface Served {
  readonly listener: WireListener;
  /** Connections in the order of their arrival. */
  readonly accepted: Recorder[];
}

const open = new Set<Served>();

/** Closes what cases left open that failed. */
export async function finishAll(): Promise<void> {
  for (const served of open) await finish(served);
}

/** Listens, and gives each connection a handler of `make`; closes with the test. */
export async function serve(
  wire: Wire,
  secure: boolean | ServerTls,
  make: () => Recorder = () => new Recorder(),
  options: Partial<ListenOptions> = {},
): Promise<Served> {
  const accepted: Recorder[] = [];
  const tlsOptions = secure === true ? serverTls() : secure;
  const listener = await wire.listen(
    { host: '127.0.0.1', port: 0, reusePort: false, maxConnections: 10_000, ...(tlsOptions === false ? {} : { tls: tlsOptions }), ...options },
    (connection) => {
      const recorder = make();
      recorder.connection = connection;
      connection.handler = recorder;
      recorder.opened();
      accepted.push(recorder);
    },
  );
  const served = { listener, accepted };
  open.add(served);
  return served;
}

/** Closes the listener and whatever is open. */
export async function finish(served: Served): Promise<void> {
  open.delete(served);
  await served.listener.close();
  for (const recorder of served.accepted) recorder.connection.destroy();
  await until(() => served.listener.connections === 0, 'no open connection');
}

/** Waits for the event; rejects when the socket closes before it. */
function up(socket: net.Socket, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed')));
    socket.once(event, resolve);
  });
}

/** The other side: a public socket, connected. */
export async function dial(port: number, secure: boolean, options: tls.ConnectionOptions = {}): Promise<net.Socket> {
  const socket = secure
    ? tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false, servername: 'rsa.test', ...options })
    : net.connect({ host: '127.0.0.1', port, ...(options as net.NetConnectOpts) });
  await up(socket, secure ? 'secureConnect' : 'connect');
  return socket;
}

/** Turns a connected plain socket into a TLS client, so that the socket below is at hand. */
export async function upgrade(raw: net.Socket, options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
  const socket = tls.connect({ socket: raw, rejectUnauthorized: false, servername: 'rsa.test', ...options });
  await up(socket, 'secureConnect');
  return socket;
}

/** Reads until the other side has ended. */
export async function readAll(socket: net.Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Resolves with the code of the socket's error, or 'closed' when it closes without one. */
export function ending(socket: net.Socket): Promise<string> {
  return new Promise((resolve) => {
    let code = 'closed';
    socket.on('error', (error: NodeJS.ErrnoException) => {
      code = error.code ?? error.message;
    });
    socket.on('close', () => resolve(code));
  });
}
