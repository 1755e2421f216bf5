import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { HpackDecoder } from './decoder.ts';
import { type HeaderBlock, PSEUDO_AFTER_FIELD } from './header-block.ts';
import { decodePairs, hex, newBlock } from './hpack.fixture.ts';

/** Pieces of blocks: indexed, literal with and without indexing, a size update, an entry of the dynamic table, flaws. */
const PIECES = ['82', '84', '87', 'be', 'bf', '410161', '4001610162', '0001610163', '00015f0163', '3f11', '3fe11f', '20', '00014101 61', '4082', '5803646f67'];

function outcome(decoder: HpackDecoder, bytes: Buffer, block: HeaderBlock) {
  const pairs = decodePairs(decoder, bytes, block);
  const { pseudo, dropped, flaw, tooLarge } = block;
  return pairs === undefined ? undefined : { pairs, pseudo, dropped, flaw, tooLarge, bytes: block.bytes, size: decoder.tableSize };
}

describe('A header block that comes again', () => {
  it('is what it would be if it were decoded again', () => {
    const piece = fc.constantFrom(...PIECES);
    const sequence = fc.array(fc.tuple(fc.array(piece, { maxLength: 4 }), fc.integer({ min: 1, max: 3 })), { maxLength: 30 });
    fc.assert(
      fc.property(sequence, (blocks) => {
        const limits = { dropUnderscores: true, maxFields: 3 };
        const again = newBlock(limits);
        const [decoder, other] = [new HpackDecoder(), new HpackDecoder()];
        for (const [pieces, times] of blocks) {
          for (let time = 0; time < times; time++) {
            const bytes = hex(pieces.join(''));
            const found = outcome(decoder, bytes, again);
            // Blocks of other limits are never taken for each other's.
            assert.deepEqual(found, outcome(other, bytes, newBlock(limits)));
            if (found === undefined) return;
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('has fields of its own each time', () => {
    const decoder = new HpackDecoder();
    const block = newBlock();
    const names: string[][] = [];
    for (let time = 0; time < 4; time++) {
      block.begin();
      assert.ok(decoder.decode(hex('82 84 87 0001610162 0001620163'), 0, 13, block));
      const fields = block.fields();
      fields.remove('a');
      fields.append('c', 'd');
      names.push([]);
      fields.forEach((name) => {
        names.at(-1)?.push(name);
      });
    }
    for (const found of names) assert.deepEqual(found, ['b', 'c']);
  });

  it('is judged anew under other limits, and again after what was bad', () => {
    const decoder = new HpackDecoder();
    const bytes = hex('82 84 0001610162');
    const block = newBlock();
    const strict = newBlock({ maxFields: 0 });
    for (let time = 0; time < 3; time++) {
      assert.equal(outcome(decoder, bytes, block)?.tooLarge, false);
      assert.equal(outcome(decoder, bytes, strict)?.tooLarge, true);
      assert.equal(outcome(decoder, hex('0001610162 82'), block)?.flaw, PSEUDO_AFTER_FIELD);
    }
  });
});
