/** The script against the models that the limiter of the pod is tested by, on a real server whose clock the test sets. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { Redis } from 'ioredis';
import fc from '../../scripts/fast-check.ts';
import { exchangeOf } from '../../src/policies/exchange.fixture.ts';
import { GlobalMeter } from '../../src/policies/rate-limit/global/global-meter.ts';
import { ACTIONS, Action, FIELDS, limitScript } from '../../src/policies/rate-limit/global/limit-script.ts';
import { limitOf } from '../../src/policies/rate-limit/limiter.fixture.ts';
import { type Model, modelOf } from '../../src/policies/rate-limit/models.fixture.ts';
import type { Limit } from '../../src/snapshot/rate-limit.ts';
import { wholeFile } from '../gateway/lifetime.ts';
import { RedisServer } from './redis-server.ts';

const DAY = 86_400_000;
const START = Date.UTC(2026, 1, 27, 23, 59, 58, 123);
/** The server's real clock is not the test's: nothing may be forgotten by it meanwhile. */
const SLACK = 3_600_000;
const SCRIPT = limitScript("{ math.floor(redis.call('GET', 'clock') / 1000), redis.call('GET', 'clock') % 1000 * 1000 }", SLACK);

let redis: Redis;
let digest = '';

before(async () => {
  const server = await RedisServer.start(wholeFile);
  redis = server.client(wholeFile);
  digest = (await redis.script('LOAD', SCRIPT)) as string;
});

interface Asked {
  readonly limits: readonly Limit[];
  readonly client: number;
  readonly action?: Action;
  readonly leavesAt?: readonly number[];
  readonly cost?: number;
}

/** Asks in one call at a time of the test's clock; the meters of each request say what came of it. */
async function ask(now: number, requests: readonly Asked[], late = 0): Promise<readonly (readonly GlobalMeter[])[]> {
  const keys: string[] = [];
  const args = [String(late)];
  for (const { limits, client, action = Action.Count, leavesAt, cost = 1 } of requests) {
    const meters = limits.map((limit) => new GlobalMeter(limit));
    args.push(String(meters.length * ACTIONS + action));
    for (const [index, meter] of meters.entries()) {
      keys.push(meter.key(exchangeOf({ client: `10.0.0.${client}` })));
      args.push(meter.definition(cost));
      if (leavesAt !== undefined) args.push(String(leavesAt[index]));
    }
  }
  const [, answer] = await Promise.all([redis.set('clock', START + now), redis.evalsha(digest, keys.length, ...keys, ...args)]);
  const numbers = answer as number[];
  if (numbers.length === 1) return [];
  let from = 1;
  return requests.map(({ limits }) =>
    limits.map((limit) => {
      const meter = new GlobalMeter(limit);
      meter.read(numbers, from);
      from += FIELDS;
      return meter;
    }),
  );
}

type Step =
  | { readonly pass: number }
  | { readonly client: number; readonly burst: number; readonly cost: number }
  | { readonly requests: number; readonly burst: number };

function steps(period: number, changes: boolean, most = 1): fc.Arbitrary<Step[]> {
  const pass = fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 0, max: Math.ceil(period / 10) }) },
    { weight: 2, arbitrary: fc.integer({ min: 0, max: period * 2 }) },
    { weight: 1, arbitrary: fc.constantFrom(period - 1, period, period + 1) },
    { weight: 1, arbitrary: fc.constantFrom(400 * DAY, 31 * DAY, DAY) },
  );
  return fc.array(
    fc.oneof(
      { weight: 2, arbitrary: pass.map((ms) => ({ pass: ms })) },
      // Requests that come together are asked about in one call.
      {
        weight: 6,
        arbitrary: fc.record({
          client: fc.integer({ min: 0, max: 1 }),
          burst: fc.integer({ min: 1, max: 6 }),
          cost: fc.integer({ min: most === 1 ? 1 : 0, max: most }),
        }),
      },
      {
        weight: changes ? 1 : 0,
        arbitrary: fc.record({ requests: fc.integer({ min: 1, max: 30 }), burst: fc.integer({ min: 1, max: 30 }) }),
      },
    ),
    { maxLength: 60 },
  );
}

