import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import type { Limit } from '../../snapshot/rate-limit.ts';
import { exchangeOf } from '../exchange.fixture.ts';
import { limitOf, SimulatedTime } from './limiter.fixture.ts';
import { RateLimiter } from './limiter.ts';
import type { Meter } from './meter.ts';
import { type Model, modelOf } from './models.fixture.ts';

const DAY = 86_400_000;
const MEMORY = { counterSets: 64, logSets: 64 };
const START = Date.UTC(2026, 1, 27, 23, 59, 58, 123);

type Step = { readonly pass: number } | { readonly client: number; readonly cost?: number } | { readonly requests: number; readonly burst: number };

/** Times of all sizes: bursts, parts of a period, whole periods, and so long that everything is forgotten. */
function steps(period: number, changes: boolean, costs = false): fc.Arbitrary<Step[]> {
  const pass = fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 0, max: Math.ceil(period / 10) }) },
    { weight: 2, arbitrary: fc.integer({ min: 0, max: period * 2 }) },
    { weight: 1, arbitrary: fc.constantFrom(period - 1, period, period + 1) },
    { weight: 1, arbitrary: fc.constantFrom(400 * DAY, 31 * DAY, DAY) },
  );
  return fc.array(
    fc.oneof(
      { weight: 2, arbitrary: pass.map((ms) => ({ pass: ms })) },
      // With a new rate, what was used recovers at another time, but the slot of a client that stays away may be another's by
      // the time that the old rate gave. So there is one client where rates change.
      {
        weight: 6,
        arbitrary: fc.record({ client: fc.integer({ min: 0, max: changes ? 0 : 1 }), cost: costs ? fc.integer({ min: 0, max: 12 }) : fc.constant(1) }),
      },
      { weight: changes ? 1 : 0, arbitrary: fc.record({ requests: fc.integer({ min: 1, max: 30 }), burst: fc.integer({ min: 1, max: 30 }) }) },
    ),
    { maxLength: 200 },
  );
}

function oneMeter(limiter: RateLimiter, limit: Limit): { readonly ask: (client: number, cost: number) => Meter } {
  const set = limiter.compile([limit]);
  return {
    ask: (client, cost) => {
      limiter.admit(set, exchangeOf({ client: `10.0.0.${client}`, headers: { cost: String(cost) } }));
      return set.meters[0] as Meter;
    },
  };
}

/** Runs the steps on a limiter and on the model, which must agree on every request. */
function agree(limit: Limit, sequence: readonly Step[]): void {
  const time = new SimulatedTime(START);
  const limiter = new RateLimiter(RateLimiter.allocate({ ...MEMORY, time }), 0, time);
  const models = new Map<number, Model>();
  let current = limit;
  let meter = oneMeter(limiter, current);
  for (const step of sequence) {
    if ('pass' in step) {
      time.pass(step.pass);
    } else if ('requests' in step) {
      current = { ...current, requests: step.requests, burst: current.burst === 0 ? 0 : step.burst };
      meter = oneMeter(limiter, current);
    } else {
      const model = models.get(step.client) ?? modelOf(limit, START);
      models.set(step.client, model);
      const { cost = 1 } = step;
      const expected = model.judge(time.elapsed, current, cost);
      const actual = meter.ask(step.client, cost);
      const context = `at ${time.elapsed} ms, cost ${cost}, ${JSON.stringify(current)}`;
      assert.equal(actual.isAllowed, expected.isAllowed, context);
      assert.equal(actual.remaining, expected.isAllowed ? expected.free - cost : expected.free, context);
      if (expected.isAllowed) {
        assert.ok(Math.abs(actual.waits - expected.waits) < 1e-6 * current.period + 1e-6, `waits ${actual.waits}, not ${expected.waits}, ${context}`);
        if (cost > 0) model.take(time.elapsed, current, cost);
      }
      retryHolds(model, actual, time.elapsed, current, cost, context);
    }
  }
}

/** What a refused client is told: not before, and then for sure. */
function retryHolds(model: Model, meter: Meter, now: number, limit: Limit, cost: number, context: string): void {
  // What costs more than there ever is never passes, whenever it comes.
  if (meter.isAllowed || cost > meter.capacity) return;
  const early = Math.ceil(now + meter.retryIn - 1);
  if (early > now && early - now < meter.retryIn - 1e-3) assert.equal(model.judge(early, limit, cost).isAllowed, false, `before its retry, ${context}`);
  assert.equal(model.judge(Math.ceil(now + meter.retryIn - 1e-6), limit, cost).isAllowed, true, `at its retry, ${context}`);
}

const period = fc.constantFrom(7, 100, 1000, 2999, 60_000);
const small = fc.integer({ min: 1, max: 28 });

for (const algorithm of ['TokenBucket', 'LeakyBucket', 'FixedWindow', 'SlidingWindow'] as const) {
  test(`${algorithm} is its model, over long idle times and changes of requests and burst`, () => {
    // More than 28 requests of a sliding window share stamps; that has a test of its own.
    const changes = algorithm !== 'SlidingWindow';
    const scenario = fc.record({ requests: small, period, burst: fc.integer({ min: algorithm === 'TokenBucket' ? 1 : 0, max: 30 }) }).chain((limit) =>
      steps(limit.period, changes).map((sequence) => ({
        limit: limitOf({ ...limit, algorithm, burst: algorithm.endsWith('Bucket') ? limit.burst : 0, key: [{ type: 'ClientIP' }] }),
        sequence,
      })),
    );
    fc.assert(
      fc.property(scenario, ({ limit, sequence }) => agree(limit, sequence)),
      { numRuns: 300 },
    );
  });
}

