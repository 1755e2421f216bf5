import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { RetryBudget } from './retry-budget.ts';

/** Budgets of as many workers on one clock, which the test sets. */
function budgets(workers: number, clock = { now: 1_000_000 }): { readonly all: RetryBudget[]; readonly clock: { now: number } } {
  const buffer = RetryBudget.allocate(workers);
  return { all: Array.from({ length: workers }, (_, worker) => new RetryBudget(buffer, workers, worker, () => clock.now, 0)), clock };
}

function takeAll(budget: RetryBudget, percent = 20): number {
  let taken = 0;
  while (taken < 100_000 && budget.take(percent)) taken++;
  return taken;
}

test('without requests there are three retries a second, over ten seconds', () => {
  const { all, clock } = budgets(1);
  const [budget] = all as [RetryBudget];
  assert.equal(takeAll(budget), 30);
  clock.now += 5_000;
  assert.equal(takeAll(budget), 0);
  clock.now += 5_300;
  assert.equal(takeAll(budget), 30);
});

test('with requests it is their share, of all workers', () => {
  const { all, clock } = budgets(2);
  const [one, other] = all as [RetryBudget, RetryBudget];
  for (let count = 0; count < 600; count++) one.countRequest(clock.now);
  for (let count = 0; count < 400; count++) other.countRequest(clock.now);
  assert.equal(takeAll(one) + takeAll(other), 200);
  assert.equal(takeAll(one, 50), 300, 'another route may have a larger share, of which the others have taken a part');
});

test('the window slides: a request counts for ten seconds, and not for eleven', () => {
  const { all, clock } = budgets(1);
  const [budget] = all as [RetryBudget];
  for (let second = 0; second < 10; second++) {
    for (let count = 0; count < 100; count++) budget.countRequest(clock.now);
    clock.now += 1000;
  }
  clock.now -= 200;
  assert.equal(takeAll(budget), 200);
  clock.now += 5_000;
  assert.equal(takeAll(budget), 0);
  clock.now += 6_000;
  assert.equal(takeAll(budget), 30);
});

test('a worker in the place of a dead one keeps what that one has counted', () => {
  const buffer = RetryBudget.allocate(2);
  const clock = { now: 1_000_000 };
  const make = (worker: number): RetryBudget => new RetryBudget(buffer, 2, worker, () => clock.now, 0);
  const dead = make(1);
  for (let count = 0; count < 500; count++) dead.countRequest(clock.now);
  assert.equal(takeAll(dead), 100);
  assert.equal(takeAll(make(1)), 0);
});

test('two threads that take at once never get more than there is', async () => {
  const buffer = RetryBudget.allocate(3);
  const requests = new RetryBudget(buffer, 3, 0);
  for (let count = 0; count < 10_000; count++) requests.countRequest(performance.now());
  const gate = new SharedArrayBuffer(4);
  const module = JSON.stringify(new URL('./retry-budget.ts', import.meta.url).href);
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(${module}).then(({ RetryBudget }) => {
      const budget = new RetryBudget(workerData.buffer, 3, workerData.worker);
      const gate = new Int32Array(workerData.gate);
      Atomics.add(gate, 0, 1);
      Atomics.notify(gate, 0);
      for (let there = Atomics.load(gate, 0); there < 2; there = Atomics.load(gate, 0)) Atomics.wait(gate, 0, there);
      let taken = 0;
      for (let count = 0; count < 4000; count++) if (budget.take(20)) taken++;
      parentPort.postMessage(taken);
    });`;
  const taken = await Promise.all(
    [1, 2].map(
      (worker) =>
        new Promise<number>((resolve, reject) => {
          const thread = new Worker(code, { eval: true, workerData: { buffer, gate, worker } });
          thread.once('message', resolve);
          thread.once('error', reject);
        }),
    ),
  );
  const sum = taken.reduce((one, other) => one + other, 0);
  assert.ok(sum <= 2000, `${sum}`);
  // What both have counted and taken back at one moment may be left over, and no more than that.
  assert.ok(sum >= 1998, `${sum}`);
});
