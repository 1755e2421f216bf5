import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Row, replaceRows } from './report.ts';

const row = (number: number, measured: string, passed = true): Row => ({
  number,
  fault: `fault ${number}`,
  done: 'done',
  passes: 'passes',
  measured,
  passed,
  when: 'today',
});

test('a page gets a table, of which a later run replaces its own rows only', () => {
  const first = replaceRows('# Page\n\nText.\n', [row(9, 'nine'), row(10, 'ten', false)]);
  assert.match(first, /^# Page\n\nText\.\n\n<!--/);
  assert.match(first, /\| 9 \| .* \| nine \| yes \|.*\n\| 10 \| .* \| ten \| \*\*no\*\* \|/);
  const second = replaceRows(`${first}\nAfter.\n`, [row(8, 'eight'), row(10, 'a | b')]);
  assert.match(second, /\| 8 \| .*\n\| 9 \| .* nine .*\n\| 10 \| .* \| a \\\| b \| yes \|.*\n\n<!--/);
  assert.ok(second.endsWith('\nAfter.\n'));
  assert.ok(!second.includes('| ten |'));
});
