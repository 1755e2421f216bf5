import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { EndpointState } from '../endpoint-state.ts';
import { endpoint, endpointStates, fakeContext, request, seeded } from '../fixtures.ts';
import { InFlight } from '../shared-counters.ts';
import { LeastRequest } from './least-request.ts';

describe('LeastRequest', () => {
  it('takes the one of two with fewer requests under way', () => {
    const [one, two] = endpointStates([endpoint(0), endpoint(1)]) as [EndpointState, EndpointState];
    const balancer = new LeastRequest({ random: seeded(3) });
    balancer.update([one, two]);
    one.started();
    for (let number = 0; number < 20; number++) assert.equal(balancer.pick(request(), undefined), two);
    two.started();
    two.started();
    for (let number = 0; number < 20; number++) assert.equal(balancer.pick(request(), undefined), one);
  });

  it('sees the requests of the other workers', () => {
    const buffer = InFlight.allocate(2, 16);
    const here = endpointStates([endpoint(0), endpoint(1)], { ...fakeContext(), inFlight: new InFlight(buffer, 2, 0) });
    const there = endpointStates([endpoint(0), endpoint(1)], { ...fakeContext(), inFlight: new InFlight(buffer, 2, 1) });
    const balancer = new LeastRequest({ random: seeded(3) });
    balancer.update(here);
    there[0]?.started();
    for (let number = 0; number < 20; number++) assert.equal(balancer.pick(request(), undefined), here[1]);
    there[0]?.finished(1, false, 200);
    there[1]?.started();
    for (let number = 0; number < 20; number++) assert.equal(balancer.pick(request(), undefined), here[0]);
  });

  it('never takes the busiest of three, and spreads over those that are alike', () => {
    const states = endpointStates([endpoint(0), endpoint(1), endpoint(2)]);
    const balancer = new LeastRequest({ random: seeded(5) });
    balancer.update(states);
    states[1]?.started();
    const seen = new Set(Array.from({ length: 100 }, () => balancer.pick(request(), undefined)));
    assert.deepEqual(seen, new Set([states[0], states[2]]));
  });

  it('keeps a slow endpoint no busier than the fast ones', () => {
    const states = endpointStates(Array.from({ length: 4 }, (_, index) => endpoint(index)));
    const balancer = new LeastRequest({ random: seeded(7) });
    balancer.update(states);
    // One request arrives in each step; the first endpoint takes 40 steps for each, the others 4.
    const done: EndpointState[][] = [];
    const counts = new Map<EndpointState, number>();
    for (let step = 0; step < 4_000; step++) {
      for (const state of done[step] ?? []) state.finished(1, false, 200);
      const state = balancer.pick(request(), undefined) as EndpointState;
      state.started();
      const end = step + (state === states[0] ? 40 : 4);
      done[end] = [...(done[end] ?? []), state];
      counts.set(state, (counts.get(state) ?? 0) + 1);
    }
    const slow = counts.get(states[0] as EndpointState) as number;
    for (const fast of states.slice(1)) assert.ok((counts.get(fast) as number) > 3 * slow, `slow ${slow}, fast ${counts.get(fast)}`);
    assert.ok(slow > 0);
  });
});
