import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HANGS_AFTER, LOST_AFTER, Pulses, WorkerWatch } from './worker-watch.ts';

function bench() {
  const told: string[] = [];
  const givenUp: number[] = [];
  const pulses = new Pulses(Pulses.allocate(2));
  // The test looks by itself.
  const watch = new WorkerWatch(
    pulses,
    60_000,
    (level, message, { worker }) => told.push(`${level} ${worker}: ${message}`),
    (worker) => givenUp.push(worker),
  );
  watch.close();
  const look = (times: number, ...alive: readonly number[]) => {
    for (let time = 0; time < times; time++) {
      for (const worker of alive) pulses.beat(worker);
      watch.look();
    }
  };
  return { told, givenUp, pulses, watch, look };
}

test('a worker whose loop does not go round is told of once, and given up once', () => {
  const { told, givenUp, watch, look } = bench();
  for (const worker of [0, 1]) watch.begin(worker);
  look(HANGS_AFTER - 1, 0);
  assert.deepEqual([told, watch.isHanging(1), watch.lateness(1)], [[], false, 60 * (HANGS_AFTER - 1)]);
  look(1, 0);
  assert.deepEqual([told, watch.isHanging(1)], [['error 1: worker hangs: its event loop does not go round'], true]);
  look(LOST_AFTER - HANGS_AFTER - 1, 0);
  assert.deepEqual([told.length, givenUp], [1, []]);
  look(10, 0);
  assert.deepEqual([told.slice(1), givenUp], [['error 1: worker still hangs: it is replaced'], [1]]);
  assert.deepEqual([watch.isHanging(0), watch.lateness(0)], [false, 0]);
});

test('one that goes on is told of, and may hang again', () => {
  const { told, watch, look } = bench();
  watch.begin(0);
  look(HANGS_AFTER);
  look(1, 0);
  assert.deepEqual([told.length, told[1], watch.isHanging(0), watch.lateness(0)], [2, 'warn 0: worker goes on', false, 0]);
  look(HANGS_AFTER);
  assert.deepEqual([told.length, watch.isHanging(0)], [3, true]);
});

test('a look that comes twice as often as the pulse says nothing of a worker, nor is one watched that does not serve', () => {
  const { told, givenUp, watch, look } = bench();
  watch.begin(0);
  for (let round = 0; round < 2 * LOST_AFTER; round++) {
    look(1, 0);
    look(1);
    assert.equal(watch.lateness(0), 0);
  }
  watch.end(0);
  look(2 * LOST_AFTER);
  assert.deepEqual([told, givenUp, watch.isHanging(0), watch.isHanging(1)], [[], [], false, false]);
  // Its successor.
  watch.begin(0);
  assert.equal(watch.isHanging(0), false);
});
