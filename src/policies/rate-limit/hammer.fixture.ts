/** For tests: a worker thread that asks a limiter as fast as it can, at the same time as others. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Limit } from '../../snapshot/rate-limit.ts';
import { exchangeOf } from '../exchange.fixture.ts';
import { SimulatedTime } from './limiter.fixture.ts';
import { RateLimiter } from './limiter.ts';
import { LimiterMemory } from './memory.ts';
import { SetLocks } from './set-locks.ts';

export interface HammerTask {
  readonly buffer: SharedArrayBuffer;
  readonly worker: number;
  /** Cell 0: threads that are ready; cell 1: go. */
  readonly gate: SharedArrayBuffer;
  readonly threads: number;
  readonly limits: readonly Limit[];
  readonly clients: number;
  readonly tries: number;
  /** Take every lock of the counters and never give them back. */
  readonly holdsLocks?: boolean;
}

const task = workerData as HammerTask;
const gate = new Int32Array(task.gate);

if (task.holdsLocks) {
  const memory = new LimiterMemory(task.buffer);
  const locks = new SetLocks(memory.ints, task.worker);
  for (let set = 0; set < memory.counters.sets; set++) locks.acquire(memory.counters.lockOf(set));
  parentPort?.postMessage('holding');
  // For good: this thread is to be killed.
  Atomics.wait(gate, 1, 0);
}

// A clock that stands still: nothing comes back while the threads are at it.
const limiter = new RateLimiter(task.buffer, task.worker, new SimulatedTime());
const set = limiter.compile(task.limits);
const exchange = exchangeOf();
const passed = new Array<number>(task.clients).fill(0);

if (Atomics.add(gate, 0, 1) + 1 === task.threads) {
  Atomics.store(gate, 1, 1);
  Atomics.notify(gate, 1);
} else {
  Atomics.wait(gate, 1, 0);
}
for (let index = 0; index < task.tries; index++) {
  const client = (index + task.worker) % task.clients;
  exchange.clientAddress = `10.0.${client >> 8}.${client & 255}`;
  if (limiter.admit(set, exchange)) passed[client] = (passed[client] as number) + 1;
}
parentPort?.postMessage(passed);
