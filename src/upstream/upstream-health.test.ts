/** What an upstream makes of its endpoints' health, their zones and their age. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import type { LoadBalancer } from '../snapshot/upstream.ts';
import type { EndpointState, SlottedEndpoint } from './endpoint-state.ts';
import { endpoint, fakeContext, request, upstream } from './fixtures.ts';
import { PASSIVE, slotted } from './health/health.fixture.ts';
import { CANCELLED, FAILED } from './health/worker-health.ts';
import { FIRST_SHARE, grownShare } from './slow-start.ts';
import { UpstreamState } from './upstream-state.ts';

const CHECKED = { healthCheck: { passive: PASSIVE, panicThresholdPercent: 0 } };

function make(endpoints: readonly SlottedEndpoint[], change: Parameters<typeof upstream>[0] = CHECKED, zone = '') {
  const context = { ...fakeContext(), zone };
  for (const { slot } of endpoints) context.health.shared.clear(slot, context.clock.time);
  return { context, state: new UpstreamState(upstream(change), endpoints, context) };
}

/** How often each address is picked. */
function tally(state: UpstreamState, picks = 2_000, done: (picked: EndpointState) => void = () => {}): Map<string, number> {
  const counts = new Map<string, number>();
  for (let number = 0; number < picks; number++) {
    const picked = state.pick(request({ clientAddress: `192.0.2.${number % 256}`, header: String(number) }), undefined);
    if (picked === undefined) continue;
    counts.set(picked.address, (counts.get(picked.address) ?? 0) + 1);
    done(picked);
  }
  return counts;
}
const picked = (state: UpstreamState): string[] => [...tally(state, 200).keys()].sort();

describe('health', () => {
  it('takes an endpoint out of use and back, once it is told to look', () => {
    const { context, state } = make(slotted(2));
    context.health.shared.setUnhealthy(1);
    assert.deepEqual(picked(state), ['10.0.0.1', '10.0.0.2']);
    state.healthChanged();
    assert.deepEqual(picked(state), ['10.0.0.2']);
    context.health.shared.setHealthy(1, 0);
    state.healthChanged();
    assert.deepEqual(picked(state), ['10.0.0.1', '10.0.0.2']);
  });

  it('is known from the beginning to a worker that starts later, and through reloads', () => {
    const { context, state } = make(slotted(2));
    context.health.shared.eject(1, 1e9, 1);
    const other = new UpstreamState(upstream(CHECKED), slotted(2), context);
    assert.deepEqual(picked(other), ['10.0.0.2']);
    state.update(upstream({ ...CHECKED, connectTimeout: 1 }), slotted(3));
    assert.deepEqual(picked(state), ['10.0.0.2', '10.0.0.3']);
  });

  it('means nothing without a health check, whoever had the slot before', () => {
    const { context, state } = make(slotted(2), {});
    context.health.shared.setUnhealthy(1);
    state.healthChanged();
    assert.deepEqual(picked(state), ['10.0.0.1', '10.0.0.2']);
    state.update(upstream(CHECKED), slotted(2));
    assert.deepEqual(picked(state), ['10.0.0.2']);
    state.update(upstream(), slotted(2));
    assert.deepEqual(picked(state), ['10.0.0.1', '10.0.0.2']);
  });

  it('without a healthy endpoint the upstream is not available, and whoever waits for that is told', () => {
    const { context, state } = make(slotted(1));
    const before = context.availability.version;
    context.health.shared.setUnhealthy(1);
    state.healthChanged();
    assert.ok(!state.available);
    assert.equal(state.pick(request(), undefined), undefined);
    assert.ok(context.availability.version > before);
    context.health.shared.setHealthy(1, 0);
    state.healthChanged();
    assert.ok(state.available);
  });

  it('tries are counted where there is a passive check, and a removed endpoint counts no more', () => {
    const { context, state } = make(slotted(2));
    const [one] = [...state.endpoints] as [EndpointState];
    const finish = (result: number): void => {
      one.started();
      one.finished(1, result === FAILED, result);
    };
    for (const result of [FAILED, 503, 200, FAILED, CANCELLED, 500]) finish(result);
    assert.deepEqual(context.failing, []);
    finish(502);
    assert.deepEqual(context.failing, ['10.0.0.1:8080']);
    state.setEndpoints([endpoint(2)]);
    for (let count = 0; count < 3; count++) finish(FAILED);
    assert.equal(context.failing.length, 1);
    assert.equal(context.health.shared.errors(1), 3);
  });

  it('an ejected endpoint’s keys move, and nobody else’s (consistent hash)', () => {
    const { context, state } = make(slotted(5), { ...CHECKED, loadBalancer: { type: 'ConsistentHash', consistentHash: { type: 'Header', name: 'key' } } });
    const owners = () => Array.from({ length: 500 }, (_, key) => state.pick(request({ header: String(key) }), undefined)?.address);
    const before = owners();
    context.health.shared.eject(3, 1e9, 1);
    state.healthChanged();
    const during = owners();
    for (const [key, owner] of before.entries()) {
      if (owner === '10.0.0.3') assert.notEqual(during[key], owner);
      else assert.equal(during[key], owner);
    }
    context.health.shared.endEjection(3, 0);
    state.healthChanged();
    assert.deepEqual(owners(), before);
  });
});

