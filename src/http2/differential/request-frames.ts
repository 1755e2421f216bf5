/** Frames of a client, most of them good, some of them not, from a seed. */
import type { Random } from '../../http1/differential/random.ts';
import { ErrorCode, Flag, FrameType, frameHeader, pingFrame, rstStreamFrame, Setting, settingsFrame, windowUpdateFrame } from '../frames.ts';

type Pair = readonly [name: string, value: string];

const FIELDS: readonly Pair[] = [
  ['x-a', '1'],
  ['accept', '*/*'],
  ['cookie', 'a=1'],
  ['cookie', 'b=2; c=3'],
  ['user-agent', 'fuzz'],
  ['te', 'trailers'],
  ['x-empty', ''],
  ['x-high', '\xe9\xff'],
  ['x-tab', 'a\tb'],
  ['under_score', '1'],
  ['content-type', 'text/plain'],
  ['x-long', 'abcdefghij'.repeat(30)],
];
const BAD_FIELDS: readonly Pair[] = [
  ['X-Upper', '1'],
  ['x:colon', '1'],
  ['x blank', '1'],
  ['', '1'],
  ['x-cr', 'a\rb'],
  ['x-lf', 'a\nb'],
  ['x-nul', 'a\0b'],
  ['x-before', ' a'],
  ['x-behind', 'a '],
  ['connection', 'close'],
  ['transfer-encoding', 'chunked'],
  ['keep-alive', '1'],
  ['upgrade', 'h2c'],
  ['te', 'gzip'],
  ['host', 'b.test'],
  ['content-length', '3'],
  ['content-length', '-1'],
  ['content-length', '0'],
  [':path', '/late'],
  [':status', '200'],
  [':protocol', 'websocket'],
  [':unknown', '1'],
];
const PATHS = ['/', '/a', '/a/b?c=d&e', '/a?b=/../c', '/a%20b', ''] as const;
const AUTHORITIES = ['a.test', 'a.test:8080', '127.0.0.1', '[::1]:80', 'b.test'] as const;

/** @param length below 2^14 */
function integer(prefix: number, mask: number, value: number): string {
  if (value < mask) return String.fromCharCode(prefix | value);
  let text = String.fromCharCode(prefix | mask);
  let left = value - mask;
  for (; left >= 128; left >>>= 7) text += String.fromCharCode((left & 0x7f) | 0x80);
  return text + String.fromCharCode(left);
}

/** A literal in one of its three forms (RFC 7541 section 6.2), or, now and then, an entry of the dynamic table, whatever that is. */
function literal(random: Random, [name, value]: Pair): string {
  const form = random.pick([0x00, 0x10, 0x40]);
  return String.fromCharCode(form) + integer(0, 0x7f, name.length) + name + integer(0, 0x7f, value.length) + value;
}

function requestPairs(random: Random, hasBody: boolean): Pair[] {
  const pairs: Pair[] = [
    [':method', random.pick(hasBody ? ['POST', 'PUT', 'PATCH'] : ['GET', 'HEAD', 'DELETE', 'OPTIONS'])],
    [':scheme', 'http'],
    [':authority', random.pick(AUTHORITIES)],
    [':path', random.oneIn(30) ? '*' : random.pick(PATHS.slice(0, random.oneIn(20) ? 6 : 5))],
  ];
  if (random.oneIn(20)) {
    pairs[0] = [':method', 'CONNECT'];
    pairs.splice(random.below(5), 0, [':protocol', random.oneIn(10) ? 'connect-udp' : 'websocket']);
    pairs.push(['sec-websocket-version', random.oneIn(10) ? '8' : '13']);
    if (random.oneIn(4)) pairs.push(['sec-websocket-key', 'of the client']);
  }
  if (random.oneIn(12)) pairs.splice(random.below(4), 1);
  if (random.oneIn(12)) pairs.push(random.pick(pairs));
  if (random.oneIn(12)) pairs[2] = ['host', random.pick(AUTHORITIES)];
  for (let count = random.below(6); count > 0; count--) pairs.push(random.pick(FIELDS));
  if (random.oneIn(8)) pairs.splice(random.below(pairs.length + 1), 0, random.pick(BAD_FIELDS));
  return pairs;
}

function damaged(random: Random, text: string): string {
  const at = random.below(text.length + 1);
  switch (random.below(4)) {
    case 0:
      return text.slice(0, at) + String.fromCharCode(random.below(256)) + text.slice(at + 1);
    case 1:
      return text.slice(0, at) + text.slice(at + 1 + random.below(3));
    case 2:
      return text.slice(0, at) + String.fromCharCode(random.below(256)) + text.slice(at);
    default:
      return text.slice(0, at);
  }
}

function frame(type: number, flags: number, streamId: number, payload: string): string {
  return frameHeader(payload.length, type, flags, streamId) + payload;
}

function padded(random: Random, flags: number, payload: string): readonly [flags: number, payload: string] {
  if (!random.oneIn(5)) return [flags, payload];
  const padding = random.oneIn(12) ? payload.length + 9 : random.below(10);
  return [flags | Flag.Padded, `${String.fromCharCode(padding)}${payload}${'\0'.repeat(Math.min(padding, 20))}`];
}

