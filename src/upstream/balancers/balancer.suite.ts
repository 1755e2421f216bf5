/** What holds for every balancer. Requests come from many clients, so that the hashing ones spread as well. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import type { EndpointState } from '../endpoint-state.ts';
import { endpoint, endpointStates, FakeClock, request, seeded } from '../fixtures.ts';
import type { Balanced, Balancer, BalancerContext } from './balancer.ts';

/** @param byRequest the request alone decides, not what was picked before */
export function describeBalancer(name: string, create: (context: BalancerContext) => Balancer, byRequest = false): void {
  describe(`${name}: what holds for every balancer`, () => {
    const make = (states: readonly EndpointState[], seed = 1): Balancer => {
      const balancer = create({ random: seeded(seed), now: new FakeClock().now });
      balancer.update(states);
      return balancer;
    };
    const states = (count: number) => endpointStates(Array.from({ length: count }, (_, index) => endpoint(index)));

    it('has nothing to pick without endpoints, before and after there were some', () => {
      const balancer = make([]);
      assert.equal(balancer.pick(client(0), undefined), undefined);
      const [one] = states(1);
      balancer.update(states(3));
      assert.notEqual(balancer.pick(client(0), undefined), undefined);
      balancer.update([]);
      assert.equal(balancer.pick(client(0), undefined), undefined);
      assert.equal(balancer.pick(client(0), one), undefined);
    });

    it('picks the only endpoint always, even one that has failed', () => {
      const [one] = states(1);
      const balancer = make([one as EndpointState]);
      for (let number = 0; number < 10; number++) {
        assert.equal(balancer.pick(client(number), undefined), one);
        assert.equal(balancer.pick(client(number), one), one);
      }
    });

    it('spreads evenly', () => {
      for (const count of [2, 3, 7, 20]) {
        const picks = count * 2_000;
        const counts = tally(make(states(count)), picks);
        assert.equal(counts.size, count);
        // 2,000 each: a standard deviation is below 45 even for independent picks.
        for (const [state, times] of counts) assert.ok(Math.abs(times - 2_000) < 225, `${state.name} of ${count} was picked ${times} times`);
      }
    });

    it('never picks the endpoint to avoid while there is another', () => {
      fc.assert(
        fc.property(fc.integer({ min: 2, max: 12 }), fc.nat(), fc.nat(), (count, avoided, seed) => {
          const all = states(count);
          const avoid = all[avoided % count];
          const balancer = make(all, seed);
          const seen = new Set<EndpointState | undefined>();
          for (let number = 0; number < 40 * count; number++) seen.add(balancer.pick(client(number), avoid));
          assert.ok(!seen.has(avoid) && !seen.has(undefined));
          assert.equal(seen.size, count - 1);
        }),
        { numRuns: 40 },
      );
    });

    it('passes over an endpoint to avoid that it does not know', () => {
      const [stranger] = endpointStates([endpoint(99)]);
      const balancer = make(states(3));
      for (let number = 0; number < 30; number++) assert.ok(balancer.pick(client(number), stranger) !== undefined);
    });

    it('picks only from the endpoints of the last update', () => {
      fc.assert(
        fc.property(fc.array(fc.uniqueArray(fc.nat({ max: 9 }), { maxLength: 10 }), { minLength: 1, maxLength: 6 }), fc.nat(), (updates, seed) => {
          const all = states(10);
          const balancer = make([], seed);
          for (const indexes of updates) {
            const listed = indexes.sort((a, b) => a - b).map((index) => all[index] as EndpointState);
            balancer.update(listed);
            for (let number = 0; number < 15; number++) {
              const avoid = all[number % 10];
              const picked = balancer.pick(client(number), avoid);
              assert.ok(listed.length === 0 ? picked === undefined : listed.includes(picked as EndpointState));
            }
          }
        }),
        { numRuns: 60 },
      );
    });

    it('gives the same picks for the same chance and clock', () => {
      assert.deepEqual(sequence(make(states(5), 42), 200), sequence(make(states(5), 42), 200));
    });

    it('is spread after an update as before it', () => {
      const all = states(6);
      const balancer = make(all.slice(0, 3));
      tally(balancer, 100);
      balancer.update(all);
      const counts = tally(balancer, 6_000);
      for (const state of all) assert.ok(Math.abs((counts.get(state) ?? 0) - 1_000) < 150, `${state.name}: ${counts.get(state)}`);
    });

    if (byRequest) {
      it('picks the same endpoint for the same request, whatever the worker and what came before', () => {
        const one = make(states(5), 1);
        const other = make(states(5), 2);
        tally(other, 17);
        for (let number = 0; number < 300; number++) assert.equal(one.pick(client(number), undefined)?.name, other.pick(client(number), undefined)?.name);
      });
    }
  });
}

export function client(number: number): Balanced {
  const key = `198.51.${number >> 8}.${number & 255}`;
  return request({ clientAddress: key, path: `/${key}`, header: key, cookie: key, queryParam: key });
}

function tally(balancer: Balancer, picks: number): Map<EndpointState, number> {
  const counts = new Map<EndpointState, number>();
  for (let number = 0; number < picks; number++) {
    const state = balancer.pick(client(number), undefined) as EndpointState;
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  return counts;
}

function sequence(balancer: Balancer, picks: number): (string | undefined)[] {
  return Array.from({ length: picks }, (_, number) => balancer.pick(client(number), undefined)?.name);
}
