import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { UpstreamHandler, UpstreamRequest } from '../exchange/streams.ts';
import type { EndpointState, SlottedEndpoint } from './endpoint-state.ts';
import { endpoint, fakeContext, request, upstream } from './fixtures.ts';
import { UpstreamState } from './upstream-state.ts';

const GET = { method: 'GET' } as UpstreamRequest;
const HANDLER = {} as UpstreamHandler;

function make(endpoints: readonly SlottedEndpoint[], change: Parameters<typeof upstream>[0] = {}) {
  const context = fakeContext();
  return { context, state: new UpstreamState(upstream(change), endpoints, context) };
}

/** Addresses that are picked, in their order. */
function picked(state: UpstreamState): string[] {
  const names = new Set<string>();
  for (let number = 0; number < 100; number++) {
    const name = state.pick(request({ clientAddress: `192.0.2.${number}` }), undefined)?.address;
    if (name !== undefined) names.add(name);
  }
  return [...names].sort();
}

const only = (state: UpstreamState) => state.pick(request(), undefined) as EndpointState;

describe('upstream state', () => {
  it('picks ready endpoints only, while there is one', () => {
    const { state } = make([endpoint(0, { state: 'Terminating' }), endpoint(1), endpoint(2)]);
    assert.deepEqual(picked(state), ['10.0.0.1', '10.0.0.2']);
    assert.ok(state.available);
  });

  it('picks terminating endpoints when nothing else is left', () => {
    const { state } = make([endpoint(0, { state: 'Terminating' }), endpoint(1)]);
    state.setEndpoints([endpoint(0, { state: 'Terminating' }), endpoint(1, { state: 'Terminating' })]);
    assert.deepEqual(picked(state), ['10.0.0.0', '10.0.0.1']);
    assert.ok(state.available);
    state.setEndpoints([endpoint(1, { state: 'Terminating' }), endpoint(2)]);
    assert.deepEqual(picked(state), ['10.0.0.2']);
  });

  it('has nothing without endpoints', () => {
    const { state } = make([]);
    assert.equal(state.pick(request(), undefined), undefined);
    assert.ok(!state.available);
  });

  it('collapses addresses that are listed twice, and tells ports apart', () => {
    const { state } = make([endpoint(0), endpoint(0, { slot: 9 }), endpoint(0, { port: 8081 })]);
    assert.deepEqual(
      [...state.endpoints].map((one) => one.name),
      ['10.0.0.0:8080', '10.0.0.0:8081'],
    );
  });

  it('keeps the state of endpoints that stay: connections, counters, and who is one to avoid', () => {
    const { context, state } = make([endpoint(0)]);
    const before = only(state);
    before.started();
    before.pool.request(GET, HANDLER, false);
    context.connector.opened[0]?.done();
    state.update(upstream({ connectTimeout: 1 }), [endpoint(0, { state: 'Terminating' }), endpoint(1)]);
    state.update(upstream({ loadBalancer: { type: 'LeastRequest' } }), [endpoint(0)]);
    assert.equal(only(state), before);
    assert.equal(before.state, 'Ready');
    assert.equal(before.inFlight, 1);
    assert.equal(before.pool.idle, 1);
  });

  it('lets an endpoint that is gone finish, and closes its idle connections', () => {
    const { context, state } = make([endpoint(0), endpoint(1)]);
    const gone = [...state.endpoints][0] as EndpointState;
    gone.pool.request(GET, HANDLER, false);
    gone.pool.request(GET, HANDLER, false);
    const [busy, idle] = context.connector.opened;
    idle?.done();
    gone.started();
    state.setEndpoints([endpoint(1)]);
    assert.deepEqual(picked(state), ['10.0.0.1']);
    assert.deepEqual([busy?.destroyed, idle?.destroyed], [false, true]);
    busy?.done();
    assert.equal(busy?.destroyed, true);
    gone.finished(1, false, 200);
    assert.equal(gone.inFlight, 0);
  });

  it('makes a new state for an address that was gone and is back', () => {
    const { state } = make([endpoint(0)]);
    const before = only(state);
    state.setEndpoints([]);
    state.setEndpoints([endpoint(0)]);
    assert.notEqual(only(state), before);
  });

  it('moves what is under way when an address has another cell', () => {
    const { context, state } = make([endpoint(0)]);
    const one = only(state);
    one.started();
    one.started();
    state.setEndpoints([endpoint(0, { slot: 77 })]);
    assert.equal(only(state), one);
    assert.deepEqual([context.inFlight.total(0), context.inFlight.total(77), one.slot], [0, 2, 77]);
    one.finished(1, false, 200);
    one.finished(1, false, 200);
    assert.deepEqual([context.inFlight.total(0), context.inFlight.total(77)], [0, 0]);
  });

  it('changes the balancer with the settings, and weights with the endpoints', () => {
    const { state } = make([endpoint(0), endpoint(1)], { loadBalancer: { type: 'SourceIP' } });
    const one = only(state);
    for (let number = 0; number < 10; number++) assert.equal(only(state), one);
    state.update(upstream(), [endpoint(0), endpoint(1)]);
    assert.notEqual(only(state), only(state));
    state.update(upstream(), [endpoint(0, { weight: 3 }), endpoint(1)]);
    const counts = Array.from({ length: 8 }, () => only(state).address);
    assert.equal(counts.filter((address) => address === '10.0.0.0').length, 6);
  });

  it('tells when it becomes available or stops being so, and only then', () => {
    const { context, state } = make([]);
    const versions = [context.availability.version];
    for (const endpoints of [[endpoint(0)], [endpoint(0), endpoint(1)], [endpoint(1, { state: 'Terminating' as const })], [], []]) {
      state.setEndpoints(endpoints);
      versions.push(context.availability.version);
    }
    assert.deepEqual(
      versions.map((version) => version - (versions[0] as number)),
      [0, 1, 1, 1, 2, 2],
    );
  });

  it('can still be picked from once closed, for exchanges of an older snapshot', () => {
    const { context, state } = make([endpoint(0)]);
    only(state).pool.request(GET, HANDLER, false);
    context.connector.opened[0]?.done();
    state.close();
    assert.equal(context.connector.opened[0]?.destroyed, true);
    only(state).pool.request(GET, HANDLER, false);
    context.connector.opened[1]?.done();
    assert.equal(context.connector.opened[1]?.destroyed, true);
  });
});
