import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RE2JS } from 're2js';
import fc from '../../scripts/fast-check.ts';
import { MAX_PATTERN_SIZE, MAX_PATTERNS_SIZE, patternSize, patternSizeFlaw, withPatternAllowance } from './pattern-size.ts';

describe('how big a pattern is', () => {
  for (const [source, size] of [
    ['', 0],
    ['/orders', 7],
    ['a*b+c?', 6],
    ['a|b', 3],
    ['[a-z0-9]', 1],
    ['[]a]b', 2],
    ['[[:alpha:]]b', 3],
    ['\\[\\\\', 2],
    ['a{3}', 3],
    ['a{2,5}', 10],
    ['a{2,}', 4],
    ['x{', 2],
    ['(ab){10}', 40],
    ['((a{10}){10}){10}', 1220],
    ['[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}', 42],
    ['a{1,1000}', 2000],
    ['\\x{3042}\\x{41}{3}', 4],
    ['\\p{Greek}{3}', 23],
    ['\\Q[(a{9}\\\\E{3}', 9],
    ['a\\Q\\E{3}\\Qb[', 5],
    // No patterns, and yet there is an answer.
    ['((((', 0],
    ['))))', 8],
    ['[', 1],
    ['\\', 1],
    ['\\x{', 2],
    ['\\Q', 0],
  ] as const)
    test(source, () => assert.equal(patternSize(source), size));

  test('the program that a pattern makes is not much larger, whatever it is', () => {
    const atom = fc.constantFrom('a', '.', '[a-q]', '\\d', '\\pL', '\\x{41}', '\\Q[(\\E', '(a|b)', '(|a)', '(?:ab?)', '(a*b)');
    const count = fc.constantFrom('', '', '*', '+?', '?', '{3}', '{0,9}', '{2,}', '{1,30}');
    const pattern = fc.letrec<{ one: string; sequence: string }>((tie) => ({
      one: fc.oneof({ maxDepth: 2 }, atom, tie('sequence')),
      sequence: fc
        .array(fc.tuple(tie('one'), count), { minLength: 1, maxLength: 4 })
        .map((list) => list.map(([text, times]) => `(?:${text})${times}`).join('')),
    })).sequence;
    fc.assert(
      fc.property(pattern, (source) => {
        const size = patternSize(source);
        if (size > MAX_PATTERN_SIZE) return;
        let compiled: RE2JS;
        try {
          compiled = RE2JS.compile(source);
        } catch {
          return;
        }
        assert.ok(compiled.programSize() <= size + 10, `${source}: ${compiled.programSize()} instructions, ${size} parts`);
      }),
      { numRuns: 300 },
    );
  });
});

test('the patterns of one object share an allowance, and the next object has one of its own', () => {
  const big = 'a{1,1000}';
  const most = MAX_PATTERNS_SIZE / patternSize(big);
  for (let object = 0; object < 2; object++) {
    withPatternAllowance(() => {
      for (let index = 0; index < most; index++) assert.equal(patternSizeFlaw(big), undefined);
      assert.match(patternSizeFlaw('a')?.message ?? '', /together/);
    });
  }
  // Outside of an object each is judged by itself.
  for (let index = 0; index <= most; index++) assert.equal(patternSizeFlaw(big), undefined);
  assert.match(patternSizeFlaw(`${big}${big}${big}`)?.message ?? '', /6000 parts/);
});
