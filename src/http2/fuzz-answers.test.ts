import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fuzzAnswers } from './differential/compare-answers.ts';

/** Always the same ones, so that a failure is one of the change under test; `make fuzz` looks further. */
const SEED = 20_261_122;
const CASES = 150;

describe('what the client role accepts, nghttp2 accepts with the same meaning', () => {
  it('of answers, however their bytes are split', async () => {
    const { same, alike, requests } = await fuzzAnswers(SEED, CASES);
    // Else the frames are of no use for a comparison.
    assert.ok(same > requests / 4 && alike > requests / 2, `${same} the same, ${alike} alike, of ${requests}`);
  });
});
