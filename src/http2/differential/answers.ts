/** Frames of a server that are right, nearly right, and wrong in the ways that matter. Characters are bytes. */
import type { Random } from '../../http1/differential/random.ts';
import {
  ErrorCode,
  Flag,
  FrameType,
  frameHeader,
  goAwayFrame,
  pingFrame,
  rstStreamFrame,
  SETTINGS_ACK,
  Setting,
  settingsFrame,
  windowUpdateFrame,
} from '../frames.ts';
import { huffmanEncode } from '../hpack/huffman.ts';
import { encodeInteger, encodeString } from '../hpack/primitives.ts';

export interface Answers {
  /** Of the requests on streams 1, 3 and so on; CONNECT for one that asks for WebSocket, behind all others. */
  readonly methods: readonly string[];
  /** What the server sends, by what was meant to be frames. */
  readonly pieces: readonly string[];
}

const STATUSES = ['200', '200', '200', '200', '404', '204', '304', '500', '103', '100', '101', '199', '599', '600', '20', '2000', '', '+20', '0200', 'abc'];
const NAMES = ['content-type', 'x-a', 'x-b', 'set-cookie', 'date', 'vary', 'cookie', 'x_y', 'a', 'x-long-name-that-is-new'];
const ODD_NAMES = [
  'X-A',
  'connection',
  'transfer-encoding',
  'te',
  'upgrade',
  'keep-alive',
  'proxy-connection',
  'host',
  ':path',
  ':x',
  '',
  'a b',
  'a:b',
  'a\0',
  'trailer',
  '\xe4',
];
const VALUES = ['', '1', 'text/html', 'a, b', '\xe4\xf6', 'x'.repeat(70), 'trailers', 'a\tb', 'chunked', '*/*'];
const ODD_VALUES = [' a', 'a ', '\ta', 'a\0b', 'a\rb', 'a\nb', 'a\x7f', '\x01'];
const LENGTHS = ['0', '1', '5', '5', '5', '10', '', '+5', '-1', '5, 5', '05', '0x5', '99999999999999999999'];
const STATIC_INDICES = [8, 9, 10, 11, 12, 13, 14, 16, 2, 4, 6, 19, 32, 61, 62, 63, 70, 0];

type Pair = readonly [name: string, value: string];

function text(random: Random, value: string): string {
  if (!random.oneIn(3)) return encodeString(value);
  const coded = huffmanEncode(value);
  return encodeInteger(0x80, 0x7f, coded.length) + coded;
}

function field(random: Random, [name, value]: Pair): string {
  if (random.oneIn(60)) return encodeInteger(0x80, 0x7f, random.pick(STATIC_INDICES));
  const first = random.pick([0x40, 0x00, 0x10]);
  if (random.oneIn(60)) return encodeInteger(first, first === 0x40 ? 0x3f : 0x0f, random.pick(STATIC_INDICES)) + text(random, value);
  return String.fromCharCode(first) + text(random, name) + text(random, value);
}

function someFields(random: Random): Pair[] {
  return Array.from(
    { length: random.below(5) },
    (): Pair => [random.oneIn(25) ? random.pick(ODD_NAMES) : random.pick(NAMES), random.oneIn(25) ? random.pick(ODD_VALUES) : random.pick(VALUES)],
  );
}

/** A header block as HEADERS, and CONTINUATION now and then. */
function headers(random: Random, stream: number, pairs: readonly Pair[], end: boolean): string[] {
  let block = pairs.map((pair) => field(random, pair)).join('');
  if (random.oneIn(30)) block = random.pick(['\x20', '\x3f\xe1\x1f', '\x3f\xe2\x1f', '\x20\x3f\x01']) + block;
  if (random.oneIn(60)) block += '\x20';
  const flags = end ? Flag.EndStream : 0;
  const cut = random.oneIn(6) ? random.below(block.length + 1) : block.length;
  const ends = cut === block.length && !random.oneIn(40);
  let first = block.slice(0, cut);
  let shape = 0;
  if (random.oneIn(10)) {
    const padding = random.below(20);
    shape |= Flag.Padded;
    first = String.fromCharCode(random.oneIn(10) ? 200 : padding) + first + '\0'.repeat(padding);
  }
  const frames = [frameHeader(first.length, FrameType.Headers, flags | shape | (ends ? Flag.EndHeaders : 0), stream) + first];
  for (let at = cut; !ends && frames.length < 6; ) {
    const next = random.oneIn(2) ? block.length : at + random.below(block.length - at + 1);
    const last = next === block.length;
    const piece = block.slice(at, next);
    if (random.oneIn(40)) frames.push(pingFrame('12345678', false));
    frames.push(frameHeader(piece.length, FrameType.Continuation, last ? Flag.EndHeaders : 0, random.oneIn(40) ? stream + 2 : stream) + piece);
    at = next;
    if (last) break;
  }
  return frames;
}

function data(random: Random, stream: number, body: string, end: boolean): string {
  const flags = end ? Flag.EndStream : 0;
  if (!random.oneIn(8)) return frameHeader(body.length, FrameType.Data, flags, stream) + body;
  const padding = random.below(30);
  const padded = String.fromCharCode(random.oneIn(12) ? padding + 50 : padding) + body + '\0'.repeat(padding);
  return frameHeader(padded.length, FrameType.Data, flags | Flag.Padded, stream) + padded;
}

