import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { type Departure, Departures } from './departures.ts';

function departure(at: number, leave: () => void): Departure {
  return { at, isGone: false, leave };
}

test('they leave in the order of their turns, none before its turn, and those that are gone not at all', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ after: fc.integer({ min: 0, max: 50 }), stays: fc.boolean() }) },
    fc.record({ pass: fc.integer({ min: 0, max: 30 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      let now = 0;
      const queue = new Departures(() => now);
      const left: number[] = [];
      const expected: number[] = [];
      for (const next of steps) {
        if ('pass' in next) {
          now += next.pass;
          queue.run();
          assert.equal(left.length, expected.filter((at) => at <= now).length);
        } else {
          const at = now + next.after;
          const added = departure(at, () => left.push(at));
          queue.add(added);
          if (next.stays) expected.push(at);
          else added.isGone = true;
        }
      }
      now += 100;
      queue.run();
      assert.equal(queue.size, 0);
      assert.deepEqual(
        left,
        expected.toSorted((a, b) => a - b),
      );
    }),
  );
});

test('the timer wakes for whoever is next, also when somebody earlier joins', async () => {
  const queue = new Departures(() => performance.now());
  const start = performance.now();
  const done = new EventTarget();
  const left: string[] = [];
  queue.add(
    departure(start + 40, () => {
      left.push('late');
      done.dispatchEvent(new Event('done'));
    }),
  );
  queue.add(departure(start + 10, () => left.push('early')));
  const stay = setInterval(() => {}, 1000);
  await once(done, 'done');
  clearInterval(stay);
  assert.deepEqual(left, ['early', 'late']);
  assert.ok(performance.now() >= start + 40);
  assert.equal(queue.size, 0);
});

test('a turn further away than timers reach is waited for in steps', () => {
  let now = 0;
  const queue = new Departures(() => now);
  let left = false;
  queue.add(departure(2 ** 33, () => (left = true)));
  now = 2 ** 31;
  queue.run();
  assert.equal(left, false);
  now = 2 ** 33;
  queue.run();
  assert.equal(left, true);
});
