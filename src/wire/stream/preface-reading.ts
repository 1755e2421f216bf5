import type { Socket } from 'node:net';
import type { Deadlines, Timed } from '../../exchange/deadlines.ts';
import type { PrefaceOutcome, PrefaceReader } from '../wire.ts';

const NOTHING = Buffer.alloc(0);

/** The first bytes of a connection, read from its socket before anything else is made of it. */
export class PrefaceReading implements Timed {
  deadline = Number.POSITIVE_INFINITY;
  deadlineIndex = -1;
  private readonly raw: Socket;
  private readonly reader: PrefaceReader;
  private readonly deadlines: Deadlines;
  private readonly done: (outcome: Exclude<PrefaceOutcome, 'refused'>) => void;
  private bytes: Buffer = NOTHING;
  private over = false;

  private readonly onReadable = (): void => this.read();
  private readonly onLost = (): void => this.onDeadline();

  /** @param done called when the socket is as if only what follows the preface had come */
  constructor(raw: Socket, reader: PrefaceReader, deadlines: Deadlines, done: (outcome: Exclude<PrefaceOutcome, 'refused'>) => void) {
    this.raw = raw;
    this.reader = reader;
    this.deadlines = deadlines;
    this.done = done;
  }

  /** @param timeout milliseconds */
  start(timeout: number): void {
    const { raw } = this;
    this.deadline = performance.now() + timeout;
    this.deadlines.add(this);
    raw.on('error', ignore);
    raw.on('end', this.onLost);
    raw.on('close', this.onLost);
    raw.on('readable', this.onReadable);
  }

  onDeadline(): void {
    if (this.over) return;
    this.finish();
    this.raw.destroy();
    this.reader.abandoned();
  }

  private read(): void {
    for (let chunk = this.next(); chunk !== undefined; chunk = this.next()) {
      this.bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk]);
      let outcome: PrefaceOutcome | undefined;
      try {
        outcome = this.reader.read(this.bytes);
      } catch {
        outcome = 'refused';
      }
      if (outcome === undefined) continue;
      this.finish();
      if (outcome === 'refused') this.raw.destroy();
      else this.handOver(outcome);
    }
  }

  private next(): Buffer | undefined {
    return this.over ? undefined : ((this.raw.read() as Buffer | null) ?? undefined);
  }

  private handOver(outcome: Exclude<PrefaceOutcome, 'refused'>): void {
    const { raw, bytes } = this;
    if (outcome.skip < bytes.length) raw.unshift(bytes.subarray(outcome.skip));
    // Only after this turn the socket has forgotten that somebody waited for 'readable'.
    setImmediate(() => {
      if (!raw.destroyed) this.done(outcome);
    });
  }

  private finish(): void {
    const { raw } = this;
    this.over = true;
    this.deadlines.remove(this);
    raw.off('readable', this.onReadable);
    raw.off('end', this.onLost);
    raw.off('close', this.onLost);
  }
}

function ignore(): void {}
