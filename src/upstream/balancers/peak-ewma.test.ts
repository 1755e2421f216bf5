import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { EndpointState } from '../endpoint-state.ts';
import { endpoint, endpointStates, FakeClock, request, seeded } from '../fixtures.ts';
import { PeakEwma } from './peak-ewma.ts';

function make(count: number) {
  const clock = new FakeClock();
  const states = endpointStates(Array.from({ length: count }, (_, index) => endpoint(index)));
  const balancer = new PeakEwma({ random: seeded(11), now: clock.now });
  balancer.update(states);
  const answered = (state: EndpointState | undefined, latency: number, failed = false) => {
    state?.started();
    state?.finished(latency, failed, failed ? 0 : 200);
  };
  const picks = (times: number) => Array.from({ length: times }, () => balancer.pick(request(), undefined));
  return { clock, states, balancer, answered, picks };
}

describe('PeakEWMA', () => {
  it('takes the faster of two', () => {
    const { states, answered, picks } = make(2);
    answered(states[0], 50);
    answered(states[1], 5);
    assert.ok(picks(20).every((state) => state === states[1]));
  });

  it('leaves the faster one once it has more requests under way than its speed makes up for', () => {
    const { states, answered, picks } = make(2);
    answered(states[0], 50);
    answered(states[1], 20);
    states[1]?.started();
    assert.ok(picks(20).every((state) => state === states[1]));
    states[1]?.started();
    assert.ok(picks(20).every((state) => state === states[0]));
  });

  it('shuns an endpoint that fails fast', () => {
    const { states, answered, picks } = make(2);
    answered(states[0], 1, true);
    answered(states[1], 100);
    assert.ok(picks(20).every((state) => state === states[1]));
  });

  it('tries an endpoint again that was slow a while ago', () => {
    const { clock, states, answered, picks } = make(2);
    answered(states[0], 2_000);
    answered(states[1], 20);
    assert.ok(picks(20).every((state) => state === states[1]));
    for (let second = 0; second < 60; second++) {
      clock.time += 1_000;
      answered(states[1], 20);
    }
    assert.ok(picks(20).every((state) => state === states[0]));
  });

  it('sends one request, not all of them, to an endpoint that has not answered yet', () => {
    const { states, answered, picks } = make(2);
    answered(states[1], 20);
    assert.ok(picks(20).every((state) => state === states[0]));
    states[0]?.started();
    assert.ok(picks(20).every((state) => state === states[1]));
  });

  it('keeps what it has seen of an endpoint through updates', () => {
    const { balancer, states, answered, picks } = make(3);
    for (const [index, state] of states.entries()) answered(state, [50, 5, 90][index] as number);
    balancer.update(states.slice(0, 2));
    assert.ok(picks(20).every((state) => state === states[1]));
  });
});
