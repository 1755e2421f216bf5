import { latin1 } from '../latin1.ts';
import type { ShutdownRequest, StreamHandle, TcpHandle, TlsHandle, WriteRequest } from './bindings.ts';
import { type Native, onComplete } from './native.ts';
import { systemError } from './system-error.ts';
import { WriteQueue } from './write-queue.ts';

/** Up to here bytes that the caller may overwrite are passed on as text, which the native side copies where it must. */
const TEXT_LIMIT = 16 * 1024;
/** Up to here a busy TLS connection takes more without holding the caller back. */
const TLS_QUEUE = 16 * 1024;

/** Up to here a text goes to TLS as one record (RFC 8446 section 5.1), of which nothing is left over when the kernel takes it. */
const TLS_RECORD = 16 * 1024;

/**
 * The writing half of a connection. One write is under way at a time, and what comes meanwhile waits in `queue`: TLS allows
 * no more, and for TCP that joins the pieces. A write of TCP that the kernel takes at once leaves nothing under way. TLS
 * says so at the end of the turn only; a call for that costs more than to ask when the next write comes, so that `silent`
 * writes are not reported.
 */
export abstract class Outbound {
  bytesWritten = 0;
  /** Nothing but onClose is reported any more. */
  gone = false;

  protected readonly native: Native;
  protected readonly tcp: TcpHandle;
  /** TLS on the TCP handle; undefined for plain connections. */
  protected readonly secure: TlsHandle | undefined;
  /** What is read from and written to: `secure`, or `tcp`. */
  protected readonly stream: StreamHandle;

  /** A write is under way, or the connection is not up yet. */
  protected busy: boolean;
  /** The half-close is out. */
  protected ended = false;
  /** `end` or `finish` was called. */
  private ending = false;
  /** `finish` was called. */
  private finishing = false;
  private shuttingDown = false;
  private awaitingDrain = false;
  private queue: WriteQueue | undefined = undefined;
  /** The write under way has all gone to the kernel: nobody waits for its end, and nobody is told. */
  private silent = false;
  /** For such writes, one after the other. Undefined: none yet, or the last is to be reported after all. */
  private silentRequest: WriteRequest | undefined = undefined;

  constructor(native: Native, tcp: TcpHandle, secure: TlsHandle | undefined, up: boolean) {
    this.native = native;
    this.tcp = tcp;
    this.secure = secure;
    this.stream = secure ?? tcp;
    this.busy = !up;
  }

  abstract fail(error: Error): void;
  abstract destroy(): void;
  protected abstract writeFailed(error: NodeJS.ErrnoException): void;
  /** All that was written is in the kernel, after a write that returned false. */
  protected abstract drained(): void;
  /** The half-close is out. */
  protected abstract halfClosed(): void;

  /** The half-close was asked for, and is not yet out. */
  protected get isShuttingDown(): boolean {
    return this.shuttingDown && !this.ended;
  }

