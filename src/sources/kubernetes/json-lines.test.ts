import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { jsonLines } from './json-lines.ts';

async function* cut(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let start = 0;
  for (const size of sizes) {
    yield bytes.subarray(start, start + size);
    start += size;
  }
  yield bytes.subarray(start);
}

async function collect(lines: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const line of lines) all.push(line);
  return all;
}

test('any cut of the same bytes gives the same documents', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.json()), fc.array(fc.nat(20)), async (documents, sizes) => {
      const bytes = Buffer.from(documents.map((document) => `${document}\n`).join(''));
      assert.deepEqual(
        await collect(jsonLines(cut(bytes, sizes))),
        documents.map((document) => JSON.parse(document) as unknown),
      );
    }),
  );
});

test('half a document at the end is none; a line over the limit is refused before it is whole', async () => {
  assert.deepEqual(await collect(jsonLines(cut(Buffer.from('1\n[2'), []))), [1]);
  assert.deepEqual(await collect(jsonLines(cut(Buffer.from('"45678"\n'), [3]), 7)), ['45678']);
  await assert.rejects(collect(jsonLines(cut(Buffer.from('"456789"\n'), [3]), 7)), { fault: 'Malformed' });
  await assert.rejects(collect(jsonLines(cut(Buffer.from('"456789'), [5, 1]), 6)), { fault: 'Malformed' });
});