describe('zones', () => {
  const zoned = (...zones: string[]): SlottedEndpoint[] => zones.map((zone, index) => endpoint(index + 1, { zone }));

  it('keeps to its own zone, and goes elsewhere for what has failed there', () => {
    const { state } = make(zoned('x', 'y', 'y'), { loadBalancer: { type: 'RoundRobin', zoneAware: true } }, 'x');
    assert.deepEqual(picked(state), ['10.0.0.1']);
    const [one] = [...state.endpoints];
    assert.notEqual(state.pick(request(), one), one);
    assert.ok(
      [...state.endpoints].every((known) => state.isInUse(known)),
      'affinity holds for the others, too',
    );
  });

  it('follows what slices say of zones, and what checks leave of them', () => {
    const { context, state } = make(zoned('x', 'x', 'y', 'y'), { ...CHECKED, loadBalancer: { type: 'Random', zoneAware: true } }, 'x');
    assert.deepEqual(picked(state), ['10.0.0.1', '10.0.0.2']);
    context.health.shared.setUnhealthy(1);
    context.health.shared.setUnhealthy(2);
    state.healthChanged();
    assert.deepEqual(picked(state), ['10.0.0.3', '10.0.0.4']);
    state.setEndpoints(zoned('y', 'y', 'x', 'y'));
    assert.deepEqual(picked(state), ['10.0.0.3']);
    state.setEndpoints([endpoint(3, { forZones: ['y'] }), endpoint(4, { forZones: ['x'] })]);
    assert.deepEqual(picked(state), ['10.0.0.4']);
  });
});

