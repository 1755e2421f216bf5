/** The limit that a worker sets itself, against simulated load: no real time passes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { AdaptiveLimit, FLOOR, TARGET_DELAY, TICK } from './adaptive-limit.ts';
import { RecentCount } from './recent-count.ts';

interface Outcome {
  readonly served: number;
  readonly shed: number;
  /** Of the second half, in milliseconds: how long what arrives waits. */
  readonly meanDelay: number;
  readonly limit: number;
}

/**
 * A worker whose exchanges take a millisecond of its time each, and `wait` ticks of their backend's.
 * @param load exchanges that arrive in a tick
 * @param pause milliseconds that the whole worker stands still in a tick
 */
function simulate(ticks: number, load: (tick: number) => number, wait = 0, pause: (tick: number) => number = () => 0): Outcome {
  const limit = new AdaptiveLimit();
  const recent = new RecentCount();
  /** Work that is queued, and exchanges that end once it is done, by tick. */
  const queue: number[] = [];
  const waiting = new Map<number, number[]>();
  let served = 0;
  let shed = 0;
  let delays = 0;
  for (let tick = 0; tick < ticks; tick++) {
    for (let number = 0; number < load(tick); number++) {
      if (recent.count < limit.limit) queue.push(recent.begin());
      else shed++;
    }
    const time = TICK - pause(tick);
    waiting.set(tick + wait, queue.splice(0, Math.max(0, time)));
    for (const begun of waiting.get(tick) ?? []) {
      recent.end(begun);
      served++;
    }
    waiting.delete(tick);
    const delay = queue.length + pause(tick);
    if (tick >= ticks / 2) delays += delay;
    limit.tick(delay, recent.count);
    recent.tick();
  }
  return { served, shed, meanDelay: delays / (ticks / 2), limit: limit.limit };
}

describe('limit by what a worker keeps up with', () => {
  it('sheds nothing below the load that it can serve, with pauses as of a garbage collector', () => {
    const { shed, limit } = simulate(
      600,
      () => 80,
      1,
      (tick) => (tick % 17 === 0 ? 90 : 0),
    );
    assert.deepEqual([shed, limit], [0, Number.POSITIVE_INFINITY]);
  });

  it('sheds nothing because backends are slow, however many exchanges wait for them', () => {
    for (const wait of [5, 50, 500]) assert.equal(simulate(600, () => 90, wait).shed, 0);
  });

  it('at twice the load keeps busy, sheds the rest, and keeps the delay near its target', () => {
    const { served, shed, meanDelay } = simulate(1200, () => 200);
    assert.ok(served > 0.9 * 1200 * 100, `${served} served`);
    assert.ok(shed > 0.3 * 1200 * 200, `${shed} shed`);
    assert.ok(meanDelay < 4 * TARGET_DELAY, `${meanDelay} ms`);
  });

  it('forgets the limit once the load is over', () => {
    const { limit } = simulate(1200, (tick) => (tick < 300 ? 300 : 20));
    assert.equal(limit, Number.POSITIVE_INFINITY);
  });

  it('is never below its floor, and never there while the delay is short', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ delay: fc.nat(1000), active: fc.nat(5000) }), { maxLength: 200 }), (ticks) => {
        const limit = new AdaptiveLimit();
        let isLate = false;
        for (const { delay, active } of ticks) {
          limit.tick(delay, active);
          if (delay > TARGET_DELAY) isLate = true;
          assert.ok(limit.limit >= FLOOR);
          if (!isLate) assert.equal(limit.limit, Number.POSITIVE_INFINITY);
        }
      }),
    );
  });

  it('one pause, however long, changes nothing', () => {
    const limit = new AdaptiveLimit();
    for (const delay of [0, 0, 5000, 0, 0, 3000, 0, 0, 0, 4000]) limit.tick(delay, 1000);
    assert.equal(limit.limit, Number.POSITIVE_INFINITY);
  });
});

describe('what is under way and recent', () => {
  it('is counted until it ends, or for ten ticks', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constant('begin'), fc.constant('tick'), fc.nat(20)), { maxLength: 200 }), (steps) => {
        const recent = new RecentCount();
        let tick = 0;
        const open: { readonly token: number; readonly begun: number }[] = [];
        for (const step of steps) {
          if (step === 'begin') {
            open.push({ token: recent.begin(), begun: tick });
          } else if (step === 'tick') {
            recent.tick();
            tick++;
          } else {
            const [ended] = open.splice(Number(step), 1);
            if (ended !== undefined) recent.end(ended.token);
          }
          assert.equal(recent.count, open.filter(({ begun }) => tick - begun < 10).length);
        }
      }),
    );
  });
});
