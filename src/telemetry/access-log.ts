/**
 * The access log: one JSON object a line. Lines are joined and written in batches of up to 64 KiB, at the latest
 * after 200 ms, to a descriptor that never blocks (log-sink.ts): what the sink does not take is kept up to a cap, then
 * dropped and counted. Traffic never waits for it.
 */
import { writeSync } from 'node:fs';
import { AccessLines, type AccessRecord } from './access-line.ts';
import { closeSink, openSink } from './log-sink.ts';

const BATCH_BYTES = 64 * 1024;
/** Lines are joined up to that length before they become bytes: a call for each would cost as much as half a line. */
const JOINED = 4 * 1024;
/** Room for the lines that fill a batch up. */
const CAPACITY = BATCH_BYTES + 16 * 1024;
const MAX_HELD_BYTES = 1024 * 1024;
const FLUSH_EVERY_MS = 200;
/** How often a target is tried again that could not be opened. */
const OPEN_EVERY_MS = 5_000;
/** How long the end of the process may wait for the log. */
const FINISH_WITHIN_MS = 500;

interface Batch {
  readonly bytes: Buffer;
  readonly lines: number;
}

export class AccessLog {
  readonly #target: string;
  /** Undefined while there is none to be had. */
  #descriptor: number | undefined = undefined;
  /** When the target is tried again, on the clock of `performance.now()`; Infinity: it is open. */
  #openAt = Number.POSITIVE_INFINITY;
  readonly #baton: LogBaton;
  readonly #countDropped: (lines: number) => void;
  readonly #tell: (error: NodeJS.ErrnoException | undefined) => void;
  readonly #timer: NodeJS.Timeout;
  /** The last lines, not yet bytes. */
  #text = '';
  #textLines = 0;
  /** Lines as bytes: text that is held would be copied by every young collection until it is written. */
  #bytes: Buffer = Buffer.allocUnsafeSlow(CAPACITY);
  #used = 0;
  #lines = 0;
  /** Batches to be written before `#bytes`. */
  readonly #queue: Batch[] = [];
  #queued = 0;
  /** A batch on its way that the sink has taken in part; the baton is ours meanwhile. */
  #pending: Batch | undefined;
  /** The memory of a batch that was written, for the next one. */
  #spare: Buffer | undefined;
  readonly #format = new AccessLines();

  /**
   * @param target path of the file to append to; `stdout` for the process's own output
   * @param baton shared by all threads that write to the same target
   * @param countDropped called with the number of lines that were dropped
   * @param tell hears once why the target can't be opened, and with undefined once it is: meanwhile lines go where they went before, or wait
   */
  constructor(target: string, baton: LogBaton, countDropped: (lines: number) => void, tell: (error: NodeJS.ErrnoException | undefined) => void) {
    this.#target = target;
    this.#baton = baton;
    this.#countDropped = countDropped;
    this.#tell = tell;
    this.#open();
    this.#timer = setInterval(() => this.flush(), FLUSH_EVERY_MS);
    this.#timer.unref();
  }

