import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import type { Limit } from '../../snapshot/rate-limit.ts';
import { exchangeOf } from '../exchange.fixture.ts';
import { limitOf, SimulatedTime } from './limiter.fixture.ts';
import { type LimitSet, RateLimiter } from './limiter.ts';

const HOUR = 3_600_000;
const MINUTE = 60_000;

class Bench {
  readonly time: SimulatedTime;
  readonly limiter: RateLimiter;
  readonly set: LimitSet;

  constructor(limit: Partial<Limit>, start: number) {
    this.time = new SimulatedTime(start);
    this.limiter = new RateLimiter(RateLimiter.allocate({ counterSets: 16, logSets: 1, time: this.time }), 0, this.time);
    this.set = this.limiter.compile([limitOf({ algorithm: 'FixedWindow', ...limit })]);
  }

  /** How many of `tries` pass at once. */
  passing(tries: number): number {
    let passed = 0;
    for (let index = 0; index < tries; index++) if (this.limiter.admit(this.set, exchangeOf())) passed++;
    return passed;
  }

  /** Wall time at which the present window ends. */
  get end(): number {
    this.limiter.peek(this.set, exchangeOf());
    return this.time.wall() + (this.set.meters[0]?.resetsIn ?? Number.NaN);
  }
}

test('windows are aligned to the epoch', () => {
  const bench = new Bench({ requests: 3, period: MINUTE }, Date.UTC(2026, 5, 1, 12, 0, 50));
  assert.equal(bench.passing(5), 3);
  assert.ok(Math.abs(bench.end - Date.UTC(2026, 5, 1, 12, 1)) < 1);
  bench.time.pass(10_000);
  assert.equal(bench.passing(5), 3);
  assert.ok(Math.abs(bench.end - Date.UTC(2026, 5, 1, 12, 2)) < 1);
});

test('daylight saving time moves no quota: days and months are those of UTC', () => {
  const zone = process.env.TZ;
  try {
    for (const [name, start] of [
      ['Europe/Berlin', Date.UTC(2026, 2, 28, 20)],
      ['Europe/Berlin', Date.UTC(2026, 9, 24, 20)],
      ['America/New_York', Date.UTC(2026, 2, 7, 20)],
      ['Australia/Lord_Howe', Date.UTC(2026, 3, 3, 20)],
    ] as const) {
      process.env.TZ = name;
      const bench = new Bench({ requests: 3, calendar: 'Day' }, start);
      const days = new Map<string, number>();
      for (let hour = 0; hour < 72; hour++) {
        const day = new Date(bench.time.wall()).toISOString().slice(0, 10);
        days.set(day, (days.get(day) ?? 0) + bench.passing(2));
        bench.time.pass(HOUR);
      }
      assert.deepEqual([...days.values()], [3, 3, 3, 3], name);
    }
  } finally {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  }
});

test('months have their own lengths', () => {
  const bench = new Bench({ requests: 1, calendar: 'Month' }, Date.UTC(2028, 0, 31, 23, 59));
  for (const month of [1, 2, 3, 4]) {
    assert.equal(bench.passing(2), 1);
    assert.ok(Math.abs(bench.end - Date.UTC(2028, month, 1)) < 1, `month ${month}`);
    bench.time.pass(Date.UTC(2028, month, 1) - bench.time.wall());
  }
});

for (const [name, jump] of [
  ['forward', HOUR],
  ['back', -HOUR],
] as const) {
  test(`a wall clock that is set an hour ${name} neither freezes a window nor fills it again`, () => {
    const bench = new Bench({ requests: 10, period: HOUR }, Date.UTC(2026, 5, 1, 12, 30));
    assert.equal(bench.passing(20), 10);
    bench.time.setWallBy(jump);
    for (let minute = 0; minute < 30; minute++) {
      assert.equal(bench.passing(20), 0, `minute ${minute}`);
      bench.time.pass(MINUTE);
    }
    // The jump was whole hours, so the window ends when it would have.
    assert.equal(bench.passing(20), 10);
  });

  test(`a day's quota is not handed out twice when the clock is set an hour ${name} at midnight`, () => {
    for (const [before, quotas] of [
      [-30, 4],
      // Set forward just after midnight, 84 hours reach into a fifth day.
      [30, jump > 0 ? 5 : 4],
    ] as const) {
      const bench = new Bench({ requests: 10, calendar: 'Day' }, Date.UTC(2026, 5, 1, 12));
      let passed = bench.passing(20);
      bench.time.pass(12 * HOUR + before * MINUTE);
      passed += bench.passing(20);
      bench.time.setWallBy(jump);
      for (let hour = 0; hour < 72; hour++) {
        passed += bench.passing(20);
        bench.time.pass(HOUR);
      }
      assert.equal(passed, quotas * 10, `${before} minutes`);
      // By then days end at midnight of the new clock.
      assert.equal(new Date(bench.end + 500).toISOString().slice(11, 19), '00:00:00');
    }
  });
}

test('a clock that is set wrong for a moment moves nothing', () => {
  const bench = new Bench({ requests: 1, period: HOUR }, Date.UTC(2026, 5, 1, 12, 30));
  bench.time.setWallBy(17 * MINUTE);
  assert.equal(bench.passing(1), 1);
  bench.time.pass(2000);
  assert.equal(bench.passing(1), 0);
  bench.time.setWallBy(-17 * MINUTE);
  for (let index = 0; index < 10; index++) {
    bench.time.pass(2000);
    bench.passing(1);
  }
  assert.ok(Math.abs(bench.end - Date.UTC(2026, 5, 1, 13)) < 1);
});

test('whatever is done to the wall clock, windows are half to one and a half periods long and hold what they may', () => {
  const period = 1000;
  const requests = 3;
  const jump = fc.integer({ min: -3 * HOUR, max: 3 * HOUR });
  // Long enough for the clock to be believed, and never idle, so that every window follows another.
  const gaps = fc.array(fc.integer({ min: 50, max: 150 }), { minLength: 80, maxLength: 100 });
  fc.assert(
    fc.property(fc.array(fc.record({ jump, gaps }), { minLength: 1, maxLength: 4 }), (phases) => {
      const bench = new Bench({ requests, period }, Date.UTC(2026, 5, 1));
      const passed: number[] = [];
      for (const { jump, gaps } of phases) {
        bench.time.setWallBy(jump);
        for (const pass of gaps) {
          bench.time.pass(pass);
          const now = bench.time.elapsed;
          for (let count = bench.passing(4); count > 0; count--) passed.push(now);
          // All that a window allows passes within 150 ms of its beginning.
          const recent = passed.filter((at) => now - at < period / 2 - 150).length;
          assert.ok(recent <= requests, `${recent} within half a period`);
          const reset = bench.set.meters[0]?.resetsIn ?? Number.NaN;
          assert.ok(reset > 0 && reset <= 1.5 * period + 1, `resets in ${reset}`);
        }
      }
    }),
    { numRuns: 100 },
  );
});
