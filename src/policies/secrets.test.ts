/** Cells of Secrets' values: which are the same, and which are forgotten. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Secrets } from './secrets.ts';

test('a cell that is held shows each value, whatever was there first, and whether there is one', () => {
  const secrets = new Secrets();
  const early = secrets.cell('shop/a/key');
  assert.equal(early.value, undefined);
  secrets.put(
    new Map([
      ['shop/a/key', 'one'],
      ['shop/b/key', 'other'],
    ]),
  );
  assert.equal(early.value, 'one');
  assert.equal(secrets.cell('shop/a/key'), early);
  assert.equal(secrets.cell('shop/b/key').value, 'other');
  secrets.remove(['shop/a/key', 'shop/unknown/key']);
  assert.equal(early.value, undefined);
  assert.equal(secrets.cell('shop/a/key'), early);
  secrets.put(new Map([['shop/a/key', 'two']]));
  assert.equal(early.value, 'two');
  assert.equal(secrets.size, 2);
});

test('cells without a value that nobody holds are forgotten', { timeout: 60_000 }, async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const secrets = new Secrets();
  const held = secrets.cell('shop/held/key');
  const ids = Array.from({ length: 1000 }, (_, index) => `shop/s${index}/key`);
  secrets.put(new Map(ids.map((id) => [id, 'value'])));
  for (const id of ids) secrets.cell(`${id}-missing`);
  secrets.remove(ids.slice(1));
  assert.equal(secrets.size, 2001);
  // What is left: the one that is held, the one with a value, and few that the collector has yet to see.
  while (secrets.size > 10) {
    await setTimeout(1);
    collect();
  }
  assert.equal(secrets.cell('shop/s0/key').value, 'value');
  secrets.put(new Map([['shop/held/key', 'late']]));
  assert.equal(held.value, 'late');
});
