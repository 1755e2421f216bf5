import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { plainAddress } from '../address.ts';
import { latin1 } from '../latin1.ts';
import { tlsErrorOf } from '../tls-error.ts';
import type { Connection, ConnectionHandler, TlsInfo } from '../wire.ts';

const NOTHING = Buffer.alloc(0);
/** Up to here bytes that the caller may overwrite are passed on as text, which costs no buffer. */
const TEXT_LIMIT = 8 * 1024;
/** Up to here a write to an idle TLS connection counts as gone: it has been encrypted, and only its completion is reported later. */
const TLS_UNHELD = 16 * 1024;

/** Whose connection it is. */
export interface ConnectionEnds {
  /** Of the other side. */
  readonly address: string | undefined;
  readonly port: number;
  /** What a PROXY header says; undefined: ask the socket. */
  readonly localAddress: string | undefined;
  /** The same; 0: the listener's. */
  readonly localPort: number;
}

/** A connection on a public socket. Made by the listener and the connector, who attach it to the socket's reading. */
export class StreamConnection implements Connection {
  handler: ConnectionHandler;
  remoteAddress: string;
  readonly remotePort: number;
  tls: TlsInfo | undefined;
  bytesRead = 0;
  bytesWritten = 0;
  /** A socket whose write fails is read no further. */
  readonly isBroken = false;
  /** Whether bytes that were read must stay unchanged; see the connector. Accepted sockets get a buffer a read anyway. */
  bulk = false;

  private readonly socket: Socket | TLSSocket;
  /** The TCP socket below: the same as `socket` without TLS. */
  private readonly raw: Socket;
  private readonly secure: boolean;
  private readonly knownLocalPort: number;
  /** What a PROXY header says of the local address. */
  private readonly proxiedTo: string | undefined;
  private gone = false;
  private ended = false;
  private awaitingDrain = false;
  private failure: Error | undefined = undefined;
  /** False while an outgoing TLS connection shakes hands: nothing goes to a server that has not been verified. */
  private up: boolean;
  /** What was asked for meanwhile. */
  private endWhenUp: 'end' | 'finish' | undefined = undefined;

  /** @param up false for TLS whose handshake is still to come; `connected` follows */
  constructor(
    socket: Socket | TLSSocket,
    raw: Socket,
    handler: ConnectionHandler,
    ends: ConnectionEnds,
    localPort: number,
    tls: TlsInfo | undefined,
    up = true,
  ) {
    this.socket = socket;
    this.raw = raw;
    this.secure = socket !== raw;
    this.handler = handler;
    this.remoteAddress = plainAddress(ends.address);
    this.remotePort = ends.port;
    this.proxiedTo = ends.localAddress;
    this.knownLocalPort = ends.localPort || localPort;
    this.tls = tls;
    this.up = up;
    if (!up) socket.cork();
    socket.on('end', () => this.onEnd());
    socket.on('error', (error) => {
      this.failure ??= this.secure ? tlsErrorOf(error, this.up) : error;
    });
    socket.on('close', () => this.onClosed());
  }

  get localAddress(): string {
    return this.proxiedTo ?? plainAddress(this.raw.localAddress);
  }

  get localPort(): number {
    return this.knownLocalPort || this.socket.localPort || 0;
  }

  /** Bytes came in: `bytes[start..end)`. Returns false when reading has been paused or is over. */
  received(bytes: Buffer, start: number, end: number): boolean {
    if (this.gone) return false;
    this.bytesRead += end - start;
    this.handler.onData(bytes, start, end);
    return !this.gone && !this.socket.isPaused();
  }

  /** The connection (outgoing) is up. */
  connected(): void {
    if (this.gone) return;
    this.remoteAddress = plainAddress(this.socket.remoteAddress) || this.remoteAddress;
    if (this.up) {
      this.handler.onConnect?.();
      return;
    }
    this.up = true;
    this.socket.uncork();
    this.handler.onConnect?.();
    if (this.gone) return;
    if (this.endWhenUp === 'end') this.socket.end();
    else if (this.endWhenUp === 'finish') this.socket.destroySoon();
  }

