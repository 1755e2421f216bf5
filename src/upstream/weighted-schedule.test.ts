import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { seeded } from './fixtures.ts';
import { WeightedSchedule, WINDOW } from './weighted-schedule.ts';

function take(schedule: WeightedSchedule, count: number): number[] {
  return Array.from({ length: count }, () => schedule.next());
}

/** The greatest distance from its exact share of any index in any run of 100. */
function worstInAnyRun(picks: readonly number[], weights: readonly number[]): number {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const counts = weights.map(() => 0);
  let worst = 0;
  picks.forEach((pick, place) => {
    counts[pick] = (counts[pick] as number) + 1;
    if (place >= WINDOW) {
      const out = picks[place - WINDOW] as number;
      counts[out] = (counts[out] as number) - 1;
    }
    if (place < WINDOW - 1) return;
    counts.forEach((count, index) => {
      worst = Math.max(worst, Math.abs(count - (WINDOW * (weights[index] as number)) / total));
    });
  });
  return worst;
}

/** As users write them, and as they could: even, skewed, tiny shares beside huge ones, more refs than picks. */
const weightLists = fc.oneof(
  fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 8 }),
  fc.array(fc.integer({ min: 1, max: 1_000_000 }), { minLength: 1, maxLength: 40 }),
  fc.array(fc.constantFrom(1, 2, 3, 999, 1_000_000), { minLength: 1, maxLength: 12 }),
  fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 90, maxLength: 240 }),
);

describe('weighted schedule', () => {
  it('is within one of the exact share in every run of 100, for any weights', () => {
    fc.assert(
      fc.property(weightLists, fc.nat(), (weights, seed) => {
        const picks = take(new WeightedSchedule(weights, seeded(seed)), 1_500);
        assert.ok(worstInAnyRun(picks, weights) <= 1);
      }),
      { numRuns: 400 },
    );
  });

  it('has what smooth weighted round-robin alone has not', () => {
    // Its worst run of 100 is more than one away from the exact share with these.
    const weights = [53, 44, 17, 13, 7, 3];
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const credits = weights.map(() => 0);
    const smooth = Array.from({ length: 2_000 }, () => {
      weights.forEach((weight, index) => {
        credits[index] = (credits[index] as number) + weight;
      });
      const pick = credits.indexOf(Math.max(...credits));
      credits[pick] = (credits[pick] as number) - total;
      return pick;
    });
    assert.ok(worstInAnyRun(smooth, weights) > 1);
    assert.ok(worstInAnyRun(take(new WeightedSchedule(weights, seeded(1)), 2_000), weights) <= 1);
  });

  it('is exact in the long run as well, however small a share is', () => {
    fc.assert(
      fc.property(weightLists, fc.nat(), (weights, seed) => {
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const schedule = new WeightedSchedule(weights, seeded(seed));
        const counts = weights.map(() => 0);
        for (let number = 1; number <= 20_000; number++) {
          const pick = schedule.next();
          counts[pick] = (counts[pick] as number) + 1;
          if (number % 997 !== 0) continue;
          counts.forEach((count, index) => {
            const due = (number * (weights[index] as number)) / total;
            assert.ok(Math.abs(count - due) < 4, `${count} of ${number} picks where ${due} are due`);
          });
        }
      }),
      { numRuns: 60 },
    );
  });

  it('alternates, and keeps short runs even, where the weights allow it', () => {
    const ninety = take(new WeightedSchedule([90, 10], seeded(4)), 1_000);
    for (let start = 0; start + 10 <= ninety.length; start++) assert.equal(ninety.slice(start, start + 10).filter((pick) => pick === 1).length, 1);
    const thirds = take(new WeightedSchedule([1, 1, 1], seeded(4)), 1_000);
    for (let start = 0; start + 3 <= thirds.length; start++) assert.equal(new Set(thirds.slice(start, start + 3)).size, 3);
  });

  it('begins anywhere in its sequence, so that schedules that never get far are fair together', () => {
    const counts = [0, 0, 0];
    const random = seeded(9);
    for (let number = 0; number < 30_000; number++) {
      for (const pick of take(new WeightedSchedule([970, 20, 10], random), 3)) counts[pick] = (counts[pick] as number) + 1;
    }
    assert.ok(Math.abs((counts[1] as number) - 1_800) < 200, `${counts}`);
    assert.ok(Math.abs((counts[2] as number) - 900) < 150, `${counts}`);
  });

  it('takes whole numbers of any size', () => {
    const weights = [1, 999_999_999_999];
    const picks = take(new WeightedSchedule(weights, seeded(1)), 1_000);
    assert.ok(worstInAnyRun(picks, weights) <= 1);
    assert.ok(picks.filter((pick) => pick === 0).length <= 1);
  });
});
