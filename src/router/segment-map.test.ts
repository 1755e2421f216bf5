import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { SegmentMap } from './segment-map.ts';

test('holds what a Map holds, by part of a text', () => {
  const word = fc.array(fc.constantFrom('a', 'b', '.'), { maxLength: 4 }).map((list) => list.join(''));
  fc.assert(
    fc.property(fc.array(fc.tuple(word, fc.integer()), { maxLength: 60 }), fc.tuple(word, word, word), (entries, [before, key, after]) => {
      const map = new SegmentMap<number>();
      const plain = new Map<string, number>();
      for (const [segment, value] of entries) {
        map.set(segment, value);
        plain.set(segment, value);
      }
      assert.equal(map.size, plain.size);
      assert.deepEqual([...map.values()].sort(), [...plain.values()].sort());
      for (const [segment, value] of plain) assert.equal(map.get(`${before}${segment}${after}`, before.length, before.length + segment.length), value);
      assert.equal(map.get(before + key + after, before.length, before.length + key.length), plain.get(key));
    }),
    { numRuns: 2_000 },
  );
});
