/**
 * A wire without sockets, for tests: what the peer does is said by calls, and whoever keeps bytes longer than the wire's
 * contract allows finds them overwritten.
 */
import type { Connection, ConnectionHandler, ConnectOptions, Wire } from '../wire/wire.ts';

const OVERWRITTEN = 0x21;
/** As much as one read gives. */
const MAX_READ = 64 * 1024;
/** All connections read into one buffer, as the fast wire does. */
const shared = Buffer.alloc(128 * 1024);

interface Write {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

export class MemoryConnection implements Connection {
  handler: ConnectionHandler;
  readonly remoteAddress = '192.0.2.1';
  readonly remotePort = 40_000;
  readonly localAddress = '192.0.2.1';
  readonly localPort = 80;
  readonly tls = undefined;
  bytesRead = 0;
  bytesWritten = 0;
  isBroken = false;

  /** Everything that the peer has got, characters being bytes. */
  received = '';
  /** Number of calls that wrote. */
  writes = 0;
  /** Whether writes are taken; else they wait for `drain`. */
  taking = true;
  paused = false;
  bulk = false;
  /** Half-closed by the code under test. */
  ended = false;
  /** To be closed without waiting for the peer. */
  finished = false;
  destroyed = false;
  wasReset = false;

  readonly #waiting: Write[] = [];
  #incoming: Buffer[] = [];
  #peerEnded = false;
  #peerEndTold = false;
  #closeTold = false;
  #inCall = false;
  readonly #own = Buffer.alloc(128 * 1024);

  constructor(handler: ConnectionHandler = NO_HANDLER) {
    this.handler = handler;
  }

  // --- what the peer does ---

  /** The peer sends. Returns when everything that the code under test wants to read was given to it. */
  send(text: string | Buffer): void {
    const bytes = typeof text === 'string' ? Buffer.from(text, 'latin1') : Buffer.from(text);
    for (let start = 0; start < bytes.length; start += MAX_READ) this.#incoming.push(bytes.subarray(start, start + MAX_READ));
    this.#pump();
  }

  /** The peer half-closes. */
  sendEnd(): void {
    this.#peerEnded = true;
    this.#pump();
  }

  /** The connection breaks. */
  break(error?: Error): void {
    this.destroyed = true;
    this.#tellClose(error);
  }

  /** The peer takes all that waited. */
  drain(): void {
    this.taking = true;
    if (this.#waiting.length === 0) return;
    for (const { bytes, start, end } of this.#waiting.splice(0)) this.received += bytes.toString('latin1', start, end);
    if (!this.destroyed && !this.ended) this.#call(() => this.handler.onDrain());
    if (this.ended) this.#closeSoon();
  }

  // --- what the code under test does ---

  writeLatin1(text: string): boolean {
    for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 0xff) throw new Error('not Latin-1');
    return this.#write(Buffer.from(text, 'latin1'), 0, text.length, true);
  }

  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    return this.#write(bytes, start, end, stable);
  }

  writeHeadAndBytes(head: string, bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    const first = this.#write(Buffer.from(head, 'latin1'), 0, head.length, true);
    this.writes--;
    return this.#write(bytes, start, end, stable) && first;
  }

  pauseReading(): void {
    this.paused = true;
  }

  resumeReading(): void {
    this.paused = false;
    setImmediate(() => this.#pump());
  }

  setBulk(on: boolean): void {
    if (!on) this.#own.fill(OVERWRITTEN);
    this.bulk = on;
  }

  end(): void {
    if (this.ended || this.destroyed) return;
    this.ended = true;
    this.#closeSoon();
  }

  finish(): void {
    if (this.destroyed) return;
    this.ended = true;
    this.finished = true;
    this.#closeSoon();
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.#waiting.length = 0;
    setImmediate(() => this.#tellClose(undefined));
  }

  reset(): void {
    this.wasReset = true;
    this.destroy();
  }

  #write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (this.destroyed || this.ended) return true;
    this.writes++;
    this.bytesWritten += end - start;
    if (this.taking && this.#waiting.length === 0) {
      this.received += bytes.toString('latin1', start, end);
      return true;
    }
    this.#waiting.push(stable ? { bytes, start, end } : { bytes: Buffer.from(bytes.subarray(start, end)), start: 0, end: end - start });
    return false;
  }

  #pump(): void {
    if (this.#inCall) return;
    while (!this.paused && !this.destroyed) {
      const next = this.#incoming.shift();
      if (next === undefined) break;
      this.bytesRead += next.length;
      const bulk = this.bulk;
      const buffer = bulk ? this.#own : shared;
      // Not at the beginning, so that offsets are not mistaken for positions.
      const start = 3 + (this.bytesRead % 5);
      if (bulk) buffer.fill(OVERWRITTEN);
      next.copy(buffer, start);
      this.#call(() => this.handler.onData(buffer, start, start + next.length));
      if (!bulk) buffer.fill(OVERWRITTEN, 0, start + next.length);
    }
    if (this.#peerEnded && !this.#peerEndTold && this.#incoming.length === 0 && !this.paused && !this.destroyed) {
      this.#peerEndTold = true;
      this.#call(() => this.handler.onEnd());
      this.#closeSoon();
    }
  }

  #call(callback: () => void): void {
    this.#inCall = true;
    try {
      callback();
    } finally {
      this.#inCall = false;
    }
  }

  #closeSoon(): void {
    setImmediate(() => {
      if (this.ended && (this.#peerEndTold || this.finished) && this.#waiting.length === 0) this.#tellClose(undefined);
    });
  }

  #tellClose(error: Error | undefined): void {
    if (this.#closeTold) return;
    this.#closeTold = true;
    this.destroyed = true;
    this.handler.onClose(error);
  }
}

/** Connections that come up when the test says so. */
export class MemoryWire implements Wire {
  readonly name = 'stream';
  readonly connections: MemoryConnection[] = [];
  readonly targets: { readonly host: string; readonly port: number }[] = [];

  connect(options: ConnectOptions): Connection {
    const connection = new MemoryConnection(options.handler);
    this.connections.push(connection);
    this.targets.push({ host: options.host, port: options.port });
    return connection;
  }

  listen(): never {
    throw new Error('a memory wire does not listen');
  }
}

/** Until everything that was put off has happened. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
}

const NO_HANDLER: ConnectionHandler = {
  onData() {},
  onEnd() {},
  onDrain() {},
  onClose() {},
};
