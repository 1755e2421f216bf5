/** Runs the golden cases; testdata/golden-case.ts says how to add one. UPDATE_GOLDEN=1 (`make golden`) records them anew. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { goldenCases, render } from './testdata/golden-case.ts';
import { type TranslateResult, translate } from './translate.ts';

const update = process.env.UPDATE_GOLDEN === '1';

for (const { name, options, sets, expectedFile } of goldenCases()) {
  test(`golden: ${name}`, () => {
    let result: TranslateResult | undefined;
    for (const set of sets) result = translate(set, options, result);
    const set = sets.at(-1);
    assert.ok(set !== undefined && result !== undefined);
    const text = render(set, result);
    if (update) writeFileSync(expectedFile, text);
    assert.ok(existsSync(expectedFile), `${expectedFile} is missing: record it with make golden, then read it`);
    assert.equal(text, readFileSync(expectedFile, 'utf8'));
  });
}

test('there are at least 60 golden cases', () => {
  assert.ok(goldenCases().length >= 60);
});
