import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { fuzzRequests, fuzzResponses } from './differential/compare.ts';
import { ReferenceServer } from './differential/reference.ts';

/** Always the same ones, so that a failure is one of the change under test; `node src/http1/fuzz.ts` looks further. */
const SEED = 20_261_122;
const CASES = 1_500;

describe('what this codec accepts, llhttp accepts with the same meaning', () => {
  const reference = new ReferenceServer();
  after(() => reference.close());

  it('of requests', async () => {
    const { same, alike } = await fuzzRequests(reference, SEED, CASES);
    // Else the messages are of no use for a comparison.
    assert.ok(same > CASES / 2 && alike > CASES / 2, `${same} requests the same, ${alike} connections alike`);
  });

  it('of what `make fuzz` has found', async () => {
    // A tab behind `chunked`.
    await fuzzResponses(363_462_491, 1);
  });

  it('of responses', async () => {
    const { same, alike } = await fuzzResponses(SEED, CASES);
    assert.ok(same > CASES / 4 && alike > CASES / 2, `${same} responses the same, ${alike} alike`);
  });
});
