import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from '../../../scripts/fast-check.ts';
import type { Limit } from '../../snapshot/rate-limit.ts';
import { exchangeOf } from '../exchange.fixture.ts';
import { limitOf, SimulatedTime } from './limiter.fixture.ts';
import { RateLimiter } from './limiter.ts';
import { DEFAULT_SIZE, INTS, LimiterMemory, makeMemory } from './memory.ts';
import { type Model, modelOf } from './models.fixture.ts';
import { SLEEPERS } from './set-locks.ts';

const ALGORITHMS = ['TokenBucket', 'LeakyBucket', 'FixedWindow', 'SlidingWindow'] as const;

function limiterWith(
  sets: number,
  time = new SimulatedTime(),
): { readonly limiter: RateLimiter; readonly buffer: SharedArrayBuffer; readonly time: SimulatedTime } {
  const buffer = RateLimiter.allocate({ counterSets: sets, logSets: sets, time });
  return { limiter: new RateLimiter(buffer, 0, time), buffer, time };
}

/** Asks for one request after the other and says how many passed. */
function passing(limiter: RateLimiter, limit: Limit, client: string, tries: number): number {
  const set = limiter.compile([limit]);
  let passed = 0;
  for (let index = 0; index < tries; index++) if (limiter.admit(set, exchangeOf({ client }))) passed++;
  return passed;
}

function collectedHeap(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().heapUsed;
}

const perClient = limitOf({ requests: 5, key: [{ type: 'ClientIP' }] });

test('limits with the same id are one limit, whoever made them ready; with another id, another', () => {
  const { limiter, buffer, time } = limiterWith(4);
  assert.equal(passing(limiter, perClient, '10.0.0.1', 3), 3);
  assert.equal(passing(new RateLimiter(buffer, 1, time), perClient, '10.0.0.1', 9), 2);
  assert.equal(passing(limiter, { ...perClient, id: 'other' }, '10.0.0.1', 9), 5);
});

test('of several limits with one id the first counts', () => {
  const { limiter } = limiterWith(4);
  const set = limiter.compile([perClient, { ...perClient, name: 'again' }]);
  assert.deepEqual(
    set.meters.map(({ limit }) => limit.name),
    ['test'],
  );
  assert.equal(limiter.admit(set, exchangeOf()), true);
  assert.equal(set.meters[0]?.remaining, 4);
});

test('each part of a key tells requests apart, and a missing value is the empty one', () => {
  const { limiter } = limiterWith(64);
  const cases = [
    { key: { type: 'ClientIP' }, requests: [{ client: '10.0.0.1' }, { client: '10.0.0.2' }] },
    { key: { type: 'Header', name: 'x-user' }, requests: [{ headers: { 'X-User': 'a' } }, { headers: { 'x-user': 'b' } }, {}] },
    { key: { type: 'Cookie', name: 'sid' }, requests: [{ headers: { Cookie: 'x=1; sid=a' } }, { headers: { Cookie: 'sid=b' } }, {}] },
    { key: { type: 'QueryParam', name: 'k' }, requests: [{ url: 'http://a.test/?k=a' }, { url: 'http://a.test/?k=%C4%80' }, {}] },
    { key: { type: 'Method' }, requests: [{ method: 'GET' }, { method: 'POST' }] },
    { key: { type: 'Path' }, requests: [{ url: 'http://a.test/x' }, { url: 'http://a.test/y?x' }] },
  ] as const;
  for (const { key, requests } of cases) {
    const set = limiter.compile([limitOf({ id: key.type, requests: 1, key: [key] })]);
    for (const request of requests) assert.equal(limiter.admit(set, exchangeOf(request)), true, JSON.stringify(request));
    for (const request of requests) assert.equal(limiter.admit(set, exchangeOf(request)), false, JSON.stringify(request));
  }
  const header = limiter.compile([limitOf({ id: 'Header', requests: 1, key: [{ type: 'Header', name: 'x-user' }] })]);
  assert.equal(limiter.admit(header, exchangeOf({ headers: { 'x-user': '' } })), false, 'an empty header is as good as none');
});