/** Runs the steps on the script and on the model, which must agree on every request. */
async function agree(limit: Limit, sequence: readonly Step[]): Promise<void> {
  await redis.flushdb();
  const models = new Map<number, Model>();
  let now = 0;
  let current = limit;
  for (const step of sequence) {
    if ('pass' in step) {
      now += step.pass;
    } else if ('requests' in step) {
      current = { ...current, requests: step.requests, burst: current.burst === 0 ? 0 : step.burst };
    } else {
      const model = models.get(step.client) ?? modelOf(limit, START);
      models.set(step.client, model);
      const { cost } = step;
      const asked = Array.from({ length: step.burst }, () => ({ limits: [current], client: step.client, cost }));
      for (const [meter] of await ask(now, asked)) {
        const context = `at ${now} ms, cost ${cost}, ${JSON.stringify(current)}`;
        const expected = model.judge(now, current, cost);
        assert.ok(meter !== undefined);
        assert.equal(meter.isAllowed, expected.isAllowed, context);
        assert.equal(meter.remaining, expected.isAllowed ? expected.free - cost : expected.free, context);
        if (expected.isAllowed) {
          // Whole microseconds.
          assert.ok(Math.abs(meter.waits - expected.waits) <= 1e-3 + 1e-6 * current.period, `waits ${meter.waits}, not ${expected.waits}, ${context}`);
          if (cost > 0) model.take(now, current, cost);
        } else if (cost <= meter.capacity) {
          const early = Math.ceil(now + meter.retryIn - 1);
          if (early > now && early - now < meter.retryIn - 2e-3)
            assert.equal(model.judge(early, current, cost).isAllowed, false, `before its retry, ${context}`);
          assert.equal(model.judge(Math.ceil(now + meter.retryIn), current, cost).isAllowed, true, `at its retry, ${context}`);
        }
      }
    }
  }
}

const period = fc.constantFrom(7, 100, 1000, 2999, 60_000);
const small = fc.integer({ min: 1, max: 28 });

describe('the script is the model of', () => {
  for (const [algorithm, most] of [
    ['TokenBucket', 1],
    ['TokenBucket', 12],
    ['LeakyBucket', 1],
    ['LeakyBucket', 12],
    ['FixedWindow', 1],
    ['FixedWindow', 12],
    ['SlidingWindow', 1],
    ['SlidingWindow', 12],
  ] as const) {
    test(`${algorithm}, requests that cost up to ${most}`, async () => {
      // More than 28 requests of a sliding window share times; that has a test of its own.
      const changes = algorithm !== 'SlidingWindow';
      const scenario = fc.record({ requests: small, period, burst: fc.integer({ min: algorithm === 'TokenBucket' ? 1 : 0, max: 30 }) }).chain((limit) =>
        steps(limit.period, changes, most).map((sequence) => ({
          limit: limitOf({ ...limit, algorithm, burst: algorithm.endsWith('Bucket') ? limit.burst : 0, key: [{ type: 'ClientIP' }] }),
          sequence,
        })),
      );
      await fc.assert(
        fc.asyncProperty(scenario, ({ limit, sequence }) => agree(limit, sequence)),
        { numRuns: 50 },
      );
    });
  }

  for (const calendar of ['Day', 'Month'] as const) {
    test(`a quota by ${calendar}`, async () => {
      const limits = small.map((requests) => limitOf({ algorithm: 'FixedWindow', calendar, requests, key: [{ type: 'ClientIP' }] }));
      await fc.assert(
        fc.asyncProperty(limits, steps(calendar === 'Day' ? DAY : 30 * DAY, true), (limit, sequence) => agree(limit, sequence)),
        { numRuns: 40 },
      );
    });
  }
});

test('the end of every month is that of the calendar', async () => {
  const limit = limitOf({ algorithm: 'FixedWindow', calendar: 'Month', requests: 9 });
  for (let month = 0; month < 12 * 80; month += 1) {
    const at = Date.UTC(2024, month, 1 + (month % 28), month % 24);
    const [meters] = await ask(at - START, [{ limits: [limit], client: 1, action: Action.Peek }]);
    assert.equal(meters?.[0]?.resetsIn, Date.UTC(2024, month + 1, 1) - at, new Date(at).toISOString());
  }
});

test('a sliding window never lets more through than it says, in any period, whatever its size and its changes', async () => {
  const requests = fc.integer({ min: 1, max: 200 });
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 0, max: 80 }).map((pass) => ({ pass })) },
    { weight: 5, arbitrary: fc.integer({ min: 1, max: 60 }).map((burst) => ({ burst })) },
    { weight: 1, arbitrary: requests.map((changed) => ({ changed })) },
  );
  await fc.assert(
    fc.asyncProperty(requests, fc.array(step, { maxLength: 60 }), async (first, sequence) => {
      await redis.flushdb();
      let now = 0;
      let limit = limitOf({ algorithm: 'SlidingWindow', requests: first, period: 100 });
      let changed = false;
      const passed: number[] = [];
      for (const next of sequence) {
        if ('pass' in next) now += next.pass;
        else if ('changed' in next) {
          changed = true;
          limit = { ...limit, requests: next.changed };
        } else {
          for (const [meter] of await ask(now, Array(next.burst).fill({ limits: [limit], client: 1 }))) {
            const inPeriod = passed.filter((at) => now - at < limit.period).length;
            if (meter?.isAllowed) {
              assert.ok(inPeriod + 1 <= limit.requests, `${inPeriod + 1} of ${limit.requests} at ${now}`);
              passed.push(now);
            } else if (!changed) {
              assert.ok(inPeriod > limit.requests - Math.ceil(limit.requests / 28), `refused at ${inPeriod} of ${limit.requests}`);
            }
          }
        }
      }
      const [last] = await ask(now + limit.period, [{ limits: [limit], client: 1 }]);
      assert.equal(last?.[0]?.isAllowed, true);
    }),
    { numRuns: 40 },
  );
});

