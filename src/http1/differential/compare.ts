/**
 * The two readings side by side. Whatever this codec accepts, the reference must accept with the same meaning; what it
 * refuses, the reference may take.
 */
import assert from 'node:assert/strict';
import { pieces, requests, response } from './generate.ts';
import { type OurRequest, type OurResponse, readOurResponse, readRequests } from './ours.ts';
import { Random } from './random.ts';
import { type ReadMessage, type ReferenceResponse, type ReferenceServer, readResponse } from './reference.ts';

export interface Tally {
  /** Messages that both took, and found the same. */
  same: number;
  /** Cases of which this codec took everything that the reference took. */
  alike: number;
  cases: number;
}

const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'proxy-authenticate',
  'proxy-authorization',
  'http2-settings',
]);
/** What Connection may name without effect. */
const KEPT =
  /^(?:host|content-length|authorization|cookie|date|forwarded|x-forwarded-.*|x-real-ip|x-request-id|traceparent|client-cert.*|ssl-client-.*|proxy)$/;

type Pair = readonly [name: string, value: string];

function pairs(list: readonly string[]): Pair[] {
  return Array.from({ length: list.length / 2 }, (_, index) => [list[index * 2] as string, list[index * 2 + 1] as string]);
}

/** What of a message's fields goes on, by the rules alone. */
function passedOn(list: readonly string[], dropped: (name: string) => boolean): Pair[] {
  const all = pairs(list);
  const named = new Set(
    all
      .filter(([name]) => name.toLowerCase() === 'connection')
      .flatMap(([, value]) => value.split(','))
      .map((option) => option.trim().toLowerCase())
      .filter((option) => !KEPT.test(option)),
  );
  return all.filter(([name]) => {
    const lower = name.toLowerCase();
    return !HOP_BY_HOP.has(lower) && lower !== 'expect' && !named.has(lower) && !dropped(lower);
  });
}

function without(name: string, list: readonly Pair[]): Pair[] {
  return list.filter((pair) => pair[0].toLowerCase() !== name);
}

function compareRequest(ours: OurRequest, theirs: ReadMessage): void {
  const [method, target] = theirs.start.split(' ') as [string, string];
  assert.equal(ours.start, method);
  assert.equal(ours.version, theirs.version);
  const expected = passedOn(theirs.fields, (name) => name === 'content-length' || name.includes('_'));
  if (target.startsWith('/')) {
    const [path, ...query] = target.split('?') as [string, ...string[]];
    // Normalising has tests of its own.
    if (!/%|\/\./.test(path)) assert.equal(ours.path, path);
    assert.equal(ours.query, query.length === 0 ? '' : `?${query.join('?')}`);
    assert.deepEqual(pairs(ours.fields), expected);
  } else {
    // Of an absolute target, the host goes on as it is written there.
    assert.deepEqual(without('host', pairs(ours.fields)), without('host', expected));
  }
  compareBody(ours, theirs);
}

function compareBody(ours: ReadMessage, theirs: ReadMessage): void {
  if (!ours.complete) return;
  assert.equal(theirs.complete, true, 'the reference found the body incomplete');
  assert.equal(ours.body, theirs.body);
  const trailers = pairs(theirs.trailers).map(String);
  let from = 0;
  for (const trailer of pairs(ours.trailers)) {
    from = trailers.indexOf(String(trailer), from) + 1;
    assert.ok(from > 0, `the reference has no trailer ${trailer}`);
  }
}

async function compareRequests(seen: readonly OurRequest[], reading: readonly ReadMessage[] | Promise<readonly ReadMessage[]>): Promise<void> {
  const theirs = await reading;
  assert.ok(theirs.length >= seen.length, 'the reference took fewer requests');
  seen.forEach((ours, at) => {
    compareRequest(ours, theirs[at] as ReadMessage);
  });
}

/** What may be a framing field among trailers: its name, after the end of a chunked body and perhaps other trailers. */
const FRAMING_TRAILER = /(?<=\r\n0+(?:;[^\r\n]*)?\r\n(?:[^\r\n]+\r\n)*)(?:content-length|transfer-encoding)(?=:)/gi;
/** Each doubles the number of readings to try. */
const MAX_CANDIDATES = 6;

/**
 * The one thing in which this codec takes more: trailers that name framing are dropped (hardening, item 3), where llhttp
 * refuses the message. So where a comparison fails, the same message without some of their names must compare; which of
 * the candidates are trailers, and which are fields of a head after bytes that only look like a body, is not known here.
 */
