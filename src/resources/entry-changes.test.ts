import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { EntriesHistory, entryChanges } from './entry-changes.ts';
import type { Entry } from './resource-set.ts';

const ORIGIN = { file: 'a.yaml', line: 1, lineOf: () => 1 };

function entry(name: string): Entry<unknown> {
  return { kind: 'Service', namespace: 'shop', name, generation: 1, age: 0, origin: ORIGIN, problems: [] };
}

/** A map that may not be looked through. */
class Closed extends Map<string, Entry<unknown>> {
  override [Symbol.iterator](): never {
    throw new Error('looked through');
  }
  override keys(): never {
    throw new Error('looked through');
  }
}

type Edit = readonly [key: string, action: 'put' | 'remove' | 'nothing'];

const edits = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.constantFrom('put', 'put', 'remove', 'nothing')), { maxLength: 6 });

function edited(before: ReadonlyMap<string, Entry<unknown>>, some: readonly Edit[]): Map<string, Entry<unknown>> {
  const after = new Map(before);
  for (const [key, action] of some) {
    if (action === 'put') after.set(key, entry(key));
    if (action === 'remove') after.delete(key);
  }
  return after;
}

const byKey = (one: { readonly key: string }, other: { readonly key: string }): number => (one.key < other.key ? -1 : 1);

describe('changes between two maps', () => {
  test('are the same whether the source has told of them or not, over as many maps as one likes', () => {
    fc.assert(
      fc.property(fc.array(edits, { minLength: 1, maxLength: 90 }), fc.nat(), fc.nat(), (steps, one, other) => {
        const history = new EntriesHistory();
        const maps: Map<string, Entry<unknown>>[] = [new Map()];
        history.add(maps[0] as Map<string, Entry<unknown>>, new Set());
        for (const some of steps) {
          const next = edited(maps.at(-1) as Map<string, Entry<unknown>>, some);
          history.add(next, new Set(some.map(([key]) => key)));
          maps.push(next);
        }
        const [before, after] = [maps[one % maps.length], maps[other % maps.length]] as [Map<string, Entry<unknown>>, Map<string, Entry<unknown>>];
        const told = [...entryChanges(before, after)].sort(byKey);
        // Copies are nobody's.
        assert.deepEqual(told, [...entryChanges(new Map(before), new Map(after))].sort(byKey));
        const rebuilt = new Map(before);
        for (const { key, after: now } of told) {
          assert.equal(before.get(key), told.find((change) => change.key === key)?.before);
          if (now === undefined) rebuilt.delete(key);
          else rebuilt.set(key, now);
        }
        assert.deepEqual(new Map([...rebuilt].sort()), new Map([...after].sort()));
      }),
      { numRuns: 200 },
    );
  });

  test('of which the source has told, no other entry is looked at', () => {
    const history = new EntriesHistory();
    const before = new Closed();
    for (let index = 0; index < 10; index++) before.set(`shop/${index}`, entry(String(index)));
    const after = new Closed();
    before.forEach((one, key) => void after.set(key, one));
    const fresh = entry('5');
    after.set('shop/5', fresh);
    history.add(before, new Set());
    history.add(after, new Set(['shop/5']));
    assert.deepEqual(entryChanges(before, after), [{ key: 'shop/5', before: before.get('shop/5'), after: fresh }]);
    assert.throws(() => entryChanges(before, new Closed([['shop/5', fresh]])), /looked through/);
  });

  test('of thousands of changes none is remembered, and all are found', () => {
    const history = new EntriesHistory();
    const before = new Map<string, Entry<unknown>>();
    history.add(before, new Set());
    const after = new Map(Array.from({ length: 5000 }, (_, index) => [`shop/${index}`, entry(String(index))]));
    history.add(after, new Set(after.keys()));
    assert.equal(entryChanges(before, after).length, 5000);
    const next = new Map(after);
    next.delete('shop/7');
    history.add(next, new Set(['shop/7']));
    assert.deepEqual(entryChanges(after, next), [{ key: 'shop/7', before: after.get('shop/7'), after: undefined }]);
  });
});
