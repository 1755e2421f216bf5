/**
 * The shared memory of the rate limiter: one block of a fixed size, made once by the main thread and seen by all workers, so
 * that a limit is one limit over all of them. It holds a header, the locks, and two tables of slots: `counters` for the
 * algorithms whose state is two numbers, `logs` for sliding windows. It never grows; how full sets of slots are dealt with
 * is in slot-table.ts.
 *
 * By default that is room for 1.9 million keys of counters (64 MiB) and 240,000 of logs (36 MiB), 100 MiB in all. The
 * system backs a page with memory when it is first written, so a gateway with few clients pays for little of it.
 */
import { randomFillSync } from 'node:crypto';
import { SetLocks } from './set-locks.ts';
import { SLOTS_PER_SET, SlotTable } from './slot-table.ts';

/** Words of the header, as indexes of an Int32Array. */
export const INTS = { clockLock: 0, overflows: 1, counterSets: 2, logSets: 3, hashKey0: 4, hashKey1: 5 } as const;
/** Numbers of the header, as indexes of a Float64Array. */
export const FLOATS = { base: 8, wallOffset: 9, suspected: 10, suspectedSince: 11 } as const;

/** Float64s of state that a slot has. */
export const COUNTER_STATE = 2;
export const LOG_STATE = 16;
/** Where in the header a state of nothing but zeros stands: what a key that has no slot is judged by. Never written. */
export const ZERO_STATE = 16;
const HEADER_FLOATS = ZERO_STATE + LOG_STATE;

export interface MemorySize {
  /** Sets of 16 slots for TokenBucket, LeakyBucket and FixedWindow; a power of two. */
  readonly counterSets: number;
  /** Sets of 16 slots for SlidingWindow; a power of two. */
  readonly logSets: number;
}

export const DEFAULT_SIZE: MemorySize = { counterSets: 131_072, logSets: 16_384 };

/** @throws RangeError when a number of sets is no power of two */
export function makeMemory(size: MemorySize): SharedArrayBuffer {
  for (const sets of [size.counterSets, size.logSets]) {
    if (!Number.isInteger(sets) || sets < 1 || sets > 1 << 24 || (sets & (sets - 1)) !== 0)
      throw new RangeError(`${sets} sets: must be a power of two from 1 to ${1 << 24}`);
  }
  const lockFloats = alignedToLine((size.counterSets + size.logSets) / 2);
  const floats = HEADER_FLOATS + lockFloats + size.counterSets * SlotTable.floatsPerSet(COUNTER_STATE) + size.logSets * SlotTable.floatsPerSet(LOG_STATE);
  const buffer = new SharedArrayBuffer(floats * Float64Array.BYTES_PER_ELEMENT);
  const ints = new Int32Array(buffer);
  ints[INTS.counterSets] = size.counterSets;
  ints[INTS.logSets] = size.logSets;
  randomFillSync(ints, INTS.hashKey0, 2);
  return buffer;
}

/** Up to a whole number of cache lines. */
function alignedToLine(floats: number): number {
  return Math.ceil(floats / 8) * 8;
}

/** One thread's view of the memory. */
export class LimiterMemory {
  readonly ints: Int32Array;
  readonly floats: Float64Array;
  readonly counters: SlotTable;
  readonly logs: SlotTable;

  constructor(buffer: SharedArrayBuffer) {
    this.ints = new Int32Array(buffer);
    this.floats = new Float64Array(buffer);
    const counterSets = this.ints[INTS.counterSets] as number;
    const logSets = this.ints[INTS.logSets] as number;
    const locks = HEADER_FLOATS * 2;
    const counters = HEADER_FLOATS + alignedToLine((counterSets + logSets) / 2);
    const logs = counters + counterSets * SlotTable.floatsPerSet(COUNTER_STATE);
    this.counters = new SlotTable(this.ints, this.floats, { sets: counterSets, locksAt: locks, slotsAt: counters, state: COUNTER_STATE });
    this.logs = new SlotTable(this.ints, this.floats, { sets: logSets, locksAt: locks + counterSets, slotsAt: logs, state: LOG_STATE });
  }

  /** For the main thread, after that worker died: frees what it held locked. @returns the number of locks it held */
  releaseWorker(worker: number): number {
    let released = SetLocks.releaseOf(worker, this.ints, INTS.clockLock) ? 1 : 0;
    for (const table of [this.counters, this.logs]) {
      for (let set = 0; set < table.sets; set++) if (SetLocks.releaseOf(worker, this.ints, table.lockOf(set))) released++;
    }
    return released;
  }

  /** Requests so far that were judged by a slot that they share with other keys, because their set was full. */
  get overflows(): number {
    return Atomics.load(this.ints, INTS.overflows) >>> 0;
  }

  /** Keys that there is room for. */
  get capacity(): { readonly counters: number; readonly logs: number } {
    return { counters: this.counters.sets * (SLOTS_PER_SET - 1), logs: this.logs.sets * (SLOTS_PER_SET - 1) };
  }
}
