import { latin1 } from '../latin1.ts';
import type { Connection, ConnectionHandler, TlsInfo } from '../wire.ts';
import type { ShutdownRequest, StreamHandle, TcpHandle, TlsHandle, WriteRequest } from './bindings.ts';
import type { Native } from './native.ts';
import { systemError } from './system-error.ts';
import { WriteQueue } from './write-queue.ts';

/** Up to here bytes that the caller may overwrite are passed on as text, which the native side copies where it must. */
const TEXT_LIMIT = 16 * 1024;
/** Up to here a busy TLS connection takes more without holding the caller back. */
const TLS_QUEUE = 16 * 1024;

/** Who counts the connection; the listener. */
export interface Counter {
  connections: number;
}

/**
 * A connection on its handle. One write is under way at a time, and what comes meanwhile waits in `queue`: TLS allows no
 * more, and for TCP that joins the pieces. A write of TCP that the kernel takes at once leaves nothing under way.
 */
export class HandleConnection implements Connection {
  handler: ConnectionHandler;
  remoteAddress = '';
  remotePort = 0;
  localPort = 0;
  tls: TlsInfo | undefined = undefined;
  bytesRead = 0;
  bytesWritten = 0;

  private readonly native: Native;
  private tcp: TcpHandle;
  /** TLS on the TCP handle; undefined for plain connections. */
  private readonly secure: TlsHandle | undefined;
  private stream: StreamHandle;
  private readonly counter: Counter | undefined;

  /** Nothing but onClose is reported any more. */
  gone = false;
  /** Reading is on; false while paused. */
  private reading = true;
  /** Reading from the handle can begin: it is connected. */
  private up: boolean;
  /** The handle has been told to read. */
  private active: boolean;
  private peerEnded = false;
  /** `end` was called. */
  private ending = false;
  /** `finish` was called. */
  private finishing = false;
  private shuttingDown = false;
  /** The half-close is out. */
  private ended = false;
  /** A write is under way, or the connection is not up yet. */
  private busy: boolean;
  private awaitingDrain = false;
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

  private queue: WriteQueue | undefined = undefined;

  /**
   * @param tcp connected, unless `up` is false
   * @param secure TLS on `tcp`, its handshake done and its reading on
   */
  constructor(native: Native, tcp: TcpHandle, secure: TlsHandle | undefined, up: boolean, handler: ConnectionHandler, counter: Counter | undefined) {
    this.native = native;
    this.handler = handler;
    this.tcp = tcp;
    this.secure = secure;
    this.stream = secure ?? tcp;
    this.up = up;
    this.active = secure !== undefined;
    this.busy = !up;
    this.counter = counter;
    this.target = native.buffers.shared;
    tcp.owner = this;
    this.stream.owner = this;
    this.stream.onread = onRead;
    if (secure === undefined) tcp.useUserBuffer(this.target);
  }

  // Writing.

