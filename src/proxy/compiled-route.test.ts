/** The filter chains of routes: what a route does not use, its requests do not pay for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { Fields } from '../exchange/fields.ts';
import { contextOf } from '../policies/context.fixture.ts';
import { exchangeOf } from '../policies/exchange.fixture.ts';
import { type Filter, Verdict } from '../policies/policy.ts';
import { MAX_BODY_BYTES } from '../snapshot/defaults.ts';
import type { RouteFilters } from '../snapshot/filters.ts';
import { type FilterChain, FilterChains } from './compiled-route.ts';

/** What every route has. */
const NONE: RouteFilters = { limits: { maxRequestBodyBytes: MAX_BODY_BYTES } };
const ROUNDS = 500_000;
const TIMES = 5;

/** Code is compiled while it runs, not beside it: what runs below is compiled when it has run often enough, however busy the machine is. */
setFlagsFromString('--no-concurrent-recompilation');

/** Bytes of the heap that an exchange through the chain takes, once its code is compiled: until then, numbers that are read are objects at times. */
function bytesOf({ requestFilters, responseFilters }: Pick<FilterChain, 'requestFilters' | 'responseFilters'>): number {
  const exchange = exchangeOf();
  const fields = Fields.of([['Content-Type', 'text/plain']]);
  let least = Number.POSITIVE_INFINITY;
  for (let time = 0; time < TIMES; time++) {
    // Counted from the process's start, whatever was collected since.
    const before = getHeapStatistics().total_allocated_bytes;
    for (let round = 0; round < ROUNDS; round++) {
      for (let index = 0; index < requestFilters.length; index++) requestFilters[index]?.onRequest?.(exchange);
      for (let index = 0; index < responseFilters.length; index++) responseFilters[index]?.onResponse?.(exchange, 200, fields);
    }
    least = Math.min(least, (getHeapStatistics().total_allocated_bytes - before) / ROUNDS);
  }
  return least;
}

test('a route without filters has none but the bound of bodies, and an exchange allocates nothing in its chain', () => {
  const chain = new FilterChains(contextOf()).of(NONE);
  assert.deepEqual([chain.requestFilters.map(({ policy }) => policy), chain.responseFilters, chain.changesAnswers], [['limits'], [], false]);
  // No object has so few; what the measurement itself takes is spread over all rounds.
  assert.ok(bytesOf(chain) < 4);
  // That this would be seen.
  const kept: object[] = [{}];
  const allocating: Filter = {
    policy: 'limits',
    describe: () => '',
    onRequest: () => {
      kept[0] = { a: kept[0] !== undefined };
      return Verdict.Continue;
    },
  };
  assert.ok(bytesOf({ requestFilters: [allocating], responseFilters: [] }) >= 8);
});

test('routes with the same specification share their chain; a filter is only where it has something to do', () => {
  const chains = new FilterChains(contextOf());
  assert.equal(chains.of(NONE), chains.of(NONE));
  const modifier = { set: [{ name: 'x-a', value: 'b' }], add: [], remove: [] };
  const chain = chains.of({ ...NONE, requestHeaderModifier: modifier, responseHeaderModifier: modifier });
  assert.deepEqual(
    [chain.requestFilters.map(({ policy }) => policy), chain.responseFilters.map(({ policy }) => policy), chain.changesAnswers],
    [['limits', 'requestHeaderModifier'], ['responseHeaderModifier'], false],
  );
});
