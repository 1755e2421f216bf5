import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FaultInjection } from '../snapshot/filters.ts';
import { exchangeOf } from './exchange.fixture.ts';
import { faultInjection } from './fault-injection.ts';
import { type PolicyContext, Verdict } from './policy.ts';

/** Chances that go evenly round from 0 to 1, and so give each share exactly. */
function even(count: number): () => number {
  let next = 0;
  return () => (next++ % count) / count;
}

function filterOf(spec: FaultInjection, random: () => number, counter: PolicyContext['counter'] = () => ({ value: 0 })) {
  return faultInjection.compile(spec, { random, counter } as PolicyContext);
}

test('as many fail as the share says, and are counted', () => {
  const counts: Record<string, { value: number }> = {};
  const filter = filterOf({ abort: { statusCode: 503, percent: 7 } }, even(1000), (_name, { kind = '' }) => {
    counts[kind] ??= { value: 0 };
    return counts[kind];
  });
  let failed = 0;
  for (let count = 0; count < 1000; count++) if (filter.onRequest?.(exchangeOf()) === Verdict.Answered) failed++;
  assert.equal(failed, 70);
  assert.deepEqual(counts, { delay: { value: 0 }, abort: { value: 70 } });
});

test('a request that is held back goes on afterwards, or fails then', async () => {
  for (const percent of [0, 100]) {
    const filter = filterOf({ delay: { duration: 5, percent: 100 }, abort: { statusCode: 500, percent } }, () => 0.5);
    const exchange = exchangeOf();
    const resumed = new Promise<void>((resolve) => {
      exchange.resume = resolve;
    });
    assert.equal(filter.onRequest?.(exchange), Verdict.Waiting);
    await resumed;
    assert.equal(exchange.reply?.reason, percent === 0 ? undefined : 'fault_injected');
  }
});

test('one whose client has left is forgotten', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const filter = filterOf({ delay: { duration: 1000, percent: 100 } }, () => 0);
  const exchange = exchangeOf();
  exchange.resume = () => assert.fail('nobody waits for it');
  assert.equal(filter.onRequest?.(exchange), Verdict.Waiting);
  exchange.onAbandoned?.();
  context.mock.timers.tick(2000);
});