  /** Closes with an error of the handshake. */
  fail(error: Error): void {
    if (this.gone) return;
    this.failure ??= error;
    this.socket.destroy();
  }

  writeLatin1(text: string): boolean {
    if (this.gone || this.ended) return true;
    const idle = this.socket.writableLength === 0;
    this.bytesWritten += text.length;
    this.socket.write(text, 'latin1');
    return this.accepted(idle, text.length);
  }

  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (this.gone || this.ended || start >= end) return true;
    const idle = this.socket.writableLength === 0;
    const length = end - start;
    this.bytesWritten += length;
    this.writeBytes(bytes, start, end, stable);
    return this.accepted(idle, length);
  }

  writeHeadAndBytes(head: string, bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (this.gone || this.ended) return true;
    const idle = this.socket.writableLength === 0;
    const length = end - start;
    this.bytesWritten += head.length + length;
    if (length <= TEXT_LIMIT) {
      this.socket.write(head + latin1(bytes, start, end), 'latin1');
    } else {
      this.socket.cork();
      this.socket.write(head, 'latin1');
      this.writeBytes(bytes, start, end, stable);
      this.socket.uncork();
    }
    return this.accepted(idle, head.length + length);
  }

  pauseReading(): void {
    if (!this.gone) this.socket.pause();
  }

  resumeReading(): void {
    if (!this.gone) this.socket.resume();
  }

  setBulk(on: boolean): void {
    this.bulk = on;
  }

  end(): void {
    if (this.gone || this.ended) return;
    this.ended = true;
    if (this.up) this.socket.end();
    else this.endWhenUp ??= 'end';
  }

  finish(): void {
    if (this.gone) return;
    this.ended = true;
    if (this.up) this.socket.destroySoon();
    else this.endWhenUp = 'finish';
  }

  destroy(): void {
    if (this.gone) return;
    this.gone = true;
    this.failure = undefined;
    this.socket.destroy();
  }

  reset(): void {
    if (this.gone) return;
    this.gone = true;
    this.failure = undefined;
    // Where the connection is not up yet there is nothing to reset; and while a half-close is under way libuv refuses to, and Node
    // then never closes the handle.
    if (this.raw.connecting || this.raw.destroyed || (this.ended && !this.socket.writableFinished)) this.socket.destroy();
    else this.raw.resetAndDestroy();
  }

  private writeBytes(bytes: Buffer, start: number, end: number, stable: boolean): void {
    // The socket keeps a reference to what it can't send at once, so bytes that may change are handed over as a copy.
    if (stable) this.socket.write(bytes.subarray(start, end));
    else if (end - start <= TEXT_LIMIT) this.socket.write(latin1(bytes, start, end), 'latin1');
    else this.socket.write(Buffer.from(bytes.subarray(start, end)));
  }

  /** Whether what was just written counts as gone to the kernel; if not, sees to it that `onDrain` follows. */
  private accepted(idle: boolean, length: number): boolean {
    if (this.awaitingDrain) return false;
    if (this.socket.writableLength === 0) return true;
    // TLS completes no write at once, not even one whose bytes the kernel has taken.
    if (this.secure && this.up && idle && length <= TLS_UNHELD) return true;
    this.awaitDrain();
    return false;
  }

  private awaitDrain(): void {
    this.awaitingDrain = true;
    // 'drain' comes only above the high-water mark; the completion of an empty write comes after all that was written before it.
    this.socket.write(NOTHING, () => {
      this.awaitingDrain = false;
      if (this.gone || this.ended) return;
      if (this.socket.writableLength > 0) this.awaitDrain();
      else this.handler.onDrain();
    });
  }

  private onEnd(): void {
    if (!this.gone && this.up) this.handler.onEnd();
  }

  private onClosed(): void {
    this.gone = true;
    this.handler.onClose(this.failure);
  }
}