/** A header block as HEADERS, perhaps with CONTINUATION, padding and priority. */
function headFrames(random: Random, streamId: number, pairs: readonly Pair[], endStream: boolean): string {
  let block = pairs.map((pair) => literal(random, pair)).join('');
  if (random.oneIn(30)) block = damaged(random, block);
  if (random.oneIn(20)) block = `\x3f\xe1\x1f${block}`;
  if (random.oneIn(10)) block += String.fromCharCode(0x80 | random.below(70));
  const cut = random.oneIn(4) ? random.below(block.length + 1) : block.length;
  const isWhole = cut === block.length;
  let [flags, payload] = [(endStream ? Flag.EndStream : 0) | (isWhole ? Flag.EndHeaders : 0), block.slice(0, cut)] as [number, string];
  if (random.oneIn(8)) {
    flags |= Flag.Priority;
    payload = `\0\0\0${String.fromCharCode(random.oneIn(8) ? streamId & 0xff : 0)}\x10${payload}`;
  }
  let text = frame(FrameType.Headers, ...spread(streamId, padded(random, flags, payload)));
  if (isWhole) return text;
  if (random.oneIn(15)) text += pingFrame('betweens', false);
  return text + frame(FrameType.Continuation, Flag.EndHeaders, random.oneIn(40) ? streamId + 2 : streamId, block.slice(cut));
}

function spread(streamId: number, [flags, payload]: readonly [number, string]): [number, number, string] {
  return [flags, streamId, payload];
}

function dataFrame(random: Random, streamId: number, length: number, end: boolean): string {
  return frame(FrameType.Data, ...spread(streamId, padded(random, end ? Flag.EndStream : 0, 'abcdefghijklmnop'.slice(0, length))));
}

/** A frame that has nothing to do with a request. */
function otherFrame(random: Random, streamId: number): string {
  switch (random.below(9)) {
    case 0:
      // An answer to a PING that was not sent is ignored here; Node takes it for an error, which RFC 9113 does not.
      return pingFrame('12345678', false);
    case 1: {
      const setting = random.pick([1, 2, 3, 4, 5, 6, 9]);
      const value = random.pick([0, 1, 2, 100, 4096, 16_384, 65_535, 0x7fff_ffff, 0x8000_0000]);
      // For the same reason as below.
      return settingsFrame(setting, setting === Setting.InitialWindowSize && value === 0x7fff_ffff ? 1_000_000 : value);
    }
    case 2:
      // Beyond the largest window only for the connection: of a stream it depends on whether that has been answered meanwhile.
      return random.oneIn(2) ? windowUpdateFrame(0, random.pick([0, 1, 1000, 0x7fff_ffff])) : windowUpdateFrame(streamId, random.pick([0, 1, 1000]));
    case 3:
      return frame(FrameType.Priority, 0, streamId, random.oneIn(6) ? '\0\0\0' : `\0\0\0${String.fromCharCode(random.below(4))}\x10`);
    case 4:
      return rstStreamFrame(streamId, ErrorCode.Cancel);
    case 5:
      return frame(10 + random.below(240), random.below(256), random.below(10), 'unknown');
    case 6: {
      const type = random.below(10);
      const flags = random.below(256);
      return frame(type, type === FrameType.Ping ? flags & ~Flag.Ack : flags, random.below(8), 'abcdefghijkl'.slice(0, random.below(13)));
    }
    case 7:
      return dataFrame(random, streamId, random.below(4), random.oneIn(2));
    default:
      return settingsFrame();
  }
}

/** One client's connection behind preface and SETTINGS: its frames, and the streams that it has reset by itself. */
export function requestFrames(random: Random): string {
  let text = '';
  let streamId = 1;
  for (let count = 1 + random.below(5); count > 0; count--) {
    const hasBody = random.oneIn(2);
    const pairs = requestPairs(random, hasBody);
    const length = random.below(10);
    if (hasBody && random.oneIn(3)) pairs.push(['content-length', String(random.oneIn(10) ? length + 1 : length)]);
    text += headFrames(random, streamId, pairs, !hasBody);
    if (random.oneIn(6)) text += otherFrame(random, streamId);
    if (hasBody) {
      const first = random.below(length + 1);
      const hasTrailers = random.oneIn(4);
      if (first > 0 || random.oneIn(4)) text += dataFrame(random, streamId, first, false);
      if (random.oneIn(6)) text += otherFrame(random, streamId);
      if (hasTrailers) {
        if (length > first) text += dataFrame(random, streamId, length - first, false);
        text += headFrames(random, streamId, [random.oneIn(8) ? random.pick(BAD_FIELDS) : random.pick(FIELDS)], !random.oneIn(10));
      } else if (!random.oneIn(20)) {
        text += dataFrame(random, streamId, length - first, true);
      }
    }
    if (random.oneIn(5)) text += otherFrame(random, streamId);
    streamId += random.oneIn(15) ? random.below(4) : 2;
  }
  return random.oneIn(15) ? damaged(random, text) : text;
}

/** Where a case's bytes are cut into reads. */
export function cutsOf(random: Random, length: number): number[] {
  const cuts = random.oneIn(4) ? Array.from({ length }, (_, index) => index + 1) : Array.from({ length: random.below(12) }, () => random.below(length + 1));
  return cuts.sort((a, b) => a - b);
}
