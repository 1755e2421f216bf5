import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { endpoint, endpointStates, type Parts, request, seeded } from '../fixtures.ts';
import { ConsistentHash } from './consistent-hash.ts';
import { SourceIp } from './source-ip.ts';

const states = endpointStates(Array.from({ length: 8 }, (_, index) => endpoint(index)));
const values = Array.from({ length: 200 }, (_, number) => `value-${number}`);

describe('ConsistentHash', () => {
  const keys = [
    ['SourceIP', 'clientAddress'],
    ['Header', 'header'],
    ['Cookie', 'cookie'],
    ['QueryParam', 'queryParam'],
    ['Path', 'path'],
  ] as const;
  for (const [type, part] of keys) {
    it(`looks at nothing but the ${type}`, () => {
      const balancer = new ConsistentHash({ type, name: 'key' }, { random: seeded(1) });
      balancer.update(states);
      const owner = (parts: Parts) => balancer.pick(request(parts), undefined);
      const others = (salt: string): Parts => Object.fromEntries(keys.filter(([, other]) => other !== part).map(([, other]) => [other, salt]));
      for (const value of values) assert.equal(owner({ ...others('x'), [part]: value }), owner({ ...others(value), [part]: value }));
      assert.equal(new Set(values.map((value) => owner({ [part]: value }))).size, states.length);
    });
  }

  for (const missing of [undefined, '']) {
    it(`spreads requests ${missing === undefined ? 'without' : 'with an empty'} key in turn`, () => {
      const balancer = new ConsistentHash({ type: 'Header', name: 'key' }, { random: seeded(1) });
      balancer.update(states);
      const seen = new Set(states.map(() => balancer.pick(request(missing === undefined ? {} : { header: missing }), undefined)));
      assert.equal(seen.size, states.length);
    });
  }

  it('agrees with SourceIP on addresses', () => {
    const hash = new ConsistentHash({ type: 'SourceIP' }, { random: seeded(1) });
    const source = new SourceIp();
    hash.update(states);
    source.update(states);
    for (const clientAddress of values) assert.equal(hash.pick(request({ clientAddress }), undefined), source.pick(request({ clientAddress }), undefined));
  });
});
