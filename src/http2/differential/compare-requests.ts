/**
 * The two readings side by side. What this codec accepts, the reference must accept with the same meaning; what it refuses,
 * the reference may take. And any split of the bytes must give the same outcome.
 */
import assert from 'node:assert/strict';
import { Random } from '../../http1/differential/random.ts';
import { FRAME_HEADER, FrameType } from '../frames.ts';
import { cutsOf, requestFrames } from './request-frames.ts';
import { type Outcome, type Reading, type ReferenceHttp2, readOurs } from './request-readings.ts';

export interface Tally {
  /** Requests that both took, and found the same. */
  same: number;
  /** Cases of which this codec took everything that the reference took. */
  alike: number;
  cases: number;
}

function compare(ours: Reading, theirs: Reading, isComplete: boolean): void {
  const { body: _ourBody, trailers: _ourTrailers, ended: _ourEnd, endsByLength: _ours, ...ourHead } = ours;
  const { body: _theirBody, trailers: _theirTrailers, ended: _theirEnd, endsByLength: _theirs, ...theirHead } = theirs;
  assert.deepEqual({ ...ourHead, fields: [...ours.fields].sort() }, { ...theirHead, fields: [...theirs.fields].sort() });
  if (!isComplete || ours.endsByLength) return;
  assert.equal(theirs.ended, true, 'the reference has not found the end');
  assert.equal(ours.body, theirs.body);
  assert.deepEqual(ours.trailers, theirs.trailers);
}

/**
 * Whether the client says GOAWAY among its frames. A server that is told so opens no stream of its own any more, and need not stop
 * for it (RFC 9113 section 6.8); nghttp2 opens none of the client's either, and Node ends the session where the code is an error.
 */
function saysGoAway(frames: string): boolean {
  for (let at = 0; at + FRAME_HEADER <= frames.length; ) {
    if (frames.charCodeAt(at + 3) === FrameType.GoAway) return true;
    at += FRAME_HEADER + (frames.charCodeAt(at) << 16) + (frames.charCodeAt(at + 1) << 8) + frames.charCodeAt(at + 2);
  }
  return false;
}

/** @param frames what both have read */
function judge(ours: Outcome, theirs: Outcome, frames: string, tally: Tally): void {
  for (const request of ours.requests) {
    // What is not complete is not yet accepted.
    if (!request.ended) continue;
    const found = theirs.requests.find(({ streamId }) => streamId === request.streamId);
    // Node ends the whole connection where one request is malformed.
    if (found === undefined && !theirs.alive && ours.rest.some((line) => line.startsWith('reset'))) return;
    // Both have ended it: a request that came just before that is taken or lost.
    if (found === undefined && !theirs.alive && !ours.alive) return;
    if (found === undefined && saysGoAway(frames)) return;
    assert.ok(found !== undefined, `the reference has not taken ${JSON.stringify(request)}`);
    compare(request, found, theirs.alive);
    tally.same++;
  }
  if (ours.requests.filter(({ ended }) => ended).length >= theirs.requests.length) tally.alike++;
}

/** Requests that came along with the end of their connection have begun, or have not: it makes no difference to anybody. */
function certain(outcome: Outcome): Outcome {
  return outcome.alive ? outcome : { ...outcome, requests: [], rest: outcome.rest.filter((line) => line !== 'client_gone') };
}

/** Runs cases from `first` on. @throws AssertionError with the case's number and bytes at the first difference */
export async function fuzzHttp2Requests(reference: ReferenceHttp2, first: number, count: number): Promise<Tally> {
  const tally: Tally = { same: 0, alike: 0, cases: count };
  for (let number = first; number < first + count; number++) {
    const random = new Random(number);
    const frames = requestFrames(random);
    try {
      const whole = await readOurs(frames, [], false);
      assert.deepEqual(certain(await readOurs(frames, cutsOf(random, frames.length), false)), certain(whole), 'a split changes the outcome');
      const everywhere = Array.from({ length: frames.length }, (_, index) => index);
      judge(await readOurs(frames, everywhere, true), await reference.read(frames), frames, tally);
    } catch (error) {
      throw new Error(`case ${number}: ${error instanceof Error ? error.message : error}\n${JSON.stringify(frames)}`, { cause: error });
    }
  }
  return tally;
}
