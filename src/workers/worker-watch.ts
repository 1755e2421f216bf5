/** Whether the workers' event loops go round: one that hangs keeps its connections, gets its share of the new ones, and answers none. */
import type { PoolLog } from './worker-pool.ts';

/** How often a worker shows that its event loop goes round, and how often that is looked at (ms). */
export const PULSE = 1000;
/** Looks in a row that found nothing new: from then on the log tells of the worker, and it does not count as one that serves. */
export const HANGS_AFTER = 10;
/** And from then on it is given up. Nothing that a worker does takes nearly as long. */
export const LOST_AFTER = 30;

/** A counter for each worker, in memory that all threads see: a loop that hangs takes no message. */
export class Pulses {
  readonly #cells: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#cells = new Int32Array(buffer);
  }

  static allocate(workers: number): SharedArrayBuffer {
    return new SharedArrayBuffer(workers * Int32Array.BYTES_PER_ELEMENT);
  }

  /** For that worker, each time that its loop has gone round. */
  beat(worker: number): void {
    Atomics.add(this.#cells, worker, 1);
  }

  read(worker: number): number {
    return Atomics.load(this.#cells, worker);
  }
}

interface Watched {
  pulse: number;
  /** Since the last one that found something new. */
  looks: number;
}

/**
 * Looks at the pulses from the main thread. Looks are counted, not time: while the whole process stands still, stopped or
 * with its machine, nobody looks either.
 */
export class WorkerWatch {
  readonly #pulses: Pulses;
  readonly #every: number;
  readonly #log: PoolLog;
  readonly #giveUp: (worker: number) => void;
  readonly #timer: NodeJS.Timeout;
  /** By worker; undefined: it does not serve yet. */
  readonly #watched: (Watched | undefined)[] = [];

  /** @param every milliseconds from one look to the next @param giveUp ends a worker that hangs, so that another takes its place */
  constructor(pulses: Pulses, every: number, log: PoolLog, giveUp: (worker: number) => void) {
    this.#pulses = pulses;
    this.#every = every;
    this.#log = log;
    this.#giveUp = giveUp;
    this.#timer = setInterval(() => this.look(), every).unref();
  }

  /** That worker serves. */
  begin(worker: number): void {
    this.#watched[worker] = { pulse: this.#pulses.read(worker), looks: 0 };
  }

  /** It is dead. */
  end(worker: number): void {
    this.#watched[worker] = undefined;
  }

  look(): void {
    this.#watched.forEach((state, worker) => {
      if (state === undefined) return;
      const pulse = this.#pulses.read(worker);
      const isNew = pulse !== state.pulse;
      if (isNew && state.looks >= HANGS_AFTER) this.#log('warn', 'worker goes on', { worker });
      state.pulse = pulse;
      state.looks = isNew ? 0 : state.looks + 1;
      if (state.looks === HANGS_AFTER) this.#log('error', 'worker hangs: its event loop does not go round', { worker, reason: 'worker_hangs' });
      if (state.looks !== LOST_AFTER) return;
      this.#log('error', 'worker still hangs: it is replaced', { worker, reason: 'worker_hangs' });
      this.#giveUp(worker);
    });
  }

  isHanging(worker: number): boolean {
    return (this.#watched[worker]?.looks ?? 0) >= HANGS_AFTER;
  }

  /** How late its loop is by now, in seconds; 0 while that is within what is usual. */
  lateness(worker: number): number {
    const looks = this.#watched[worker]?.looks ?? 0;
    return looks < 2 ? 0 : (looks * this.#every) / 1000;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
