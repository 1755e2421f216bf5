import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
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

  it('is even and forgets what it remembered, whether it remembers owners or not', () => {
    for (const count of [2, 7, 8, 9, 40, 300]) {
      const all = states(count);
      const rendezvous = new Rendezvous();
      rendezvous.update(all);
      const keys = Array.from({ length: 100 * count }, (_, number) => `k${number}`);
      const counts = new Map<EndpointState | undefined, number>();
      const before = keys.map((key) => rendezvous.pick(key, undefined));
      for (const state of before) counts.set(state, (counts.get(state) ?? 0) + 1);
      for (const state of all) assert.ok(Math.abs((counts.get(state) ?? 0) - 100) < 65, `${state.name} of ${count}: ${counts.get(state)}`);
      assert.deepEqual(
        keys.map((key) => rendezvous.pick(key, undefined)?.name),
        before.map((state) => state?.name),
      );
      rendezvous.update(all.slice(1));
      keys.forEach((key, number) => {
        const after = rendezvous.pick(key, undefined);
        assert.ok(before[number] === all[0] ? after !== all[0] : after === before[number]);
      });
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
    const picks = [5, 30].map((count) => {
      rendezvous.update(states(count));
      return ['', 'a', 'user-1', '203.0.113.7', '/v1/orders', 'naïve ☃'].map((key) => Number(rendezvous.pick(key, undefined)?.address.split('.').at(-1)));
    });
    assert.deepEqual(picks, [
      [2, 1, 1, 0, 2, 4],
      [5, 7, 23, 0, 16, 5],
    ]);
  });
});
