import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Endpoint } from '../snapshot/upstream.ts';
import { EndpointSlots } from './endpoint-slots.ts';

function endpoint(address: string, state: Endpoint['state'] = 'Ready'): Endpoint {
  return { address, port: 80, state };
}

test('an address keeps its slot as long as it is known, and no two share one', () => {
  const slots = new EndpointSlots();
  const first = slots.assign(
    new Map([
      ['a', [endpoint('1'), endpoint('2')]],
      ['b', [endpoint('1')]],
    ]),
  );
  const seen = [...first.values()].flat().map((published) => published.slot);
  assert.equal(new Set(seen).size, 3);
  const next = slots.assign(new Map([['a', [endpoint('2', 'Terminating'), endpoint('3')]]]));
  assert.equal(next.get('a')?.[0]?.slot, first.get('a')?.[1]?.slot);
  assert.equal(next.get('a')?.[0]?.state, 'Terminating');
  assert.ok(!seen.includes(next.get('a')?.[1]?.slot ?? -1));
});

test('slots of endpoints that are gone are used again once all were used', () => {
  const slots = new EndpointSlots();
  let last = 0;
  for (let round = 0; round < 70_000; round++) {
    last = slots.assign(new Map([['a', [endpoint(`10.0.0.${round}`)]]])).get('a')?.[0]?.slot ?? 0;
    assert.ok(last > 0);
  }
  assert.ok(last < 65_536);
});

test('a slot that is taken is told of, and whether its endpoint has come to others', () => {
  const taken: [number, boolean][] = [];
  const slots = new EndpointSlots((slot, isNew) => taken.push([slot, isNew]));
  slots.assign(new Map([['a', [endpoint('1'), endpoint('2')]]]));
  slots.assign(
    new Map([
      ['a', [endpoint('1', 'Terminating'), endpoint('2'), endpoint('3')]],
      ['b', [endpoint('1')]],
    ]),
  );
  assert.deepEqual(taken, [
    [1, false],
    [2, false],
    [3, true],
    [4, false],
  ]);
  assert.equal(slots.slotOf('a', endpoint('3')), 3);
  assert.equal(slots.slotOf('c', endpoint('3')), undefined);
});
