import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { UpstreamHandler, UpstreamRequest } from '../exchange/streams.ts';
import type { SlottedEndpoint } from './endpoint-state.ts';
import { endpoint, fakeContext, request, upstream } from './fixtures.ts';
import { Upstreams } from './upstreams.ts';

type Lists = Readonly<Record<string, readonly SlottedEndpoint[]>>;

/** As a snapshot crosses threads: nothing in it is the same object twice. */
function snapshot(lists: Lists) {
  return structuredClone({
    upstreams: new Map(Object.keys(lists).map((key) => [key, upstream({ key })])),
    endpoints: new Map(Object.entries(lists)),
  });
}

const addressOf = (upstreams: Upstreams, key: string) => upstreams.get(key)?.pick(request(), undefined)?.address;

describe('upstreams of a worker', () => {
  it('keeps upstreams, endpoints and connections that are put again as they were', () => {
    const context = fakeContext();
    const upstreams = new Upstreams(context);
    upstreams.put(snapshot({ a: [endpoint(0)], b: [endpoint(1)] }));
    const a = upstreams.get('a');
    const one = a?.pick(request(), undefined);
    one?.pool.request({ method: 'GET' } as UpstreamRequest, {} as UpstreamHandler, false);
    context.connector.opened[0]?.done();
    const version = upstreams.availability.version;
    upstreams.put(snapshot({ a: [endpoint(0)], c: [endpoint(2)] }));
    upstreams.remove(['b', 'stranger']);
    assert.equal(upstreams.get('a'), a);
    assert.equal(a?.pick(request(), undefined), one);
    assert.equal(one?.pool.idle, 1);
    assert.equal(upstreams.get('b'), undefined);
    assert.equal(addressOf(upstreams, 'c'), '10.0.0.2');
    assert.ok(upstreams.availability.version > version);
  });

  it('closes those that are removed', () => {
    const context = fakeContext();
    const upstreams = new Upstreams(context);
    upstreams.put(snapshot({ a: [endpoint(0)] }));
    upstreams
      .get('a')
      ?.pick(request(), undefined)
      ?.pool.request({ method: 'GET' } as UpstreamRequest, {} as UpstreamHandler, false);
    context.connector.opened[0]?.done();
    upstreams.remove(['a']);
    assert.equal(context.connector.opened[0]?.destroyed, true);
    assert.deepEqual([...upstreams], []);
  });

  it('takes endpoints as deltas that touch nothing else', () => {
    const upstreams = new Upstreams(fakeContext());
    upstreams.put(snapshot({ a: [endpoint(0)], b: [endpoint(1)] }));
    upstreams.applyEndpoints(
      new Map([
        ['a', [endpoint(5)]],
        ['stranger', [endpoint(6)]],
      ]),
    );
    assert.deepEqual([addressOf(upstreams, 'a'), addressOf(upstreams, 'b')], ['10.0.0.5', '10.0.0.1']);
    upstreams.applyEndpoints(new Map([['a', []]]));
    assert.equal(upstreams.get('a')?.available, false);
    assert.equal(upstreams.get('stranger'), undefined);
  });

  it('takes an upstream without endpoints for one that has none', () => {
    const upstreams = new Upstreams(fakeContext());
    upstreams.put({ upstreams: new Map([['a', upstream({ key: 'a' })]]), endpoints: new Map() });
    assert.equal(upstreams.get('a')?.available, false);
  });

  it('closes idle connections when the worker ends', () => {
    const context = fakeContext();
    const upstreams = new Upstreams(context);
    upstreams.put(snapshot({ a: [endpoint(0)] }));
    upstreams
      .get('a')
      ?.pick(request(), undefined)
      ?.pool.request({ method: 'GET' } as UpstreamRequest, {} as UpstreamHandler, false);
    context.connector.opened[0]?.done();
    upstreams.close();
    assert.equal(context.connector.opened[0]?.destroyed, true);
  });
});
