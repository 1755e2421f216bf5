import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exchangeOf } from '../policies/exchange.fixture.ts';
import { endpoint, fakeContext, upstream } from '../upstream/fixtures.ts';
import { UpstreamState } from '../upstream/upstream-state.ts';
import type { CompiledRoute } from './compiled-route.ts';
import { type NextTry, nextTry } from './next-try.ts';
import { Where } from './retry.ts';

const route = { picker: { pickOther: () => undefined } } as unknown as CompiledRoute;

for (const type of ['RoundRobin', 'Random', 'LeastRequest'] as const) {
  test(`each try goes to an endpoint that had none yet, and only then to others again: ${type}`, () => {
    const state = new UpstreamState(
      upstream({ loadBalancer: { type } }),
      [1, 2, 3, 4].map((index) => endpoint(index)),
      fakeContext(),
    );
    const addressed = { backend: { upstream: state } } as unknown as NextTry['addressed'];
    const exchange = exchangeOf();
    for (let round = 0; round < 20; round++) {
      let last = { addressed, endpoint: state.pick(exchange, undefined) } as NextTry;
      const tried = [last.endpoint];
      for (let index = 0; index < 3; index++) {
        last = nextTry(exchange, route, last, Where.AnyEndpoint, tried) as NextTry;
        tried.push(last.endpoint);
      }
      assert.equal(new Set(tried).size, 4);
      const again = nextTry(exchange, route, last, Where.AnyEndpoint, tried);
      assert.ok(again !== undefined && again.endpoint !== last.endpoint);
    }
  });
}
