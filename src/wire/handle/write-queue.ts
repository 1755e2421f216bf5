import type { StreamHandle, WriteRequest } from './bindings.ts';
import type { ReadBuffers } from './read-buffers.ts';

/** What waits for the write under way: text, and bytes that nobody changes meanwhile. Sent as one write when its turn comes. */
export class WriteQueue {
  /** Bytes. */
  length = 0;
  private pieces: (string | Buffer)[] = [];
  /** Read buffers that pieces are part of; held until they are sent. */
  private bases: Buffer[] | undefined = undefined;

  /** @param base buffer that `piece` is part of, when it is not the queue's own copy */
  push(piece: string | Buffer, base: Buffer | undefined, buffers: ReadBuffers): void {
    this.pieces.push(piece);
    this.length += piece.length;
    if (base === undefined) return;
    buffers.hold(base);
    this.bases ??= [];
    this.bases.push(base);
  }

  /** Hands everything to the handle in one write. Returns the call's status; what must outlive it is `taken`. */
  writeTo(stream: StreamHandle, request: WriteRequest): { status: number; taken: readonly Buffer[] | undefined; bases: readonly Buffer[] | undefined } {
    const { pieces, bases } = this;
    this.pieces = [];
    this.length = 0;
    this.bases = undefined;
    const [first] = pieces;
    if (pieces.every(isText)) {
      return { status: stream.writeLatin1String(request, pieces.length === 1 ? (first as string) : pieces.join('')), taken: undefined, bases };
    }
    const taken = pieces.filter(isBuffer);
    if (pieces.length === 1) return { status: stream.writeBuffer(request, first as Buffer), taken, bases };
    const chunks: (string | Buffer)[] = [];
    for (const piece of pieces) chunks.push(piece, typeof piece === 'string' ? 'latin1' : 'buffer');
    return { status: stream.writev(request, chunks, false), taken, bases };
  }

  /** Drops what has not been sent. */
  clear(buffers: ReadBuffers): void {
    if (this.bases !== undefined) for (const base of this.bases) buffers.release(base);
    this.bases = undefined;
    this.pieces = [];
    this.length = 0;
  }
}

function isText(piece: string | Buffer): piece is string {
  return typeof piece === 'string';
}

function isBuffer(piece: string | Buffer): piece is Buffer {
  return typeof piece !== 'string';
}
