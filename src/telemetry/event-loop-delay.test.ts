import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventLoopDelay } from './event-loop-delay.ts';

function histogram(milliseconds: number) {
  const calls: string[] = [];
  return {
    calls,
    enable: () => calls.push('enable') > 0,
    disable: () => calls.push('disable') > 0,
    reset: () => void calls.push('reset'),
    percentile: (percentile: number) => (percentile === 99 ? milliseconds * 1e6 : Number.NaN),
  };
}

test('is what comes on top of the time between samples', () => {
  assert.ok(Math.abs(new EventLoopDelay(histogram(110)).take() - 0.1) < 1e-9);
});

test('of a thread that is on time is nothing, never less', () => {
  assert.equal(new EventLoopDelay(histogram(10)).take(), 0);
  assert.equal(new EventLoopDelay(histogram(9.9)).take(), 0);
});

test('begins anew with each call, and ends', () => {
  const recorded = histogram(10);
  const delay = new EventLoopDelay(recorded);
  delay.take();
  delay.close();
  assert.deepEqual(recorded.calls, ['enable', 'reset', 'disable']);
});

test("Node's own histogram counts the time between samples in", async () => {
  const { monitorEventLoopDelay } = await import('node:perf_hooks');
  const histogram = monitorEventLoopDelay({ resolution: 50 });
  histogram.enable();
  while (histogram.count < 3) await new Promise((resolve) => setTimeout(resolve, 10));
  histogram.disable();
  // What one sample is late by is taken from the next, so that it shows in none of them alone.
  assert.ok(histogram.mean >= 45e6, `${histogram.mean} ns`);
});