  write(record: AccessRecord): void {
    if (this.#queued + this.#used > MAX_HELD_BYTES) {
      this.#countDropped(1);
      return;
    }
    this.#text += this.#format.line(record);
    this.#textLines++;
    if (this.#text.length >= JOINED) this.#pour();
    if (this.#used >= BATCH_BYTES && this.#pending === undefined) this.flush();
  }

  /** Writes what is held, as far as the sink takes it now. */
  flush(): void {
    if (this.#pending === undefined) {
      if (performance.now() >= this.#openAt) this.#open();
      if (this.#descriptor === undefined) return;
      this.#seal();
      if (this.#queue.length === 0 || !this.#baton.take()) return;
      this.#next();
    }
    while (this.#pending !== undefined) {
      const { bytes, lines }: Batch = this.#pending;
      try {
        const written = writeSync(this.#descriptor as number, bytes);
        if (written < bytes.length) {
          this.#pending = { bytes: bytes.subarray(written), lines };
          continue;
        }
        if (bytes.buffer.byteLength === CAPACITY) this.#spare = Buffer.from(bytes.buffer);
      } catch (error) {
        // A full pipe: the rest of this batch goes first the next time, and the baton stays here so that no line is torn.
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return;
        this.#countDropped(lines);
      }
      this.#next();
    }
    this.#baton.give();
  }

  /** The text becomes bytes. */
  #pour(): void {
    const text = this.#text;
    if (text.length > CAPACITY - this.#used) this.#enqueueBytes();
    if (text.length > CAPACITY) {
      this.#enqueue({ bytes: Buffer.from(text, 'latin1'), lines: this.#textLines });
    } else {
      this.#used += this.#bytes.write(text, this.#used, 'latin1');
      this.#lines += this.#textLines;
    }
    this.#text = '';
    this.#textLines = 0;
  }

  /** What was collected so far becomes a batch. */
  #seal(): void {
    if (this.#textLines > 0) this.#pour();
    this.#enqueueBytes();
  }

  #enqueueBytes(): void {
    if (this.#used === 0) return;
    this.#enqueue({ bytes: this.#bytes.subarray(0, this.#used), lines: this.#lines });
    this.#bytes = this.#spare ?? Buffer.allocUnsafeSlow(CAPACITY);
    this.#spare = undefined;
    this.#used = 0;
    this.#lines = 0;
  }

  #enqueue(batch: Batch): void {
    this.#queue.push(batch);
    this.#queued += batch.bytes.length;
  }

  #next(): void {
    this.#pending = this.#queue.shift();
    if (this.#pending !== undefined) this.#queued -= this.#pending.bytes.length;
  }

  /**
   * Writes what is left, as far as the sink takes it within a moment: another thread may hold the baton just now, and a
   * process that ends comes to no further flush. What it does not take is dropped and counted.
   */
  async finish(): Promise<void> {
    for (const deadline = performance.now() + FINISH_WITHIN_MS; ; ) {
      this.flush();
      if (this.#textLines + this.#used === 0 && this.#queue.length === 0 && this.#pending === undefined) return;
      if (performance.now() >= deadline) break;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    this.#countDropped(this.#queue.reduce((lines, batch) => lines + batch.lines, this.#lines + this.#textLines + (this.#pending?.lines ?? 0)));
  }

  /** Opens a file anew, after it was moved away by a log rotation. */
  reopen(): void {
    if (this.#target === 'stdout') return;
    this.flush();
    this.#open();
  }

  /** Opens the target in place of what was open. Whatever has become of its folder, traffic goes on. */
  #open(): void {
    let descriptor: number;
    try {
      descriptor = openSink(this.#target);
    } catch (error) {
      if (this.#openAt === Number.POSITIVE_INFINITY) this.#tell(error as NodeJS.ErrnoException);
      this.#openAt = performance.now() + OPEN_EVERY_MS;
      return;
    }
    if (this.#descriptor !== undefined) closeSink(this.#descriptor);
    this.#descriptor = descriptor;
    if (this.#openAt !== Number.POSITIVE_INFINITY) this.#tell(undefined);
    this.#openAt = Number.POSITIVE_INFINITY;
  }

  close(): void {
    clearInterval(this.#timer);
    this.flush();
    if (this.#pending !== undefined) this.#baton.give();
    if (this.#descriptor !== undefined) closeSink(this.#descriptor);
  }
}

/**
 * Lets one thread at a time write to a sink that all share, so that no line is torn: pipes take long writes in pieces.
 * Nobody waits for it; a thread that finds it taken tries again with its next batch.
 */
export class LogBaton {
  readonly #holder: Int32Array;
  readonly #self: number;

  /** @param buffer four shared bytes @param worker this thread's number */
  constructor(buffer: SharedArrayBuffer, worker: number) {
    this.#holder = new Int32Array(buffer);
    this.#self = worker + 1;
  }

  take(): boolean {
    return Atomics.compareExchange(this.#holder, 0, 0, this.#self) === 0;
  }

  give(): void {
    Atomics.compareExchange(this.#holder, 0, this.#self, 0);
  }

  /** For the main thread, after that worker died. */
  static release(buffer: SharedArrayBuffer, worker: number): void {
    Atomics.compareExchange(new Int32Array(buffer), 0, worker + 1, 0);
  }
}
