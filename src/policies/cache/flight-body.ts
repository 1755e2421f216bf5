import type { BodySink, BodySource } from '../../exchange/exchange.ts';
import type { Fields } from '../../exchange/fields.ts';

/** Bytes that a reader may be behind with once the body is not kept. */
const MAX_BEHIND = 256 * 1024;

/**
 * A body on its way from a backend to any number of readers, each at its own pace. As long as it is kept, all of it is there for
 * those who come later; after that only what somebody still has to read, and the slowest sets the pace.
 */
export class FlightBody {
  readonly #chunks: Buffer[] = [];
  /** Place of the first chunk in the body. */
  #start = 0;
  #end = 0;
  #isKept = true;
  #state: 'coming' | 'whole' | 'broken' = 'coming';
  #trailers: Fields | undefined = undefined;
  #reason = '';
  readonly #readers = new Set<Reader>();
  readonly #onRoom: () => void;
  readonly #onUnread: () => void;

  /** @param onRoom after `write` returned false: there is room again @param onUnread the last reader has left before the end */
  constructor(onRoom: () => void, onUnread: () => void) {
    this.#onRoom = onRoom;
    this.#onUnread = onUnread;
  }

  get length(): number {
    return this.#end;
  }

  get isKept(): boolean {
    return this.#isKept;
  }

  get hasReaders(): boolean {
    return this.#readers.size > 0;
  }

  /** Only while it is kept. */
  get chunks(): readonly Buffer[] {
    return this.#chunks;
  }

  /** Of all that has come, for an answer. It counts from its `start` on, which comes at once or, where the client has just gone, never. */
  reader(): BodySource {
    return new Reader(this);
  }

  /** Nobody else is going to read it. */
  keepNoMore(): void {
    this.#isKept = false;
    this.#drop();
  }

  /** @returns false: readers can't follow; `onRoom` tells when they can */
  write(bytes: Buffer, start: number, end: number): boolean {
    if (end > start) {
      // Never a part of a larger buffer, which would be kept with it.
      const copy = Buffer.allocUnsafeSlow(end - start);
      bytes.copy(copy, 0, start, end);
      this.#chunks.push(copy);
      this.#end += end - start;
      for (const reader of [...this.#readers]) reader.pump();
      this.#drop();
    }
    return this.hasRoom;
  }

  get hasRoom(): boolean {
    return this.#isKept || this.#end - this.#start < MAX_BEHIND;
  }

  finish(trailers: Fields | undefined): void {
    this.#state = 'whole';
    this.#trailers = trailers;
    for (const reader of [...this.#readers]) reader.pump();
  }

  /** @param reason for the log of those who read */
  break(reason: string): void {
    this.#state = 'broken';
    this.#reason = reason;
    for (const reader of [...this.#readers]) reader.pump();
  }

  // --- for readers ---

  join(reader: Reader): void {
    this.#readers.add(reader);
  }

  leave(reader: Reader): void {
    if (!this.#readers.delete(reader) || this.#readers.size > 0 || this.#state !== 'coming') return;
    this.#onUnread();
  }

  /** Some reader has got on. */
  moved(): void {
    if (this.#isKept || this.#state !== 'coming') return;
    const hadRoom = this.hasRoom;
    this.#drop();
    if (!hadRoom && this.hasRoom) this.#onRoom();
  }

  #drop(): void {
    if (this.#isKept) return;
    let least = this.#end;
    for (const reader of this.#readers) least = Math.min(least, reader.place);
    while (this.#chunks.length > 0 && this.#start + (this.#chunks[0] as Buffer).length <= least) this.#start += (this.#chunks.shift() as Buffer).length;
  }

  /** Gives a reader what it has not got. @returns whether it takes more */
  giveTo(reader: Reader, sink: BodySink): boolean {
    let chunkStart = this.#start;
    for (const chunk of this.#chunks) {
      const chunkEnd = chunkStart + chunk.length;
      if (reader.place < chunkEnd) {
        const from = reader.place - chunkStart;
        reader.place = chunkEnd;
        if (!sink.writeGiven(chunk, from, chunk.length)) return false;
      }
      chunkStart = chunkEnd;
    }
    return true;
  }

  /** Once a reader has got all that there is. */
  endOf(reader: Reader, sink: BodySink): void {
    if (this.#state === 'coming') return;
    this.#readers.delete(reader);
    if (this.#state === 'whole') sink.endGiven(this.#trailers);
    else sink.abortGiven(this.#reason);
  }

  get isBroken(): boolean {
    return this.#state === 'broken';
  }
}

class Reader implements BodySource {
  place = 0;
  readonly #body: FlightBody;
  #sink: BodySink | undefined = undefined;
  #writable = false;

  constructor(body: FlightBody) {
    this.#body = body;
  }

  start(sink: BodySink, writable: boolean): void {
    this.#sink = sink;
    this.#writable = writable;
    this.#body.join(this);
    this.pump();
  }

  resume(): void {
    this.#writable = true;
    this.pump();
    this.#body.moved();
  }

  stop(): void {
    this.#sink = undefined;
    this.#body.leave(this);
    this.#body.moved();
  }

  pump(): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    if (this.#writable) this.#writable = this.#body.giveTo(this, sink);
    // What is cut is told at once: the rest would not make it whole.
    if (this.#body.isBroken || this.place === this.#body.length) this.#end(sink);
  }

  #end(sink: BodySink): void {
    this.#body.endOf(this, sink);
  }
}
