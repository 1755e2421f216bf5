import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DescriptorShortage } from './descriptor-shortage.ts';

function bench() {
  const counts = { told: 0, logged: 0, madeRoom: 0, paused: 0 };
  const clock = { now: 1000 };
  const shortage = new DescriptorShortage(
    () => counts.logged++,
    { closeIdle: () => counts.madeRoom++ },
    () => counts.told++,
    () => clock.now,
  );
  const listener = {
    pauseAccepting: () => {
      counts.paused++;
      shortage.paused();
    },
  };
  return { clock, counts, listener, shortage };
}

test('each thing that a pause brings about has a rate of its own, however often there is one', () => {
  const { clock, counts, shortage } = bench();
  for (; clock.now < 2000; clock.now++) shortage.paused();
  assert.deepEqual(counts, { told: 50, logged: 1, madeRoom: 5, paused: 0 });
  clock.now += 10_000;
  shortage.paused();
  assert.deepEqual(counts, { told: 51, logged: 2, madeRoom: 6, paused: 0 });
});

test('who hears of it pauses, makes room, and tells nobody for as long as a pause takes', () => {
  const { clock, counts, listener, shortage } = bench();
  shortage.heard([listener, listener]);
  assert.deepEqual(counts, { told: 0, logged: 1, madeRoom: 1, paused: 2 });
  clock.now += 19;
  shortage.paused();
  assert.equal(counts.told, 0);
  clock.now++;
  shortage.paused();
  assert.equal(counts.told, 1);
});
