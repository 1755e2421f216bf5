import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { StreamTable } from './stream-table.ts';

describe('StreamTable', () => {
  it('holds what a Map would hold, whatever comes and goes', () => {
    // Few places of their own, so that many streams collide, wrap around and move up.
    const id = fc.tuple(fc.nat(6), fc.constantFrom(1, 64, 1024, 0x2000_0000)).map(([place, step]) => place * step * 2 + 1);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), id), { maxLength: 200 }), (steps) => {
        const table = new StreamTable<{ readonly id: number }>();
        const map = new Map<number, { readonly id: number }>();
        for (const [adds, streamId] of steps) {
          if (!adds) {
            assert.equal(table.delete(streamId), map.delete(streamId));
          } else if (!map.has(streamId)) {
            const stream = { id: streamId };
            table.add(stream);
            map.set(streamId, stream);
          }
          assert.equal(table.size, map.size);
          for (const [, known] of steps) assert.equal(table.get(known), map.get(known));
        }
        assert.deepEqual(
          table.values(),
          [...map.values()].sort((a, b) => a.id - b.id),
        );
        table.clear();
        assert.deepEqual([table.size, table.values()], [0, []]);
      }),
    );
  });
});