  writeLatin1(text: string): boolean {
    if (this.gone || this.ending || text.length === 0) return true;
    this.bytesWritten += text.length;
    if (this.isBusy()) return this.enqueue(text, undefined);
    if (this.secure !== undefined && text.length <= TLS_RECORD) return this.writeRecord(this.secure, text);
    return this.sent(this.stream.writeLatin1String(this.request(), text), undefined);
  }

  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (this.gone || this.ending || start >= end) return true;
    if (stable) return this.writePiece('', bytes, start, end);
    if (end - start <= TEXT_LIMIT) return this.writeLatin1(latin1(bytes, start, end));
    return this.writeCopy('', bytes, start, end);
  }

  writeHeadAndBytes(head: string, bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (end - start <= TEXT_LIMIT) return this.writeLatin1(head + latin1(bytes, start, end));
    if (this.gone || this.ending) return true;
    return stable ? this.writePiece(head, bytes, start, end) : this.writeCopy(head, bytes, start, end);
  }

  end(): void {
    if (this.gone || this.ending) return;
    this.ending = true;
    if (!this.isBusy()) this.complete();
  }

  finish(): void {
    if (this.gone || this.finishing) return;
    this.finishing = true;
    this.ending = true;
    if (!this.isBusy()) this.complete();
  }

  /** The write under way is done. */
  written(status: number, kept: readonly Buffer[] | undefined): void {
    this.busy = false;
    if (kept !== undefined) for (const buffer of kept) this.native.buffers.release(buffer);
    if (this.gone) return;
    if (status < 0) {
      this.writeFailed(systemError(status, 'write'));
      return;
    }
    this.flush();
    if (!this.gone) this.settled();
  }

  finished(): void {
    this.ended = true;
    if (this.gone) return;
    if (this.finishing) this.destroy();
    else this.halfClosed();
  }

  /** Sends what is queued, if anything is. */
  protected flush(): void {
    const { native, queue } = this;
    if (queue === undefined || queue.length === 0) return;
    const { status, taken, bases } = queue.writeTo(this.stream, this.request());
    this.sent(status, bases === undefined ? taken : taken?.concat(bases));
    // The write holds them now.
    if (bases !== undefined) for (const base of bases) native.buffers.release(base);
  }

  /** Nothing is queued any more: what waited for that goes on. */
  protected settled(): void {
    if (this.ending) {
      if (!this.busy) this.complete();
    } else if (this.awaitingDrain && !this.holding()) {
      this.awaitingDrain = false;
      this.drained();
    }
  }

  /** Nothing more can be sent, and whoever writes need not know: it takes everything, and goes nowhere. */
  protected stopWriting(): void {
    this.ending = true;
    this.shuttingDown = true;
    this.awaitingDrain = false;
    this.dropQueue();
  }

  /** Drops what has not been sent. */
  protected dropQueue(): void {
    this.queue?.clear(this.native.buffers);
  }

  private writeCopy(head: string, bytes: Buffer, start: number, end: number): boolean {
    const { buffers } = this.native;
    const copy = buffers.copyOf(bytes, start, end);
    const done = this.writePiece(head, copy, 0, end - start);
    buffers.giveBack(copy);
    return done;
  }

  private writePiece(head: string, bytes: Buffer, start: number, end: number): boolean {
    const piece = start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end);
    this.bytesWritten += head.length + piece.length;
    if (this.isBusy()) {
      if (head !== '') this.enqueue(head, undefined);
      return this.enqueue(piece, bytes);
    }
    if (head === '') return this.sent(this.stream.writeBuffer(this.request(), piece), [bytes]);
    return this.sent(this.stream.writev(this.request(), [head, 'latin1', piece, 'buffer'], false), [bytes]);
  }

  /** Whether a write is under way, or the connection is not up yet: then whoever asks is told when that is over. */
  private isBusy(): boolean {
    if (!this.silent) return this.busy;
    const request = this.silentRequest as WriteRequest;
    this.silent = false;
    if (request.getAsyncId() >= 0) {
      request.oncomplete = onComplete;
      this.silentRequest = undefined;
      return true;
    }
    this.busy = false;
    return false;
  }

  /** Writes a text that fits into one TLS record. */
  private writeRecord(secure: TlsHandle, text: string): boolean {
    const { native } = this;
    this.silentRequest ??= native.newRequest();
    const request = this.silentRequest;
    request.owner = this;
    request.oncomplete = onComplete;
    const status = secure.writeLatin1String(request, text);
    if (status !== 0) {
      this.writeFailed(systemError(status, 'write'));
      return true;
    }
    // TLS reports some failures from within the call.
    if (request.done || this.gone) return true;
    this.busy = true;
    if (this.tcp.writeQueueSize === 0) {
      this.silent = true;
      request.oncomplete = undefined;
      return true;
    }
    this.silentRequest = undefined;
    this.awaitingDrain = true;
    return false;
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
      this.writeFailed(systemError(status, 'write'));
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
}

function onShutdown(this: ShutdownRequest): void {
  // An error means that the peer has gone; reading tells that too.
  (this.owner as Outbound).finished();
}
