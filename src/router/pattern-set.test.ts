import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RE2JS } from 're2js';
import fc from '../../scripts/fast-check.ts';
import { PatternSet } from './pattern-set.ts';

const atom = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '\\d', '\\b', '^', '$', '(?i)A', '/', '\\w', 'a|b', '(?:a|ab)', '');
const pattern = fc
  .array(fc.tuple(atom, fc.constantFrom('', '', '*', '+', '?', '{2}')), { maxLength: 4 })
  .map((parts) => parts.map(([text, repeat]) => (repeat === '' ? text : `(?:${text})${repeat}`)).join(''));
const text = fc.array(fc.constantFrom('a', 'b', 'A', '/', '1', 'é', '\n'), { maxLength: 6 }).map((list) => list.join(''));

function setOf(patterns: readonly string[]): PatternSet {
  const steps = PatternSet.build(patterns);
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

test('a set finds what its patterns find one by one', () => {
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 12 }), fc.array(text, { maxLength: 12 }), (patterns, texts) => {
      const set = setOf(patterns);
      const single = patterns.map((source) => RE2JS.compile(source));
      for (const value of texts) {
        const expected = single.flatMap((compiled, index) => (compiled.matches(value) ? [index] : []));
        assert.deepEqual([...set.match(value)], expected, JSON.stringify({ patterns, value }));
      }
    }),
    { numRuns: 2_000 },
  );
});

test('patterns that are too large for one set are split, and keep their indexes', () => {
  const patterns = Array.from({ length: 60 }, (_, index) => `/s${index}/(?:[a-z]{1,500}/){1,2}|/all`);
  const set = setOf(patterns);
  assert.ok(set.passes > 1 && set.passes < 20, `${set.passes} passes`);
  assert.deepEqual([...set.match('/s41/abc/def/')], [41]);
  assert.deepEqual([...set.match('/s59/abc/')], [59]);
  assert.deepEqual(
    [...set.match('/all')],
    patterns.map((_, index) => index),
  );
  assert.deepEqual([...set.match('/s41/abc')], []);
});

test('a text that leads through very many states is still judged right', () => {
  // Each pattern alone needs 2^16 states, far more than the automaton may hold at once.
  const patterns = Array.from({ length: 6 }, (_, index) => `.*${'ab'[index % 2]}.{${14 + index}}`);
  const set = setOf(patterns);
  let bits = 1;
  let value = '';
  for (let index = 0; index < 6_000; index++) {
    // A linear feedback shift register: no stretch repeats.
    bits = (bits >>> 1) ^ (-(bits & 1) & 0xd0000001);
    value += (bits & 1) === 0 ? 'a' : 'b';
  }
  const expected = patterns.flatMap((_, index) => (value.at(-15 - index) === 'ab'[index % 2] ? [index] : []));
  assert.deepEqual([...set.match(value)], expected);
});
