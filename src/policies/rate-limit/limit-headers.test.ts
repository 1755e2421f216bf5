import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import type { Limit } from '../../snapshot/rate-limit.ts';
import { LimitHeaders } from './limit-headers.ts';
import { limitOf } from './limiter.fixture.ts';
import type { ShownMeter } from './meter.ts';

type Shown = { -readonly [Name in keyof ShownMeter]: ShownMeter[Name] };

const shown = (limit: Limit): Shown => ({
  limit,
  isEnforced: true,
  isAsked: true,
  capacity: limit.requests,
  isAllowed: true,
  isTaken: true,
  remaining: 0,
  resetsIn: 0,
  retryIn: 0,
  waits: 0,
  windowLength: (now) => now + 1000,
});

test('what is remembered of the last answer never shows: each says how the limits stand now', () => {
  const state = fc.record({
    isAsked: fc.boolean(),
    isAllowed: fc.boolean(),
    remaining: fc.nat(2),
    resetsIn: fc.constantFrom(0, 1, 999, 1000, 1001, 5e14),
    retryIn: fc.constantFrom(0, 1, 2),
  });
  const limits = fc.constantFrom(
    [limitOf({ name: 'one' })],
    [limitOf({ name: 'one' }), limitOf({ name: 'two', requests: 2 })],
    [limitOf({ name: 'one', when: 'true' }), limitOf({ name: 'two' })],
    [limitOf({ name: 'month', algorithm: 'FixedWindow', calendar: 'Month' })],
  );
  fc.assert(
    fc.property(limits, fc.array(fc.tuple(state, state, fc.nat(1)), { maxLength: 20 }), (compiled, steps) => {
      const meters = compiled.map(shown);
      const headers = new LimitHeaders(meters);
      for (const [one, two, now] of steps) {
        Object.assign(meters[0] as Shown, one);
        if (meters.length > 1) Object.assign(meters[1] as Shown, two);
        assert.equal(headers.render(now), new LimitHeaders(meters).render(now));
      }
    }),
  );
});