test('values of several parts do not run into each other', () => {
  const { limiter } = limiterWith(64);
  const set = limiter.compile([
    limitOf({
      requests: 1,
      key: [
        { type: 'Header', name: 'a' },
        { type: 'Header', name: 'b' },
      ],
    }),
  ]);
  const requests = [{ a: 'xy' }, { a: 'x', b: 'y' }, { b: 'xy' }, {}];
  for (const headers of requests) assert.equal(limiter.admit(set, exchangeOf({ headers })), true, JSON.stringify(headers));
  for (const headers of requests) assert.equal(limiter.admit(set, exchangeOf({ headers })), false, JSON.stringify(headers));
});

test('peeking counts nothing', () => {
  const { limiter } = limiterWith(4);
  const set = limiter.compile([perClient]);
  for (let index = 0; index < 10; index++) limiter.peek(set, exchangeOf());
  assert.equal(set.meters[0]?.remaining, 5);
  assert.equal(passing(limiter, perClient, '192.0.2.1', 9), 5);
});

for (const algorithm of ALGORITHMS) {
  test(`${algorithm}: however many keys there are for however little memory, none gets more than its limit`, () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.integer({ min: 0, max: 60 }).map((client) => ({ client })) },
      // Some clients come again and again while others push through.
      { weight: 5, arbitrary: fc.integer({ min: 0, max: 2 }).map((client) => ({ client })) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 300 }).map((pass) => ({ pass })) },
    );
    const limits = fc.array(fc.record({ requests: fc.integer({ min: 1, max: 6 }), period: fc.constantFrom(100, 1000) }), { minLength: 1, maxLength: 2 });
    fc.assert(
      fc.property(limits, fc.array(step, { minLength: 50, maxLength: 400 }), (specs, steps) => {
        const { limiter, time } = limiterWith(1);
        const start = time.wall();
        const list = specs.map((spec, index) => limitOf({ ...spec, algorithm, id: `limit ${index}`, key: [{ type: 'ClientIP' }] }));
        const sets = list.map((limit) => limiter.compile([limit]));
        const models = new Map<string, Model>();
        for (const next of steps) {
          if ('pass' in next) {
            time.pass(next.pass);
            continue;
          }
          list.forEach((limit, index) => {
            const set = sets[index];
            if (set === undefined || !limiter.admit(set, exchangeOf({ client: `10.0.0.${next.client}` }))) return;
            const key = `${limit.id} ${next.client}`;
            const model = models.get(key) ?? modelOf(limit, start);
            models.set(key, model);
            assert.equal(model.judge(time.elapsed, limit).isAllowed, true, `${key} at ${time.elapsed}`);
            model.take(time.elapsed, limit);
          });
        }
      }),
      { numRuns: 200 },
    );
  });
}

test('where a set is full, newcomers share one slot, and are counted', () => {
  const { limiter, buffer, time } = limiterWith(1);
  for (let client = 0; client < 15; client++) assert.equal(passing(limiter, perClient, `10.0.0.${client}`, 9), 5);
  assert.equal(RateLimiter.overflows(buffer), 0);
  assert.equal(passing(limiter, perClient, '10.0.1.1', 3), 3);
  assert.equal(passing(limiter, perClient, '10.0.1.2', 9), 2, 'what the other newcomer has left');
  assert.equal(RateLimiter.overflows(buffer), 12);
  // Another limit finds no slot at all, and is told when there will be one: the shared slot is full like all others.
  const other = limiter.compile([limitOf({ id: 'other', requests: 7, key: [] })]);
  assert.equal(limiter.admit(other, exchangeOf()), false);
  const retryIn = other.meters[0]?.retryIn ?? Number.NaN;
  assert.ok(retryIn > 0 && retryIn <= 1000, `${retryIn}`);
  time.pass(retryIn);
  assert.equal(limiter.admit(other, exchangeOf()), true);
});

