import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { EndpointState } from '../endpoint-state.ts';
import { endpoint, endpointStates } from '../fixtures.ts';
import { Rendezvous } from './rendezvous.ts';

const KEYS = Array.from({ length: 5_000 }, (_, number) => `user-${number}`);

function owners(states: readonly EndpointState[], avoid?: EndpointState): string[] {
  const rendezvous = new Rendezvous();
  rendezvous.update(states);
  return KEYS.map((key) => rendezvous.pick(key, avoid)?.name ?? '');
}

const states = (count: number) => endpointStates(Array.from({ length: count }, (_, index) => endpoint(index)));

describe('rendezvous hashing', () => {
  it('moves the keys of an endpoint that goes, and no others', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 30 }), fc.nat(), (count, index) => {
        const all = states(count);
        const gone = all[index % count] as EndpointState;
        const before = owners(all);
        const after = owners(all.filter((state) => state !== gone));
        const moved = before.filter((name, key) => name !== after[key]);
        assert.ok(moved.every((name) => name === gone.name));
        const expected = KEYS.length / count;
        assert.ok(Math.abs(moved.length - expected) < 6 * Math.sqrt(expected), `${moved.length} of ${expected} moved`);
      }),
      { numRuns: 30 },
    );
  });

  it('spreads the keys of an endpoint that goes over all others', () => {
    const all = states(6);
    const before = owners(all);
    const after = owners(all.slice(1));
    const heirs = new Map<string, number>();
    before.forEach((name, key) => {
      if (name === all[0]?.name) heirs.set(after[key] as string, (heirs.get(after[key] as string) ?? 0) + 1);
    });
    assert.equal(heirs.size, 5);
    for (const count of heirs.values()) assert.ok(count > 100 && count < 240, `${count}`);
  });

  it('sends the keys of an endpoint to avoid where they would go without it', () => {
    const all = states(9);
    for (const avoid of all) {
      assert.deepEqual(owners(all, avoid), owners(all.filter((state) => state !== avoid)));
    }
  });

  it('depends on the set of endpoints, not on their order, slots or state objects', () => {
    const one = endpointStates([1, 2, 3, 4, 5].map((index) => endpoint(index)));
    const other = endpointStates([4, 2, 5, 1, 3].map((index) => endpoint(index, { slot: 100 - index })));
    assert.deepEqual(owners(one), owners(other));
  });

  it('tells ports and IPv6 addresses apart', () => {
    const list = [endpoint(1, { port: 80 }), endpoint(1, { port: 81 }), endpoint(1, { address: '2001:db8::1' }), endpoint(1, { address: '2001:db8::2' })];
    const counts = new Map<string, number>();
    for (const name of owners(endpointStates(list))) counts.set(name, (counts.get(name) ?? 0) + 1);
    assert.deepEqual([...counts.keys()].sort(), ['10.0.0.1:80', '10.0.0.1:81', '[2001:db8::1]:8080', '[2001:db8::2]:8080']);
    for (const count of counts.values()) assert.ok(Math.abs(count - 1_250) < 200, `${count}`);
  });

  it('gives these owners in every version, or a rolling update of the gateway would move every key', () => {
    const rendezvous = new Rendezvous();
    rendezvous.update(states(5));
    const picks = ['', 'a', 'user-1', '203.0.113.7', '/v1/orders', 'naïve ☃'].map((key) => rendezvous.pick(key, undefined)?.address);
    assert.deepEqual(picks, ['10.0.0.2', '10.0.0.4', '10.0.0.4', '10.0.0.2', '10.0.0.2', '10.0.0.2']);
  });
});
