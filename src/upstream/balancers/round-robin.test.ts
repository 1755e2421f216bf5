import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import type { EndpointState } from '../endpoint-state.ts';
import { endpoint, endpointStates, request, seeded } from '../fixtures.ts';
import { RoundRobin } from './round-robin.ts';

function make(weights: readonly number[], start = 0): { balancer: RoundRobin; states: EndpointState[]; next: (avoid?: EndpointState) => number } {
  const states = endpointStates(weights.map((weight, index) => endpoint(index, { weight })));
  const balancer = new RoundRobin({ random: () => start });
  balancer.update(states);
  return { balancer, states, next: (avoid) => states.indexOf(balancer.pick(request(), avoid) as EndpointState) };
}

const take = (count: number, next: () => number): number[] => Array.from({ length: count }, next);

describe('RoundRobin', () => {
  it('takes each in turn, from a place that chance decides', () => {
    const { next } = make([1, 1, 1]);
    assert.deepEqual(take(7, next), [0, 1, 2, 0, 1, 2, 0]);
    assert.deepEqual(take(4, make([1, 1, 1], 0.7).next), [2, 0, 1, 2]);
  });

  it('goes on behind the one it took in place of the one to avoid', () => {
    const { states, next } = make([1, 1, 1]);
    assert.equal(next(states[0]), 1);
    assert.deepEqual(take(3, next), [2, 0, 1]);
  });

  it('keeps its place when endpoints come and go', () => {
    const { balancer, states, next } = make([1, 1, 1, 1]);
    take(2, next);
    balancer.update(states.slice(0, 3));
    assert.deepEqual(take(4, next), [2, 0, 1, 2]);
    balancer.update(states);
    assert.deepEqual(take(4, next), [3, 0, 1, 2]);
  });

  it('spreads different weights smoothly', () => {
    assert.deepEqual(take(7, make([5, 1, 1]).next), [0, 0, 1, 0, 2, 0, 0]);
  });

  it('gives each exactly its weight in every full round, wherever the round begins', () => {
    const weights = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 2, maxLength: 6 }).filter((list) => list.some((weight) => weight > 0));
    fc.assert(
      fc.property(weights, fc.nat({ max: 30 }), (list, offset) => {
        const round = list.reduce((sum, weight) => sum + weight, 0);
        if (list.every((weight) => weight === list[0])) return;
        const { next } = make(list);
        take(offset, next);
        const picks = take(round, next);
        assert.deepEqual(
          list.map((_, index) => picks.filter((pick) => pick === index).length),
          list,
        );
      }),
    );
  });

  it('keeps what endpoints have gained through an update that leaves them', () => {
    const { balancer, states, next } = make([1, 9, 1]);
    const counts = [0, 0, 0];
    // An unrelated endpoint comes and goes all the time; those with a small share must not starve.
    const [extra] = endpointStates([endpoint(7, { weight: 1 })]);
    for (let number = 0; number < 1_100; number++) {
      balancer.update(number % 2 === 0 ? states : [...states, extra as EndpointState]);
      const pick = next();
      if (pick >= 0) counts[pick] = (counts[pick] as number) + 1;
    }
    assert.ok((counts[0] as number) > 80 && (counts[2] as number) > 80, `${counts}`);
  });

  it('starts at different places in different workers', () => {
    const starts = new Set(Array.from({ length: 64 }, (_, seed) => make([1, 1, 1, 1], seeded(seed)()).next()));
    assert.equal(starts.size, 4);
  });
});