test('a newcomer that finds a slot of its own again brings along what it may have used in the shared one', () => {
  const { limiter, time } = limiterWith(1);
  const slow = limitOf({ requests: 5, period: 100_000, key: [{ type: 'ClientIP' }] });
  assert.equal(passing(limiter, slow, '10.0.0.99', 1), 1);
  for (let client = 0; client < 14; client++) assert.equal(passing(limiter, slow, `10.0.0.${client}`, 9), 5);
  assert.equal(passing(limiter, slow, '10.0.1.1', 4), 4, 'by the shared slot');
  // The slot of the client that used one is free after a fifth of the period; less than one comes back in the shared one.
  time.pass(20_000);
  assert.equal(passing(limiter, slow, '10.0.1.1', 9), 2, 'one that was left and one that came back');
  assert.equal(passing(limiter, slow, '10.0.0.99', 9), 2, 'which now shares');
});

test('a million clients need no more memory than there is, and the one that is over its limit stays so', () => {
  const time = new SimulatedTime();
  const buffer = RateLimiter.allocate({ time });
  const limiter = new RateLimiter(buffer, 0, time);
  const set = limiter.compile([limitOf({ requests: 10, period: 3_600_000, key: [{ type: 'ClientIP' }] })]);
  const size = buffer.byteLength;
  assert.ok(size < 110 * 1024 * 1024, `${size} bytes`);
  const exchange = exchangeOf();
  const hot = exchangeOf({ client: 'hot' });
  let passedHot = 0;
  let passed = 0;
  const heap = collectedHeap();
  for (let client = 0; client < 1_000_000; client++) {
    exchange.clientAddress = `10.${client >> 16}.${(client >> 8) & 255}.${client & 255}`;
    if (limiter.admit(set, exchange)) passed++;
    if (client % 1000 === 0 && limiter.admit(set, hot)) passedHot++;
  }
  assert.equal(passedHot, 10);
  // Hardly any set has more than 15 clients, and hardly any of those more than 10 that share.
  assert.ok(passed > 999_900, `${passed} passed`);
  const overflows = RateLimiter.overflows(buffer);
  assert.ok(overflows > 0 && overflows < 20_000, `${overflows} shared a slot`);
  const grown = collectedHeap() - heap;
  assert.ok(grown < 4 * 1024 * 1024, `the heap grew by ${grown} bytes`);
});

test('a worker that dies with locks held is released, and nothing else is', () => {
  const { limiter, buffer, time } = limiterWith(4);
  const memory = new LimiterMemory(buffer);
  const locks = [INTS.clockLock, ...[0, 1, 2, 3].flatMap((set) => [memory.counters.lockOf(set), memory.logs.lockOf(set)])];
  // Worker 6 holds some, one of them with another thread asleep on it; worker 7 holds one more.
  for (const [index, lock] of locks.entries()) Atomics.store(memory.ints, lock, index === 3 ? 8 : index === 5 ? 7 | SLEEPERS : index % 2 === 1 ? 7 : 0);
  assert.equal(RateLimiter.releaseWorker(buffer, 6), 3);
  assert.deepEqual(
    locks.map((lock) => Atomics.load(memory.ints, lock)),
    locks.map((_, index) => (index === 3 ? 8 : 0)),
  );
  assert.equal(RateLimiter.releaseWorker(buffer, 7), 1);
  for (let client = 0; client < 20; client++) assert.equal(passing(limiter, perClient, `10.0.0.${client}`, 9), 5);
  time.pass(1000);
});

test('numbers of sets that are no powers of two are refused', () => {
  for (const counterSets of [0, 3, 1.5, -4, 2 ** 25]) assert.throws(() => makeMemory({ ...DEFAULT_SIZE, counterSets }), RangeError);
});
