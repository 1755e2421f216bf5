/** What is remembered of writes, and for how long. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from './clock.ts';
import { Retries } from './retries.ts';

function manual(): { readonly clock: Clock; pass(milliseconds: number): void } {
  let now = 1000;
  return {
    clock: { now: () => now, wall: () => now, sleep: () => Promise.reject(new Error('nobody waits here')) },
    pass: (milliseconds) => {
      now += milliseconds;
    },
  };
}

test('those that wait are due in their time, each once; one that need not wait is none of them', () => {
  const { clock, pass } = manual();
  const retries = new Retries(clock, () => 0.5);
  assert.equal(retries.next, Number.POSITIVE_INFINITY);
  retries.after('late', 3000);
  retries.after('soon', 1000);
  retries.after('forgotten', 500);
  retries.forget('forgotten');
  assert.deepEqual(retries.due(), []);
  pass(999);
  assert.deepEqual(retries.due(), []);
  assert.equal(retries.next, 1);
  pass(1);
  assert.deepEqual(retries.due(), ['soon']);
  assert.deepEqual(retries.due(), []);
  assert.equal(retries.next, 2000);
  retries.after('sooner', 10);
  assert.equal(retries.next, 10);
  pass(2000);
  assert.deepEqual(retries.due().sort(), ['late', 'sooner']);
  assert.equal(retries.next, Number.POSITIVE_INFINITY);
});

test('as many as there are statuses of ours may wait', () => {
  const { clock, pass } = manual();
  const retries = new Retries(clock, () => 0.5);
  for (let index = 0; index < 200_000; index++) retries.after(`object-${index}`, 30_000);
  assert.equal(retries.next, 30_000);
  pass(30_000);
  assert.equal(retries.due().length, 200_000);
});

test('who keeps writing over what we write is met less and less often; another object by the same name begins anew', () => {
  const { clock, pass } = manual();
  const retries = new Retries(clock, () => 0.5);
  assert.equal(retries.contention('a', 'x'), 0);
  retries.succeeded('a', 'x');
  assert.equal(retries.contention('a', 'x'), 1000);
  assert.equal(retries.contention('a', 'y'), 0);
  pass(1000);
  retries.succeeded('a', 'x');
  assert.equal(retries.contention('a', 'x'), 2000);
  retries.drop('a');
  assert.equal(retries.contention('a', 'x'), 0);
  assert.equal(retries.size, 0);
});

test('objects that are gone, and those that were left alone for long, are not remembered', () => {
  const { clock, pass } = manual();
  const retries = new Retries(clock, () => 0.5);
  for (let index = 0; index < 1000; index++) retries.succeeded(`object-${index}`, 'x');
  retries.failed('failing');
  assert.deepEqual([retries.size, retries.due()], [1001, []]);
  retries.drop('failing');
  for (let index = 0; index < 500; index++) retries.drop(`object-${index}`);
  assert.equal(retries.size, 500);
  pass(300_000);
  retries.succeeded('object-999', 'x');
  assert.equal(retries.size, 500);
  pass(300_000);
  retries.succeeded('another', 'x');
  assert.equal(retries.size, 2, 'the one, and the one that was written again since');
  pass(599_999);
  assert.equal(retries.contention('object-999', 'x'), 0, 'long ago');
});