/** One answer, frame by frame; mostly a good one. */
function answer(random: Random, stream: number, method: string): string[] {
  const frames: string[] = [];
  while (random.oneIn(8)) frames.push(...headers(random, stream, [[':status', random.pick(['100', '103', '102'])], ...someFields(random)], random.oneIn(30)));
  const status = random.oneIn(6) ? random.pick(STATUSES) : '200';
  const length = random.below(12);
  const hasBody = method !== 'HEAD' && !['204', '304'].includes(status);
  const pairs: Pair[] = [[':status', status], ...someFields(random)];
  if (random.oneIn(3)) pairs.push(['content-length', random.oneIn(8) ? random.pick(LENGTHS) : String(length)]);
  if (random.oneIn(40)) pairs.push([':status', '200']);
  if (random.oneIn(40)) pairs.shift();
  if (random.oneIn(40)) pairs.push(random.pick(pairs.length === 0 ? [[':status', '200']] : pairs));
  const bare = !hasBody ? !random.oneIn(8) : random.oneIn(5);
  frames.push(...headers(random, stream, pairs, bare));
  if (bare && !random.oneIn(20)) return frames;
  const body = 'abcdefghijkl'.slice(0, hasBody || random.oneIn(4) ? (random.oneIn(15) ? random.below(12) : length) : 0);
  const cut = random.below(body.length + 1);
  // In a tunnel there are none.
  const hasTrailers = random.oneIn(method === 'CONNECT' ? 30 : 5);
  if (cut > 0) frames.push(data(random, stream, body.slice(0, cut), false));
  if (random.oneIn(10)) frames.push(data(random, stream, '', false));
  frames.push(data(random, stream, body.slice(cut), !hasTrailers && !random.oneIn(15)));
  if (hasTrailers)
    frames.push(...headers(random, stream, [...someFields(random), ...(random.oneIn(10) ? [[':status', '200'] as const] : [])], !random.oneIn(8)));
  if (random.oneIn(20)) frames.push(data(random, stream, 'more', random.oneIn(2)));
  return frames;
}

function control(random: Random, stream: number): string {
  return random.pick([
    // Node ends a connection on an acknowledgement that it has not asked for.
    pingFrame('abcdefgh', false),
    SETTINGS_ACK,
    settingsFrame(Setting.InitialWindowSize, random.pick([0, 65_535, 1_000_000, 0x7fff_ffff, 0x8000_0000])),
    settingsFrame(Setting.MaxFrameSize, random.pick([16_384, 16_383, 1_000_000])),
    settingsFrame(Setting.HeaderTableSize, random.pick([0, 100, 4096, 100_000])),
    settingsFrame(Setting.EnablePush, random.below(3)),
    settingsFrame(Setting.EnableConnectProtocol, random.below(3)),
    settingsFrame(0x99, 5),
    windowUpdateFrame(0, random.pick([0, 1, 1000, 0x7fff_ffff])),
    windowUpdateFrame(stream, random.pick([0, 1, 1000, 0x7fff_ffff])),
    rstStreamFrame(stream, random.below(15) as never),
    // With any other code Node gives up the streams that may still end well.
    goAwayFrame(random.pick([0, 1, 3, 5, 0x7fff_ffff]), ErrorCode.NoError),
    `${frameHeader(5, FrameType.Priority, 0, stream)}\0\0\0\x03\x10`,
    `${frameHeader(5, FrameType.PushPromise, Flag.EndHeaders, stream)}\0\0\0\x02\x88`,
    `${frameHeader(3, 0x42, random.below(256), stream)}abc`,
    `${frameHeader(7, FrameType.Ping, 0, 0)}1234567`,
    `${frameHeader(3, FrameType.WindowUpdate, 0, 0)}abc`,
  ]);
}

function damaged(random: Random, frame: string): string {
  const at = random.below(frame.length);
  switch (random.below(4)) {
    case 0:
      return frame.slice(0, at) + String.fromCharCode(frame.charCodeAt(at) ^ (1 << random.below(8))) + frame.slice(at + 1);
    case 1:
      return frame.slice(0, at) + frame.slice(at + 1);
    case 2:
      return frame.slice(0, at) + String.fromCharCode(random.below(256)) + frame.slice(at);
    default:
      return frame.slice(0, at);
  }
}

/** What a server sends on one connection. */
export function answers(random: Random): Answers {
  const methods: string[] = Array.from({ length: 1 + random.below(3) }, () => (random.oneIn(6) ? 'HEAD' : 'GET'));
  // Where the backend is not found to take it, it is not sent: it must not have another's stream.
  if (random.oneIn(4)) methods[methods.length - 1] = 'CONNECT';
  const queues = methods.map((method, index) => answer(random, index * 2 + 1, method));
  const pieces = [
    random.oneIn(60)
      ? control(random, 1)
      : settingsFrame(...(random.oneIn(4) ? [Setting.MaxConcurrentStreams, 100] : []), ...(random.oneIn(20) ? [] : [Setting.EnableConnectProtocol, 1])),
  ];
  while (queues.some((queue) => queue.length > 0)) {
    const index = random.below(queues.length);
    const queue = queues[index] as string[];
    if (random.oneIn(12)) pieces.push(control(random, index * 2 + 1));
    // A header block is not to be broken up by others, most of the time.
    do {
      const frame = queue.shift();
      if (frame === undefined) break;
      pieces.push(random.oneIn(70) ? damaged(random, frame) : frame);
    } while ((queue[0]?.charCodeAt(3) === FrameType.Continuation && !random.oneIn(30)) || random.oneIn(3));
  }
  return { methods, pieces };
}