  writeLatin1(text: string): boolean {
    if (this.gone || this.ending || text.length === 0) return true;
    this.bytesWritten += text.length;
    if (this.busy) return this.enqueue(text, undefined);
    return this.sent(this.stream.writeLatin1String(this.request(), text), undefined);
  }

  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (this.gone || this.ending || start >= end) return true;
    const length = end - start;
    if (!stable && length <= TEXT_LIMIT) return this.writeLatin1(latin1(bytes, start, end));
    this.bytesWritten += length;
    const piece = stable ? view(bytes, start, end) : Buffer.from(bytes.subarray(start, end));
    const base = stable ? bytes : undefined;
    if (this.busy) return this.enqueue(piece, base);
    return this.sent(this.stream.writeBuffer(this.request(), piece), [base ?? piece]);
  }

  writeHeadAndBytes(head: string, bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    const length = end - start;
    if (length <= TEXT_LIMIT) return this.writeLatin1(head + latin1(bytes, start, end));
    if (this.gone || this.ending) return true;
    this.bytesWritten += head.length + length;
    const piece = stable ? view(bytes, start, end) : Buffer.from(bytes.subarray(start, end));
    const base = stable ? bytes : undefined;
    if (this.busy) {
      this.enqueue(head, undefined);
      return this.enqueue(piece, base);
    }
    return this.sent(this.stream.writev(this.request(), [head, 'latin1', piece, 'buffer'], false), [base ?? piece]);
  }

  end(): void {
    if (this.gone || this.ending) return;
    this.ending = true;
    if (!this.busy) this.complete();
  }

  finish(): void {
    if (this.gone || this.finishing) return;
    this.finishing = true;
    this.ending = true;
    if (!this.busy) this.complete();
  }

  // Reading.

  /** Reads, unless the connection is paused or over. */
  start(): void {
    if (this.gone || !this.reading || this.active || !this.up || this.peerEnded) return;
    this.active = true;
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

  // Closing.

  destroy(): void {
    if (this.gone) return;
    this.gone = true;
    this.close();
  }

  reset(): void {
    if (this.gone) return;
    this.gone = true;
    // While a half-close is under way libuv refuses to reset.
    if (!this.up || this.tcp.reset(onClosed) !== 0) this.close();
  }

  // From the handle.

  /** Another handle for an outgoing connection, whose last one did not come up; that one is closed. */
  retry(tcp: TcpHandle): void {
    this.tcp.owner = undefined;
    this.tcp.close();
    this.tcp = tcp;
    this.stream = tcp;
    tcp.owner = this;
    tcp.onread = onRead;
    tcp.useUserBuffer(this.target);
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

  fail(error: Error): void {
    if (this.gone) return;
    this.gone = true;
    this.failure = error;
    this.close();
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
    if (this.gone) return this.secure === undefined ? undefined : this.retarget(shared);
    if (this.bulk && (this.reading || this.secure === undefined)) {
      this.own ??= this.native.buffers.take();
      return this.retarget(this.own);
    }
    const next = this.retarget(shared);
    if (!this.bulk && this.own !== undefined) this.giveBack();
    return next;
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

  private onEnd(): void {
    this.peerEnded = true;
    this.handler.onEnd();
    if (this.ended && !this.gone) {
      this.gone = true;
      this.close();
    }
  }

  private request(): WriteRequest {
    const { request } = this.native;
    request.owner = this;
    return request;
  }

  /** After a write: whether it counts as gone to the kernel. @param status of the call @param kept what must live until the write is done */
  private sent(status: number, kept: readonly Buffer[] | undefined): boolean {
    const { native } = this;
    if (status !== 0) {
      this.fail(systemError(status, 'write'));
      return true;
    }
    if (native.state[native.wasAsync] === 0) return true;
    const request = native.takeRequest();
    // TLS reports some failures from within the call.
    if (request.done || this.gone) return true;
    // TLS has encrypted the bytes by now.
    if (this.secure === undefined && kept !== undefined) {
      request.kept = kept;
      for (const buffer of kept) native.buffers.hold(buffer);
    }
    this.busy = true;
    if (!this.holding()) return true;
    this.awaitingDrain = true;
    return false;
  }

  /**
   * Whether bytes wait for the kernel. TLS reports every write as not yet done, but has encrypted it, and what TCP has not
   * queued the kernel has.
   */
  private holding(): boolean {
    return this.busy && (this.secure === undefined || this.tcp.writeQueueSize > 0);
  }

  private enqueue(piece: string | Buffer, base: Buffer | undefined): boolean {
    this.queue ??= new WriteQueue();
    this.queue.push(piece, base, this.native.buffers);
    if (this.secure !== undefined && base === undefined && this.queue.length <= TLS_QUEUE && !this.awaitingDrain && this.tcp.writeQueueSize === 0) return true;
    this.awaitingDrain = true;
    return false;
  }

  /** Sends what is queued, if anything is. */
  private flush(): void {
    const { native, queue } = this;
    if (queue === undefined || queue.length === 0) return;
    const { status, taken, bases } = queue.writeTo(this.stream, this.request());
    this.sent(status, bases === undefined ? taken : taken?.concat(bases));
    // The write holds them now.
    if (bases !== undefined) for (const base of bases) native.buffers.release(base);
  }

  /** The write under way is done. */
  written(status: number, kept: readonly Buffer[] | undefined): void {
    this.busy = false;
    if (kept !== undefined) for (const buffer of kept) this.native.buffers.release(buffer);
    if (this.gone) return;
    if (status < 0) {
      this.fail(systemError(status, 'write'));
      return;
    }
    this.flush();
    if (!this.gone) this.settled();
  }

  /** Nothing is queued any more: what waited for that goes on. */
  private settled(): void {
    if (this.ending) {
      if (!this.busy) this.complete();
    } else if (this.awaitingDrain && !this.holding()) {
      this.awaitingDrain = false;
      this.handler.onDrain();
    }
  }

  /** Everything is out: half-closes, or closes. */
  private complete(): void {
    // TLS has its close_notify to send first (RFC 8446 section 6.1).
    if (this.finishing && (this.secure === undefined || this.ended)) this.destroy();
    else this.shutdown();
  }

  private shutdown(): void {
    if (this.shuttingDown) return;
    this.shuttingDown = true;
    const request = new this.native.bindings.stream.ShutdownWrap();
    request.owner = this;
    request.oncomplete = onShutdown;
    // Anything but 0: done at once, or there is nobody left to tell.
    if (this.stream.shutdown(request) !== 0) this.finished();
  }

  finished(): void {
    this.ended = true;
    if ((this.peerEnded || this.finishing) && !this.gone) {
      this.gone = true;
      this.close();
    }
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

  /** The handle is closed; nothing refers to its memory any more. */
  closed(): void {
    this.secure?.destroySSL();
    this.queue?.clear(this.native.buffers);
    this.held = undefined;
    this.giveBack();
    if (this.counter !== undefined) this.counter.connections--;
    this.handler.onClose(this.failure);
  }
}

function onRead(this: StreamHandle): Buffer | undefined {
  return (this.owner as HandleConnection).read();
}

function onShutdown(this: ShutdownRequest): void {
  // An error means that the peer has gone; reading tells that too.
  (this.owner as HandleConnection).finished();
}

function onClosed(this: TcpHandle): void {
  (this.owner as HandleConnection).closed();
}

function deliverHeld(connection: HandleConnection): void {
  connection.deliver();
}

function view(bytes: Buffer, start: number, end: number): Buffer {
  return start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end);
}