describe('slow start', () => {
  const SLOW = 30_000;
  const TYPES = ['RoundRobin', 'LeastRequest', 'Random', 'PeakEWMA'] as const;
  const balancer = (type: LoadBalancer['type']) => ({ loadBalancer: { type, slowStart: SLOW } });

  it('the share grows evenly from a tenth to all of it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3_600_000 }), fc.double({ min: 0, max: 2, noNaN: true }), (duration, part) => {
        const share = grownShare(duration * part, duration);
        assert.ok(Math.abs(share - Math.min(1, FIRST_SHARE + (1 - FIRST_SHARE) * part)) < 1e-9);
      }),
    );
  });

  for (const type of TYPES) {
    it(`${type}: at each moment a new endpoint has the weight of its age, beside three old ones`, () => {
      const { context, state } = make(slotted(3), balancer(type));
      context.clock.time += SLOW;
      const since = context.clock.time;
      context.health.shared.clear(4, since);
      state.setEndpoints(slotted(4));
      for (const age of [0, 0.25, 0.5, 0.75, 1, 1.5]) {
        context.clock.time = since + age * SLOW;
        const weight = Math.min(1, 0.1 + 0.9 * age);
        // Every answer takes as long, so that PeakEWMA has no preference but the order of two.
        const counts = tally(state, 8_000, (one) => {
          one.started();
          one.finished(10, false, 200);
        });
        const share = (counts.get('10.0.0.4') ?? 0) / 8_000;
        assert.ok(Math.abs(share - weight / (3 + weight)) < 0.03, `${age}: ${share}`);
      }
    });

    it(`${type}: all new, all the same`, () => {
      const { state } = make(slotted(4), balancer(type));
      for (const count of tally(state, 4_000, (one) => one.started()).values()) assert.ok(Math.abs(count - 1_000) < 150, String(count));
    });

    it(`${type}: one of two is avoided, new or not`, () => {
      const { context, state } = make(slotted(1), balancer(type));
      context.clock.time += SLOW;
      context.health.shared.clear(2, context.clock.time);
      state.setEndpoints(slotted(2));
      const [one, two] = [...state.endpoints];
      for (let count = 0; count < 50; count++) {
        assert.equal(state.pick(request(), one), two);
        assert.equal(state.pick(request(), two), one);
      }
    });
  }

  it('LeastRequest does not rush at a new endpoint because it is idle', () => {
    const { context, state } = make(slotted(3), balancer('LeastRequest'));
    context.clock.time += SLOW;
    for (const old of state.endpoints) for (let count = 0; count < 50; count++) old.started();
    context.health.shared.clear(4, context.clock.time);
    state.setEndpoints(slotted(4));
    const counts = tally(state, 200, (one) => one.started());
    assert.ok((counts.get('10.0.0.4') ?? 0) < 25, String(counts.get('10.0.0.4')));
  });

  it('LeastRequest takes a request of a new endpoint for as many as its weight makes of it', () => {
    const { context, state } = make(slotted(1), balancer('LeastRequest'));
    context.clock.time += SLOW;
    context.health.shared.clear(2, context.clock.time);
    state.setEndpoints(slotted(2));
    // None ends: the old one has ten times as many under way then.
    const share = (tally(state, 2_000, (one) => one.started()).get('10.0.0.2') ?? 0) / 2_000;
    assert.ok(share > 0.07 && share < 0.12, String(share));
  });

  it('PeakEWMA does not rush at a new endpoint because it is fast', () => {
    const { context, state } = make(slotted(1), balancer('PeakEWMA'));
    context.clock.time += SLOW;
    context.health.shared.clear(2, context.clock.time);
    state.setEndpoints(slotted(2));
    const answer = (one: EndpointState): void => {
      one.started();
      one.finished(one.address === '10.0.0.2' ? 1 : 100, false, 200);
    };
    for (const one of state.endpoints) answer(one);
    const share = (tally(state, 4_000, answer).get('10.0.0.2') ?? 0) / 4_000;
    // Twice its weight, as an endpoint that always wins gets twice an even share.
    assert.ok(share > 0.14 && share < 0.23, String(share));
  });

  it('begins again when an endpoint is healthy again, and is the same for every worker', () => {
    const { context, state } = make(slotted(2), { ...balancer('RoundRobin'), ...CHECKED });
    context.clock.time += 10 * SLOW;
    context.health.shared.setUnhealthy(1);
    state.healthChanged();
    context.health.shared.setHealthy(1, context.clock.time);
    state.healthChanged();
    const other = new UpstreamState(upstream({ ...balancer('RoundRobin'), ...CHECKED }), slotted(2), context);
    for (const worker of [state, other]) assert.ok(Math.abs((tally(worker, 1_100).get('10.0.0.1') ?? 0) - 100) <= 1);
    context.clock.time += SLOW;
    for (const worker of [state, other]) assert.ok(Math.abs((tally(worker, 1_000).get('10.0.0.1') ?? 0) - 500) <= 1);
  });

  it('weights of the endpoints themselves stay', () => {
    const { context, state } = make([endpoint(1, { weight: 2 }), endpoint(2)], balancer('RoundRobin'));
    context.clock.time += SLOW;
    context.health.shared.clear(3, context.clock.time);
    state.setEndpoints([endpoint(1, { weight: 2 }), endpoint(2), endpoint(3, { weight: 2 })]);
    context.clock.time += (SLOW * 4) / 9;
    const counts = tally(state, 4_000);
    assert.deepEqual(
      [1, 2, 3].map((index) => Math.round((counts.get(`10.0.0.${index}`) ?? 0) / 100)),
      [20, 10, 10],
    );
  });
});
