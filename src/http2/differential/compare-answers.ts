/** The two readings of a server's frames side by side: what our client role accepts, nghttp2 must accept with the same meaning. */
import assert from 'node:assert/strict';
import { Random } from '../../http1/differential/random.ts';
import { answers } from './answers.ts';
import { type Read1, readOurs, readReference } from './read-answers.ts';

export interface Tally {
  /** Answers that both took, and found the same. */
  same: number;
  /** Requests of which both said whether there was a whole answer, and said the same. */
  alike: number;
  /** All requests. */
  requests: number;
}

const NOT_PASSED_ON =
  /^(?:connection|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade|proxy-authenticate|proxy-authorization|http2-settings|expect): /;

/** The server's bytes in reads of any size, few of which end with a frame. */
function split(random: Random, text: string): string[] {
  const parts: string[] = [];
  for (let at = 0; at < text.length; ) {
    const length = 1 + random.below(random.oneIn(3) ? 4 : 60);
    parts.push(text.slice(at, at + length));
    at += length;
  }
  return parts;
}

/** @param spoilt another answer of the connection is malformed: for that nghttp2 gives up the connection, where RFC 9113 section 8.1.1 has the stream given up */
function compare(method: string, ours: Read1, theirs: Read1, spoilt: boolean): void {
  if (!ours.complete) return;
  if (spoilt && !theirs.complete) {
    assert.ok(theirs.status === 0 || theirs.status === ours.status || ours.status === 101);
    assert.ok(ours.body.startsWith(theirs.body));
    return;
  }
  assert.ok(theirs.complete, 'the reference found no whole answer');
  const isOpen = method === 'CONNECT' && ours.status === 101;
  if (isOpen) assert.equal(Math.floor(theirs.status / 100), 2);
  else assert.equal(ours.status, theirs.status);
  assert.equal(ours.body, theirs.body);
  const keepsLength = method === 'HEAD' || ours.status === 304;
  assert.deepEqual(
    ours.fields.filter((line) => !isOpen || !line.startsWith('Sec-WebSocket-Accept: ')).map((line) => line.replace(/: $/, ':')),
    theirs.fields.filter((line) => !NOT_PASSED_ON.test(line) && (keepsLength || !line.startsWith('content-length: '))).map((line) => line.replace(/: $/, ':')),
  );
  let from = 0;
  for (const trailer of ours.trailers) {
    from = theirs.trailers.indexOf(trailer, from) + 1;
    assert.ok(from > 0, `the reference has no trailer ${trailer}`);
  }
  assert.deepEqual(
    ours.informed,
    theirs.informed.filter((status) => status === 103),
  );
}

/** What must not depend on how the bytes are split: of an answer that is not whole, how much was told before it failed may. */
function outcome(read: Read1): unknown {
  return read.complete ? read : [read.failure];
}

/** Answers on `cases` connections. @throws Error that shows the bytes, where the readings differ */
export async function fuzzAnswers(seed: number, cases: number): Promise<Tally> {
  const tally: Tally = { same: 0, alike: 0, requests: 0 };
  for (let index = 0; index < cases; index++) {
    const random = new Random(seed + index);
    const given = answers(random);
    const text = given.pieces.join('');
    const ours = await readOurs(given, given.pieces);
    const theirs = await readReference(given);
    const parts = split(random, text);
    const [pieces, whole] = [await readOurs(given, parts), await readOurs(given, [text])];
    try {
      // nghttp2 gives up the connection for what comes behind the end of an answer to CONNECT, too, whose stream we have reset by then.
      const spoilt = ours.some(({ failure, complete }, at) => failure === 'malformed' || (complete && given.methods[at] === 'CONNECT'));
      for (const [at, read] of ours.entries()) compare(given.methods[at] as string, read, theirs[at] as Read1, spoilt);
      assert.deepEqual(pieces.map(outcome), ours.map(outcome), 'another reading of the same bytes in pieces');
      assert.deepEqual(whole.map(outcome), ours.map(outcome), 'another reading of the same bytes in one');
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      const bytes = given.pieces.map((piece) => Buffer.from(piece, 'latin1').toString('hex'));
      throw new Error(
        `case ${seed + index}: ${what}\n${JSON.stringify({ methods: given.methods, bytes, parts: parts.length, ours, theirs, pieces, whole }, null, 1)}`,
        {
          cause: error,
        },
      );
    }
    tally.requests += ours.length;
    for (const [at, read] of ours.entries()) {
      if (read.complete) tally.same++;
      if (read.complete === theirs[at]?.complete) tally.alike++;
    }
  }
  return tally;
}
