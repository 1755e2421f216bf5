import { plainAddress } from '../address.ts';
import type { Connection, ConnectionHandler, TlsInfo } from '../wire.ts';
import type { SocketName, StreamHandle, TcpHandle, TlsHandle } from './bindings.ts';
import type { Native } from './native.ts';
import { Outbound } from './outbound.ts';
import { systemError } from './system-error.ts';

/** Who counts the connection; the listener. */
export interface Counter {
  connections: number;
}

/** A connection on its handle: reading and closing; writing is the base class's. */
export class HandleConnection extends Outbound implements Connection {
  handler: ConnectionHandler;
  remoteAddress = '';
  remotePort = 0;
  localPort = 0;
  /** What a PROXY header says of it. */
  proxiedTo: string | undefined = undefined;
  tls: TlsInfo | undefined = undefined;
  bytesRead = 0;

  private readonly counter: Counter | undefined;
  /** Reading is on; false while paused. */
  private reading = true;
  /** Reading from the handle can begin: it is connected. */
  private up: boolean;
  /** The handle has been told to read. */
  private active: boolean;
  private peerEnded = false;
  private failure: Error | undefined = undefined;

  private bulk = false;
  /** The buffer of bulk mode, while it has one. */
  private own: Buffer | undefined = undefined;
  /** Where the native side reads to. */
  private target: Buffer;
  /** Decrypted bytes that came in after reading was paused, and whether the end came after them. */
  private held: Buffer[] | undefined = undefined;
  private heldEnd = false;
  private delivering = false;

  /**
   * @param tcp connected, unless `up` is false
   * @param secure TLS on `tcp`, its handshake done and its reading on
   */
  constructor(native: Native, tcp: TcpHandle, secure: TlsHandle | undefined, up: boolean, handler: ConnectionHandler, counter: Counter | undefined) {
    super(native, tcp, secure, up);
    this.handler = handler;
    this.up = up;
    this.active = secure !== undefined;
    this.counter = counter;
    this.target = native.buffers.shared;
    tcp.owner = this;
    this.stream.owner = this;
    this.stream.onread = onRead;
    if (secure === undefined) tcp.useUserBuffer(this.target);
  }

  get localAddress(): string {
    if (this.proxiedTo !== undefined) return this.proxiedTo;
    const name: SocketName = {};
    return !this.gone && this.tcp.getsockname(name) === 0 ? plainAddress(name.address) : '';
  }

  get isBroken(): boolean {
    return this.failure !== undefined;
  }

  /** Bytes that were read before the connection was made; they come first. @param bytes stay unchanged */
  receive(bytes: Buffer): void {
    if (this.gone) return;
    this.bytesRead += bytes.length;
    if (this.reading) {
      this.handler.onData(bytes, 0, bytes.length);
    } else {
      this.held ??= [];
      this.held.push(bytes);
    }
  }

  /** Reads, unless the connection is paused or over. */
  start(): void {
    if (this.gone || !this.reading || this.active || !this.up || this.peerEnded) return;
    this.active = true;
    if (this.own !== undefined && this.target === this.own && this.native.buffers.isHeld(this.own)) this.abandonOwn();
    const status = this.stream.readStart();
    if (status !== 0) this.fail(systemError(status, 'read'));
  }

  pauseReading(): void {
    if (this.gone || !this.reading) return;
    this.reading = false;
    if (!this.active) return;
    this.active = false;
    if (!this.peerEnded) this.stream.readStop();
  }

  resumeReading(): void {
    if (this.gone || this.reading) return;
    this.reading = true;
    if (this.held !== undefined || this.heldEnd) {
      // Not from within this call.
      if (!this.delivering) setImmediate(deliverHeld, this);
      this.delivering = true;
    } else {
      this.start();
    }
  }

  setBulk(on: boolean): void {
    this.bulk = on;
  }

  destroy(): void {
    if (this.gone) return;
    this.gone = true;
    this.failure = undefined;
    this.close();
  }

  reset(): void {
    if (this.gone) return;
    this.gone = true;
    this.failure = undefined;
    // While a half-close is under way libuv refuses to reset, and Node then never closes the handle.
    if (!this.up || this.isShuttingDown || this.tcp.reset(onClosed) !== 0) this.close();
  }

  fail(error: Error): void {
    if (this.gone) return;
    this.gone = true;
    this.failure = error;
    this.close();
  }

  /**
   * A backend that has answered early and closed the connection (413, say) makes the next write fail, while its answer may still
   * be there to be read. So an outgoing connection is read to its end first, which comes at once, and then fails all the same.
   */
  protected writeFailed(error: NodeJS.ErrnoException): void {
    if (this.gone) return;
    const isClosed = error.code === 'ECONNRESET' || error.code === 'EPIPE';
    if (isClosed && this.counter === undefined && this.active && !this.peerEnded) {
      this.failure = error;
      this.stopWriting();
    } else {
      this.fail(error);
    }
  }

