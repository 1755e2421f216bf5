import { latin1 } from '../wire/latin1.ts';
import type { Connection } from '../wire/wire.ts';
import { type Flushable, flushLater } from './flush-queue.ts';
import { Flag, FRAME_HEADER, FrameType, frameHeader } from './frames.ts';

/** Up to here DATA is joined to the other frames as text, whose cost is a copy; above, in the buffer below. */
const TEXT_DATA = 4 * 1024;
/** Frames that wait for the end of the turn go out before it when they are more than this. */
const MAX_PENDING = 32 * 1024;

interface Latin1Writable {
  latin1Write(text: string, offset: number, length: number): number;
}

/** Where frames with much DATA are put together; one for all connections of the thread, since a write is done with it when it returns. */
const assembly = Buffer.allocUnsafeSlow(64 * 1024);

/** The frames of one connection on their way out: those of one turn of the event loop go out in one write. */
export class FrameOutput implements Flushable {
  /** The peer takes no more for now; `onDrain` of the connection tells when it does. */
  held = false;
  #pending = '';
  #scheduled = false;
  #closed = false;
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** As that of the connection. */
  get isBroken(): boolean {
    return this.#connection.isBroken;
  }

  /** Bytes that wait for a write. */
  get pendingBytes(): number {
    return this.#pending.length;
  }

  /** Sends whole frames, characters being bytes; they wait while the output is held. */
  send(frames: string): void {
    if (this.#closed) return;
    this.#pending += frames;
    if (this.#scheduled || this.held) return;
    this.#scheduled = true;
    flushLater(this);
  }

  /**
   * Sends `bytes[start..end)` as DATA, in frames of at most `maxFrame` bytes; perhaps an empty one. To be called only while
   * the output is not held. The bytes are copied, or gone, when it returns.
   */
  sendData(streamId: number, bytes: Buffer, start: number, end: number, endStream: boolean, maxFrame: number): void {
    if (this.#closed) return;
    const length = end - start;
    if (length <= TEXT_DATA) {
      this.send(frameHeader(length, FrameType.Data, endStream ? Flag.EndStream : 0, streamId) + (length === 0 ? '' : latin1(bytes, start, end)));
      if (this.#pending.length > MAX_PENDING) this.flush();
      return;
    }
    if (this.#pending.length > TEXT_DATA) this.flush();
    let at = 0;
    if (this.#pending !== '') {
      at = this.#take(0);
    }
    for (let position = start; position < end; ) {
      const size = Math.min(maxFrame, end - position, assembly.length - FRAME_HEADER);
      if (at + FRAME_HEADER + size > assembly.length) {
        this.#write(at);
        at = 0;
      }
      const flags = endStream && position + size === end ? Flag.EndStream : 0;
      (assembly as unknown as Latin1Writable).latin1Write(frameHeader(size, FrameType.Data, flags, streamId), at, FRAME_HEADER);
      bytes.copy(assembly, at + FRAME_HEADER, position, position + size);
      at += FRAME_HEADER + size;
      position += size;
    }
    this.#write(at);
  }

  /** Writes what waits, unless the peer takes no more. */
  flush(): void {
    this.#scheduled = false;
    if (this.held || this.#pending === '') return;
    const frames = this.#pending;
    this.#pending = '';
    if (!this.#connection.writeLatin1(frames)) this.held = true;
  }

  /** The peer takes more again. */
  drained(): void {
    this.held = false;
    this.flush();
  }

  /** Writes what waits, as the last of the connection. */
  close(): void {
    if (this.#pending !== '') {
      if (!this.#connection.writeLatin1(this.#pending)) this.held = true;
    }
    this.drop();
  }

  /** The connection is gone. */
  drop(): void {
    this.#pending = '';
    this.#closed = true;
  }

  /** Puts what waits before the DATA. @returns where that goes */
  #take(at: number): number {
    const frames = this.#pending;
    this.#pending = '';
    return at + (assembly as unknown as Latin1Writable).latin1Write(frames, at, frames.length);
  }

  #write(length: number): void {
    if (!this.#connection.write(assembly, 0, length, false)) this.held = true;
  }
}
