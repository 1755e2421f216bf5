import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { Limit } from '../../snapshot/rate-limit.ts';
import type { HammerTask } from './hammer.fixture.ts';
import { limitOf, SimulatedTime } from './limiter.fixture.ts';
import { RateLimiter } from './limiter.ts';
import { LimiterMemory } from './memory.ts';
import { SLEEPERS } from './set-locks.ts';

const THREADS = 4;
const PER_CLIENT = [{ type: 'ClientIP' }] as const;

function start(task: HammerTask): Worker {
  return new Worker(new URL('./hammer.fixture.ts', import.meta.url), { workerData: task });
}

/** What all threads together got through, by client. */
async function hammer(limits: readonly Limit[], clients: number, tries: number): Promise<number[]> {
  const buffer = RateLimiter.allocate({ counterSets: 256, logSets: 256, time: new SimulatedTime() });
  const gate = new SharedArrayBuffer(8);
  const workers = Array.from({ length: THREADS }, (_, worker) => start({ buffer, worker, gate, threads: THREADS, limits, clients, tries }));
  const results = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0] as number[]));
  return Array.from({ length: clients }, (_, client) => results.reduce((sum, passed) => sum + (passed[client] as number), 0));
}

for (const algorithm of ['TokenBucket', 'LeakyBucket', 'FixedWindow', 'SlidingWindow'] as const) {
  const atOnce = algorithm === 'LeakyBucket' ? 501 : 500;

  test(`${algorithm}: of what ${THREADS} threads ask for at once, exactly the limit passes`, async () => {
    const limit = limitOf({ algorithm, requests: 500, burst: 500, period: 3_600_000 });
    assert.deepEqual(await hammer([limit], 1, 10_000), [atOnce]);
  });

  test(`${algorithm}: so it does for each of many clients`, async () => {
    const limit = limitOf({ algorithm, requests: 500, burst: 500, period: 3_600_000, key: PER_CLIENT });
    assert.deepEqual(await hammer([limit], 20, 20_000), new Array(20).fill(atOnce));
  });
}

test('several limits at once, locked in one order: the common one holds exactly, and nobody waits for ever', async () => {
  const limits = [
    limitOf({ id: 'client', requests: 100, period: 3_600_000, key: PER_CLIENT }),
    limitOf({ id: 'all', requests: 1234, period: 3_600_000, algorithm: 'SlidingWindow' }),
    limitOf({ id: 'path', requests: 2000, period: 3_600_000, algorithm: 'FixedWindow', key: [{ type: 'Path' }] }),
  ];
  const passed = await hammer(limits, 20, 10_000);
  assert.equal(
    passed.reduce((sum, count) => sum + count, 0),
    1234,
  );
  assert.ok(passed.every((count) => count <= 100));
});

test('a worker that is killed with locks in its hands does not hold up the others', async () => {
  const buffer = RateLimiter.allocate({ counterSets: 8, logSets: 1, time: new SimulatedTime() });
  const limits = [limitOf({ requests: 7, period: 3_600_000 })];
  const gate = new SharedArrayBuffer(8);
  const task = { buffer, gate, limits, threads: 1, clients: 1, tries: 100 };
  const killed = start({ ...task, worker: 0, holdsLocks: true });
  await once(killed, 'message');
  const waiting = start({ ...task, worker: 1 });
  const result = once(waiting, 'message');
  const { ints, counters } = new LimiterMemory(buffer);
  const somebodySleeps = () => [0, 1, 2, 3, 4, 5, 6, 7].some((set) => Atomics.load(ints, counters.lockOf(set)) >= SLEEPERS);
  while (!somebodySleeps()) await setImmediate();
  await killed.terminate();
  assert.equal(RateLimiter.releaseWorker(buffer, 0), 8);
  assert.deepEqual((await result)[0], [7]);
});
