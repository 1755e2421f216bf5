import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SlicedWork, type Steps } from './sliced-work.ts';

/** A clock that steps move, and slices that run when they are told to. */
function machine() {
  let now = 0;
  const later: (() => void)[] = [];
  const done: string[] = [];
  const work = new SlicedWork(
    () => now,
    (run) => later.push(run),
  );
  function* steps(name: string, count: number, each: number): Steps & Iterable<void> {
    for (let step = 0; step < count; step++) {
      now += each;
      done.push(`${name}${step}`);
      yield;
    }
  }
  return { work, steps, done, later, take: () => done.splice(0).join(' ') };
}

test('what is small is done at once', () => {
  const { work, steps, take, later } = machine();
  work.add(steps('a', 2, 1));
  assert.equal(take(), 'a0 a1');
  assert.equal(later.length, 0);
});

test('what is large is done in slices, in order, and everything else comes in between', () => {
  const { work, steps, take, later } = machine();
  work.add(steps('a', 5, 2));
  assert.equal(take(), 'a0 a1');
  work.add(steps('b', 1, 1));
  assert.equal(take(), '', 'what comes later waits for what came before');
  const slices: string[] = [];
  for (let run = later.shift(); run !== undefined; run = later.shift()) {
    run();
    slices.push(take());
  }
  assert.deepEqual(slices, ['a2 a3', 'a4 b0']);
});
