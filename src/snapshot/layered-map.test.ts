import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { LayeredMap } from './layered-map.ts';

/** More keys than edits in a layer. */
const key = fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 400 }));
const edits = fc.array(fc.tuple(key, fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined })), { maxLength: 60 });

test('each version is what a plain map with the same edits is, and stays so', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(key, fc.integer()), { selector: ([one]) => one }), fc.array(edits, { maxLength: 12 }), (start, steps) => {
      const versions: [LayeredMap<number, number>, Map<number, number>][] = [[LayeredMap.of(new Map(start)), new Map(start)]];
      for (const some of steps) {
        const [layered, plain] = versions.at(-1) as [LayeredMap<number, number>, Map<number, number>];
        const next = new Map(plain);
        for (const [one, value] of some) {
          if (value === undefined) next.delete(one);
          else next.set(one, value);
        }
        versions.push([layered.with(some), next]);
      }
      for (const [layered, plain] of versions) {
        assert.equal(layered.size, plain.size);
        assert.deepEqual(new Map([...layered].sort(([one], [other]) => one - other)), new Map([...plain].sort(([one], [other]) => one - other)));
        const told = new Map<number, number>();
        layered.forEach((value, one) => void told.set(one, value));
        assert.deepEqual([[...layered.keys()], [...layered.values()]], [[...told.keys()], [...told.values()]]);
        assert.equal(told.size, plain.size);
        for (let one = 0; one <= 400; one++) assert.deepEqual([layered.get(one), layered.has(one)], [plain.get(one), plain.has(one)]);
      }
    }),
    { numRuns: 100 },
  );
});