  /** An outgoing connection is up. */
  connected(): void {
    this.up = true;
    this.busy = false;
    // What was written before goes first.
    this.flush();
    if (!this.gone) this.handler.onConnect?.();
    this.start();
    if (!this.gone) this.settled();
  }

  /** Something was read to the target buffer, or an error came. Returns the buffer for the next read where it changes. */
  read(): Buffer | undefined {
    const length = this.native.state[this.native.readBytes] as number;
    if (length > 0) return this.readBytes(length);
    if (length === 0 || this.gone || this.peerEnded) return undefined;
    if (length !== this.native.eof) {
      this.fail(systemError(length, 'read'));
    } else if (this.held !== undefined || !this.reading) {
      this.heldEnd = true;
    } else {
      this.onEnd();
    }
    return undefined;
  }

  /** Bytes that were held back while paused; called on the event loop. */
  deliver(): void {
    this.delivering = false;
    while (this.held !== undefined) {
      if (this.gone || !this.reading) return;
      const bytes = this.held.shift();
      if (bytes === undefined) {
        this.held = undefined;
        break;
      }
      this.handler.onData(bytes, 0, bytes.length);
    }
    if (this.gone || !this.reading) return;
    if (this.heldEnd) {
      this.heldEnd = false;
      this.onEnd();
    } else {
      this.start();
    }
  }

  /** The handle is closed. */
  closed(): void {
    this.secure?.destroySSL();
    this.dropQueue();
    this.held = undefined;
    this.giveBack();
    if (this.counter !== undefined) this.counter.connections--;
    this.handler.onClose(this.failure);
  }

  protected drained(): void {
    this.handler.onDrain();
  }

  protected halfClosed(): void {
    if (this.peerEnded) this.destroy();
  }

  private readBytes(length: number): Buffer | undefined {
    const { target } = this;
    const { shared } = this.native.buffers;
    if (this.gone) {
      // One TLS read can bring several times bytes, also after a destroy, and those must not go where a write still refers to.
      return this.retarget(shared);
    }
    this.bytesRead += length;
    if (!this.reading || this.held !== undefined) {
      // As above, after a pause.
      this.held ??= [];
      this.held.push(Buffer.from(target.subarray(0, length)));
      return this.retarget(shared);
    }
    let bytes = target;
    if (this.bulk && target === shared) {
      this.own ??= this.native.buffers.take();
      bytes = this.own;
      shared.copy(bytes, 0, 0, length);
    }
    this.handler.onData(bytes, 0, length);
    return this.nextTarget();
  }

  /** After onData: where the next read goes to, when that changes. */
  private nextTarget(): Buffer | undefined {
    const { buffers } = this.native;
    if (this.gone) return this.secure === undefined ? undefined : this.retarget(buffers.shared);
    if (this.bulk && (this.reading || this.secure === undefined)) {
      this.own ??= buffers.take();
      return this.retarget(this.own);
    }
    const next = this.retarget(buffers.shared);
    if (!this.bulk) this.giveBack();
    return next;
  }

  /** A write of someone who did not wait for its end still refers to the own buffer: the native side gets another one without a read. */
  private abandonOwn(): void {
    this.target = this.native.buffers.shared;
    this.stream.useUserBuffer(this.target);
    this.giveBack();
  }

  private retarget(buffer: Buffer): Buffer | undefined {
    if (this.target === buffer) return undefined;
    this.target = buffer;
    return buffer;
  }

  private giveBack(): void {
    const { own } = this;
    if (own === undefined) return;
    this.own = undefined;
    this.native.buffers.giveBack(own);
  }

  private onEnd(): void {
    // The end of a connection that was reset is none: what came before it may lack something.
    if (this.failure !== undefined) {
      this.fail(this.failure);
      return;
    }
    this.peerEnded = true;
    this.handler.onEnd();
    if (this.ended) this.destroy();
  }

  private close(): void {
    if (this.secure !== undefined) {
      // OpenSSL's state must outlive what libuv still has to say.
      this.tcp.close(onClosed);
      return;
    }
    // The descriptor is closed at once; a callback of the handle's own costs more than telling all at the end of the turn.
    this.tcp.close();
    this.native.closedLater(this);
  }
}

function onRead(this: StreamHandle): Buffer | undefined {
  return (this.owner as HandleConnection).read();
}

function onClosed(this: TcpHandle): void {
  (this.owner as HandleConnection).closed();
}

function deliverHeld(connection: HandleConnection): void {
  connection.deliver();
}
