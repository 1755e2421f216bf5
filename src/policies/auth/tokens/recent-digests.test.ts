import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import fc from '../../../../scripts/fast-check.ts';
import { RecentDigests } from './recent-digests.ts';

const digestOf = (text: string): string => hash('sha256', text, 'latin1');

test('a digest is that of the very text, or none', () => {
  // Few letters and lengths, so that places are shared and texts end alike.
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '\u00e9'), maxLength: 9 });
  fc.assert(
    fc.property(fc.array(fc.record({ text, isKept: fc.boolean() }), { maxLength: 40 }), (steps) => {
      const digests = new RecentDigests();
      for (const { text, isKept } of steps) {
        const found = digests.get(text);
        assert.ok(found === undefined || found === digestOf(text));
        if (!isKept) continue;
        digests.keep(text, digestOf(text));
        assert.equal(digests.get(text), text === '' ? undefined : digestOf(text));
      }
    }),
  );
});

test('of a text that ends as another one does nothing is known', () => {
  const digests = new RecentDigests();
  digests.keep('a.b.signature', 'digest');
  assert.equal(digests.get('a.c.signature'), undefined);
  assert.equal(digests.get('signature'), undefined);
  digests.keep('a.c.signature', 'other digest');
  assert.deepEqual([digests.get('a.b.signature'), digests.get('a.c.signature')], [undefined, 'other digest']);
});

test('long texts are not kept', () => {
  const digests = new RecentDigests();
  digests.keep('x'.repeat(2049), 'digest');
  assert.equal(digests.get('x'.repeat(2049)), undefined);
});

test('texts that differ in any one character are told apart, whatever was asked for before', () => {
  const digests = new RecentDigests();
  for (const length of [1, 4, 7, 16, 37, 2048]) {
    const text = 'k'.repeat(length);
    digests.keep(text, `digest ${length}`);
    for (let at = 0; at < length; at += length < 100 ? 1 : 89) {
      assert.equal(digests.get(`${text.slice(0, at)}l${text.slice(at + 1)}`), undefined);
      assert.equal(digests.get('m'.repeat(2048)), undefined);
      assert.equal(digests.get(text), `digest ${length}`);
    }
  }
});
