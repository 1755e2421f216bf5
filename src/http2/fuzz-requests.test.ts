import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fuzzHttp2Requests } from './differential/compare-requests.ts';
import { ReferenceHttp2 } from './differential/request-readings.ts';

/** Always the same ones, so that a failure is one of the change under test; `make fuzz` looks further. */
const SEED = 20_261_122;
const CASES = 300;
/** Two requests, and a GOAWAY with an error code between them. */
const WITH_GOAWAY = 409_299_913;

describe('what this codec accepts of clients, nghttp2 accepts with the same meaning', () => {
  const reference = new ReferenceHttp2();
  before(() => reference.start());
  after(() => reference.close());

  it('of requests over HTTP/2, however their bytes are split', async () => {
    const { same, alike } = await fuzzHttp2Requests(reference, SEED, CASES);
    // Else the frames are of no use for a comparison.
    assert.ok(same > CASES / 2 && alike > CASES / 3, `${same} requests the same, ${alike} connections alike`);
  });

  it('but for requests behind a GOAWAY of the client, which stops only the reference', async () => {
    assert.equal((await fuzzHttp2Requests(reference, WITH_GOAWAY, 1)).same, 1);
  });
});
