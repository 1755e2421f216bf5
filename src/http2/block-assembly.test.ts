/** Memory of header blocks in several fragments. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockAssembly } from './block-assembly.ts';

function textOf({ bytes, start, end }: BlockAssembly): string {
  return bytes.toString('latin1', start, end);
}

function add(assembly: BlockAssembly, text: string, last: boolean): void {
  const bytes = Buffer.from(text, 'latin1');
  assembly.add(bytes, 0, bytes.length, last);
}

test('fragments of connections that take turns stay apart', () => {
  const assemblies = [new BlockAssembly(), new BlockAssembly()];
  for (let round = 0; round < 3; round++) {
    for (const [index, assembly] of assemblies.entries()) {
      assembly.begin(1, true, false);
      add(assembly, `${index}`.repeat(700), false);
    }
    for (const [index, assembly] of assemblies.entries()) add(assembly, `${index}`.repeat(700), true);
    for (const [index, assembly] of assemblies.entries()) assert.equal(textOf(assembly), `${index}`.repeat(1400));
    for (const assembly of assemblies) assembly.clear();
  }
});

test('memory of a block that is done with, or given up, serves the next connection', () => {
  const first = new BlockAssembly();
  add(first, 'a'.repeat(20_000), false);
  add(first, 'b', true);
  const memory = first.bytes.buffer;
  first.clear();
  const given = new BlockAssembly();
  add(given, 'c', false);
  given.clear();
  const next = new BlockAssembly();
  add(next, 'd', false);
  add(next, 'e', true);
  assert.equal(textOf(next), 'de');
  assert.equal(next.bytes.buffer, memory);
});