test('several limits together: all count, or none does', async () => {
  const limit = fc.record({
    algorithm: fc.constantFrom('TokenBucket' as const, 'LeakyBucket' as const, 'FixedWindow' as const, 'SlidingWindow' as const),
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
  await fc.assert(
    fc.asyncProperty(limits, steps(100, false), async (list, sequence) => {
      await redis.flushdb();
      let now = 0;
      const models = new Map<string, Model>();
      for (const step of sequence) {
        if ('pass' in step) now += step.pass;
        if (!('client' in step)) continue;
        for (const meters of await ask(now, Array(step.burst).fill({ limits: list, client: step.client }))) {
          const judged = list.map((one) => {
            const key = `${one.id} ${one.key.length === 0 ? '' : step.client}`;
            const model = models.get(key) ?? modelOf(one, START);
            models.set(key, model);
            return { one, model, isAllowed: model.judge(now, one).isAllowed };
          });
          const passes = judged.every(({ one, isAllowed }) => isAllowed || one.mode === 'Shadow');
          judged.forEach(({ one, model, isAllowed }, index) => {
            assert.equal(meters[index]?.isAllowed, isAllowed);
            assert.equal(meters[index]?.isTaken, passes && isAllowed);
            if (passes && isAllowed) model.take(now, one);
          });
        }
      }
    }),
    { numRuns: 40 },
  );
});

describe('giving back', () => {
  for (const [algorithm, more] of [
    ['TokenBucket', { burst: 3 }],
    ['FixedWindow', {}],
    ['SlidingWindow', {}],
    ['LeakyBucket', { burst: 2 }],
  ] as const) {
    test(`${algorithm}: the next request has the place`, async () => {
      await redis.flushdb();
      const limit = limitOf({ algorithm, requests: 3, period: 60_000, ...more });
      const one = { limits: [limit], client: 1 };
      const taken = await ask(0, [one, one, one, one]);
      assert.deepEqual(
        taken.map(([meter]) => meter?.isTaken),
        [true, true, true, false],
      );
      const leavesAt = [(START + (taken[2]?.[0]?.waits ?? 0)) * 1000];
      await ask(0, [{ ...one, action: Action.GiveBack, leavesAt }]);
      assert.deepEqual(
        (await ask(0, [one, one])).map(([meter]) => meter?.isTaken),
        [true, false],
      );
    });
  }

  test('a place in a queue that others are behind stays taken', async () => {
    await redis.flushdb();
    const limit = limitOf({ algorithm: 'LeakyBucket', requests: 1, period: 1000, burst: 2 });
    const one = { limits: [limit], client: 1 };
    await ask(0, [one, one, one]);
    await ask(0, [{ ...one, action: Action.GiveBack, leavesAt: [(START + 1000) * 1000] }]);
    const [next] = await ask(0, [one]);
    assert.equal(next?.[0]?.isTaken, false);
  });
});

test('what comes too late is not done', async () => {
  await redis.flushdb();
  const one = { limits: [limitOf({ requests: 1 })], client: 1 };
  assert.deepEqual(await ask(10, [one], (START + 9) * 1000), []);
  assert.equal((await ask(10, [one], (START + 10) * 1000))[0]?.[0]?.isTaken, true);
});

test('a clock that is set back neither freezes a window nor gives its quota twice', async () => {
  await redis.flushdb();
  const one = { limits: [limitOf({ algorithm: 'FixedWindow', requests: 2, period: 1000 })], client: 1 };
  await ask(3_600_000, [one, one]);
  assert.equal((await ask(0, [one]))[0]?.[0]?.isAllowed, false);
  assert.ok(((await ask(0, [one]))[0]?.[0]?.retryIn ?? 0) <= 1000);
});

test('states go by themselves, and keys tell nothing in plain', async () => {
  await redis.flushdb();
  const limit = limitOf({ requests: 1, period: 5000, key: [{ type: 'Header', name: 'authorization' }, { type: 'ClientIP' }] });
  await ask(0, [{ limits: [limit], client: 1 }]);
  const [key = '', ...others] = (await redis.keys('*')).filter((name) => name !== 'clock');
  assert.deepEqual(others, []);
  assert.match(key, /^tidegate:1:\{[\w-]{22}\}:[\w-]{22}$/);
  const left = await redis.pttl(key);
  assert.ok(left > 5000 + SLACK - 60_000 && left <= 5000 + SLACK, `${left}`);
});