async function tolerant(message: string, compare: (message: string) => Promise<void>): Promise<void> {
  try {
    await compare(message);
  } catch (error) {
    const candidates = [...message.matchAll(FRAMING_TRAILER)].slice(0, MAX_CANDIDATES);
    for (let chosen = 1; chosen < 1 << candidates.length; chosen++) {
      let neutral = message;
      candidates.forEach(({ index, 0: name }, bit) => {
        // Of the same length, so that other places stay where they are.
        if ((chosen & (1 << bit)) !== 0) neutral = neutral.slice(0, index) + 'x'.repeat(name.length) + neutral.slice(index + name.length);
      });
      const compares = await compare(neutral).then(
        () => true,
        () => false,
      );
      if (compares) return;
    }
    throw error;
  }
}

/** Requests of `cases` connections. @throws AssertionError that shows the bytes, where the readings differ */
export async function fuzzRequests(reference: ReferenceServer, seed: number, cases: number): Promise<Tally> {
  const tally: Tally = { same: 0, alike: 0, cases };
  for (let index = 0; index < cases; index++) {
    const random = new Random(seed + index);
    const message = requests(random);
    const parts = pieces(random, message);
    const [{ seen, output, ended }, theirs] = [await readRequests(parts), await reference.read([message])];
    const whole = parts.length === 1 ? undefined : await readRequests([message]);
    try {
      await tolerant(message, (neutral) => compareRequests(seen, neutral === message ? theirs : reference.read([neutral])));
      assert.equal(ended, true, 'the connection stays open after the end of the bytes');
      if (whole !== undefined) {
        assert.deepEqual(seen, whole.seen, 'another reading of the same bytes in pieces');
        assert.equal(steady(output), steady(whole.output));
      }
    } catch (error) {
      throw explained(error, seed + index, message, parts, { ours: seen, output, theirs });
    }
    tally.same += seen.length;
    if (seen.length === theirs.length) tally.alike++;
  }
  return tally;
}

function compareResponse(method: string, { response, informed, failure }: OurResponse, theirs: ReferenceResponse): void {
  if (response === undefined) {
    assert.notEqual(failure, '');
    return;
  }
  assert.ok(theirs.response !== undefined, 'the reference took no response');
  assert.equal(response.start, theirs.response.start);
  const keepsLength = (method === 'HEAD' && response.start !== '204') || response.start === '304';
  assert.deepEqual(
    pairs(response.fields),
    passedOn(theirs.response.fields, (name) => name === 'content-length' && !keepsLength),
  );
  compareBody(response, theirs.response);
  assert.deepEqual(
    informed,
    theirs.informed.filter((status) => status === 103),
  );
  assert.equal(response.complete, failure === '');
}

/** Responses to `cases` requests. @throws AssertionError that shows the bytes, where the readings differ */
export async function fuzzResponses(seed: number, cases: number): Promise<Tally> {
  const tally: Tally = { same: 0, alike: 0, cases };
  for (let index = 0; index < cases; index++) {
    const random = new Random(seed + index);
    const message = response(random);
    const parts = pieces(random, message);
    const method = random.oneIn(8) ? 'HEAD' : 'GET';
    const [ours, theirs] = [await readOurResponse(method, parts), await readResponse(method, [message])];
    const whole = parts.length === 1 ? undefined : await readOurResponse(method, [message]);
    try {
      await tolerant(message, async (neutral) => {
        compareResponse(method, ours, neutral === message ? theirs : await readResponse(method, [neutral]));
      });
      // Bytes after the end are excess in the same read and a breach on an idle connection in the next: both destroy it.
      if (whole !== undefined && whole.failure !== 'malformed') {
        assert.deepEqual(
          [ours.response, ours.failure, ours.informed],
          [whole.response, whole.failure, whole.informed],
          'another reading of the same bytes in pieces',
        );
      }
    } catch (error) {
      throw explained(error, seed + index, message, parts, { method, ours, theirs });
    }
    if (ours.response?.complete === true) tally.same++;
    if ((ours.response?.complete === true) === (theirs.response?.complete === true)) tally.alike++;
  }
  return tally;
}

/** Without what differs each time. */
function steady(output: string): string {
  return output.replace(/Date: [^\r]*/g, 'Date').replace(/[0-9a-f]{32}/g, 'ID');
}

function explained(error: unknown, seed: number, message: string, parts: readonly string[], readings: unknown): Error {
  const what = error instanceof Error ? error.message : String(error);
  return new Error(
    `case ${seed}: ${what}\nbytes: ${JSON.stringify(message)}\npieces: ${JSON.stringify(parts)}\nreadings: ${JSON.stringify(readings, null, 1)}`,
    { cause: error },
  );
}