for (const algorithm of ['TokenBucket', 'LeakyBucket', 'FixedWindow', 'SlidingWindow'] as const) {
  test(`${algorithm} with costs is its model`, () => {
    const scenario = fc.record({ requests: small, period, burst: fc.integer({ min: algorithm === 'TokenBucket' ? 1 : 0, max: 30 }) }).chain((limit) =>
      steps(limit.period, algorithm !== 'SlidingWindow', true).map((sequence) => ({
        limit: limitOf({
          ...limit,
          algorithm,
          burst: algorithm.endsWith('Bucket') ? limit.burst : 0,
          key: [{ type: 'ClientIP' }],
          cost: "int(request.headers['cost'])",
        }),
        sequence,
      })),
    );
    fc.assert(
      fc.property(scenario, ({ limit, sequence }) => agree(limit, sequence)),
      { numRuns: 200 },
    );
  });
}

for (const calendar of ['Day', 'Month'] as const) {
  test(`a quota by ${calendar} is its model`, () => {
    const limits = small.map((requests) => limitOf({ algorithm: 'FixedWindow', calendar, requests, key: [{ type: 'ClientIP' }] }));
    fc.assert(
      fc.property(limits, steps(calendar === 'Day' ? DAY : 30 * DAY, true), (limit, sequence) => agree(limit, sequence)),
      { numRuns: 200 },
    );
  });
}

test('a sliding window never lets more through than it says, in any period, whatever its size and its changes', () => {
  const requests = fc.integer({ min: 1, max: 200 });
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 0, max: 80 }).map((pass) => ({ pass })) },
    { weight: 5, arbitrary: fc.integer({ min: 1, max: 120 }).map((burst) => ({ burst })) },
    { weight: 1, arbitrary: requests.map((changed) => ({ changed })) },
  );
  fc.assert(
    fc.property(requests, fc.array(step, { maxLength: 80 }), (first, sequence) => {
      const time = new SimulatedTime(START);
      const limiter = new RateLimiter(RateLimiter.allocate({ ...MEMORY, time }), 0, time);
      let limit = limitOf({ algorithm: 'SlidingWindow', requests: first, period: 100 });
      let set = limiter.compile([limit]);
      let changed = false;
      const passed: number[] = [];
      for (const next of sequence) {
        if ('pass' in next) {
          time.pass(next.pass);
        } else if ('changed' in next) {
          changed = true;
          limit = { ...limit, requests: next.changed };
          set = limiter.compile([limit]);
        } else {
          for (let index = 0; index < next.burst; index++) {
            const inPeriod = passed.filter((at) => time.elapsed - at < limit.period).length;
            const passes = limiter.admit(set, exchangeOf());
            if (passes) {
              // Every window that ends now: those that end later are looked at later.
              assert.ok(inPeriod + 1 <= limit.requests, `${inPeriod + 1} of ${limit.requests} at ${time.elapsed}`);
              passed.push(time.elapsed);
            } else if (!changed) {
              // What is counted too long is less than a group.
              assert.ok(inPeriod > limit.requests - Math.ceil(limit.requests / 28), `refused at ${inPeriod} of ${limit.requests}`);
            }
            if (index > limit.requests) break;
          }
        }
      }
      time.pass(limit.period);
      assert.equal(limiter.admit(set, exchangeOf()), true);
    }),
    { numRuns: 300 },
  );
});

test('several limits together: all count, or none does', () => {
  const algorithm = fc.constantFrom('TokenBucket' as const, 'LeakyBucket' as const, 'FixedWindow' as const, 'SlidingWindow' as const);
  const limit = fc.record({
    algorithm,
    requests: fc.integer({ min: 1, max: 8 }),
    period: fc.constantFrom(50, 100, 1000),
    isKeyed: fc.boolean(),
    isShadow: fc.boolean(),
  });
  const limits = fc
    .array(limit, { minLength: 1, maxLength: 5 })
    .map((list) =>
      list.map(({ isKeyed, isShadow, ...rest }, index) =>
        limitOf({ ...rest, id: `limit ${index}`, key: isKeyed ? [{ type: 'ClientIP' }] : [], mode: isShadow ? 'Shadow' : 'Enforce' }),
      ),
    );
  fc.assert(
    fc.property(limits, steps(100, false), (list, sequence) => {
      const time = new SimulatedTime(START);
      // One set of slots in each table, so that several limits of a request are in the same set.
      const limiter = new RateLimiter(RateLimiter.allocate({ counterSets: 1, logSets: 1, time }), 0, time);
      const set = limiter.compile(list);
      const models = new Map<string, Model>();
      for (const step of sequence) {
        if ('pass' in step) time.pass(step.pass);
        if (!('client' in step)) continue;
        const judged = list.map((one) => {
          const key = `${one.id} ${one.key.length === 0 ? '' : step.client}`;
          const model = models.get(key) ?? modelOf(one, START);
          models.set(key, model);
          return { one, model, isAllowed: model.judge(time.elapsed, one).isAllowed };
        });
        const expected = judged.every(({ one, isAllowed }) => isAllowed || one.mode === 'Shadow');
        assert.equal(limiter.admit(set, exchangeOf({ client: `10.0.0.${step.client}` })), expected);
        judged.forEach(({ one, model, isAllowed }, index) => {
          assert.equal(set.meters[index]?.isAllowed, isAllowed);
          assert.equal(set.meters[index]?.isTaken, expected && isAllowed);
          if (expected && isAllowed) model.take(time.elapsed, one);
        });
      }
    }),
    { numRuns: 300 },
  );
});
