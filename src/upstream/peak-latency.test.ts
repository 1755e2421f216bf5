import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeClock } from './fixtures.ts';
import { PeakLatency } from './peak-latency.ts';

/** Cost of one more request where none is under way. */
const average = (latency: PeakLatency) => latency.load(0);
const near = (actual: number, expected: number) => assert.ok(Math.abs(actual - expected) < expected / 1e6, `${actual}, not ${expected}`);

describe('peak latency', () => {
  it('jumps up at once', () => {
    const latency = new PeakLatency(new FakeClock().now);
    latency.observe(10, false);
    near(average(latency), 10);
    latency.observe(300, false);
    near(average(latency), 300);
  });

  it('comes down by 1 - 1/e in ten seconds', () => {
    const clock = new FakeClock();
    const latency = new PeakLatency(clock.now);
    latency.observe(110, false);
    clock.time += 10_000;
    latency.observe(10, false);
    near(average(latency), 10 + 100 / Math.E);
  });

  it('decays while nothing is heard, without being changed by who looks', () => {
    const clock = new FakeClock();
    const latency = new PeakLatency(clock.now);
    latency.observe(100, false);
    for (let second = 0; second < 10; second++) {
      clock.time += 1_000;
      average(latency);
    }
    near(average(latency), 100 / Math.E);
  });

  it('takes a failure for a second at least', () => {
    const latency = new PeakLatency(new FakeClock().now);
    latency.observe(1, true);
    near(average(latency), 1_000);
    latency.observe(5_000, true);
    near(average(latency), 5_000);
  });

  it('grows with the requests under way, also before the first answer and after very fast ones', () => {
    const latency = new PeakLatency(new FakeClock().now);
    assert.equal(latency.load(0), 0);
    assert.ok(latency.load(2) > latency.load(1) && latency.load(1) > 0);
    latency.observe(0, false);
    assert.ok(latency.load(1) > latency.load(0) && latency.load(0) > 0);
  });
});
