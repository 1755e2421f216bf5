/** Clients that read long answers slowly, or not at all. */
import { get } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { CountedBackend, type Queues, queueOf, queues } from '../gateway/counted-backend.ts';
import { endWith, type Lifetime } from '../gateway/lifetime.ts';
import { apiRoute, service } from '../gateway/manifests.ts';
import { type DataPlaneFault, serve, Watched } from './fault.ts';
import { Findings, residentMemory } from './findings.ts';
import { END_HEADERS, END_STREAM, frame, increment, PREFACE, Type } from './frames.ts';

/** What a stream must stay under. */
const ALLOWED = 64 * 1024;
const STREAMS = 20;
const MIB = 1024 * 1024;
const MAX_WINDOW = 0x7f_ff_ff_ff;
/** A slow reader rests so many milliseconds after so many bytes. */
const REST = 10;
const BURST = 4 * MIB;

/** Clients that do not go on, and what the gateway wrote to them. */
interface Stalled {
  readonly name: string;
  /** One set of paths for each count of bytes that can be told apart. */
  readonly groups: readonly (readonly string[])[];
  /** Bytes of bodies that were written for the streams of a group. */
  written(group: readonly string[], all: ReadonlyMap<string, Queues>): number;
}

/** Bytes that have left the gateway on a connection: read by the client, or in the queues of the system. */
function sentOn(socket: Socket, gateway: number, all: ReadonlyMap<string, Queues>): number {
  const port = socket.localPort as number;
  return socket.bytesRead + queueOf(all, port, gateway).unread + queueOf(all, gateway, port).unconfirmed;
}

/** Connections of HTTP/1.1, each of which reads so many bytes and no more. */
async function stallHttp1(lifetime: Lifetime, gateway: number, bytes: number): Promise<Stalled> {
  const readers = await Promise.all(
    Array.from({ length: STREAMS }, async (_, index) => {
      const path = `/big/plain/${index}`;
      const socket = connect(gateway, '127.0.0.1').on('error', () => {});
      endWith(lifetime, () => socket.destroy());
      socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
      let head = 0;
      while (socket.bytesRead < bytes) {
        const chunk = socket.read() as Buffer | null;
        if (chunk === null) await new Promise((resolve) => socket.once('readable', resolve));
        else if (head === 0) head = chunk.indexOf('\r\n\r\n') + 4;
      }
      return { path, socket, head };
    }),
  );
  return {
    name: 'HTTP/1.1',
    groups: readers.map(({ path }) => [path]),
    written([path], all) {
      const reader = readers.find((one) => one.path === path) as (typeof readers)[0];
      return sentOn(reader.socket, gateway, all) - reader.head;
    },
  };
}

/** Request for a path (RFC 7541 appendix A: GET, http, `:authority`), as a header block of literals. */
function blockFor(path: string): Buffer {
  return Buffer.concat([Buffer.from([0x82, 0x86, 0x41, 1]), Buffer.from('a'), Buffer.from([0x04, path.length]), Buffer.from(path)]);
}

/** One connection of HTTP/2 with all streams at once. @param window of each stream; none of them grows @param bytes after which it reads no more */
async function stallHttp2(lifetime: Lifetime, gateway: number, name: string, window: number, bytes: number): Promise<Stalled> {
  const socket = connect(gateway, '127.0.0.1').on('error', () => {});
  endWith(lifetime, () => socket.destroy());
  const paths = Array.from({ length: STREAMS }, (_, index) => `/big/${name}/${index}`);
  // SETTINGS_INITIAL_WINDOW_SIZE is 4 (RFC 9113 section 6.5.2).
  const settings = Buffer.concat([Buffer.from([0, 4]), increment(window)]);
  const opening = [PREFACE, frame(Type.Settings, 0, 0, settings), frame(Type.WindowUpdate, 0, 0, increment(MAX_WINDOW - 65_535))];
  const requests = paths.map((path, index) => frame(Type.Headers, END_HEADERS | END_STREAM, 2 * index + 1, blockFor(path)));
  socket.write(Buffer.concat([...opening, ...requests]));
  /** Bytes of DATA by stream, and of all else. */
  const received = new Map<string, number>();
  let other = 0;
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const length = rest.readUIntBE(0, 3);
      const isData = rest[3] === Type.Data;
      if (isData) {
        const path = paths[(rest.readUInt32BE(5) - 1) / 2] as string;
        received.set(path, (received.get(path) ?? 0) + length);
      }
      other += isData ? 9 : 9 + length;
      if (rest[3] === Type.Settings && ((rest[4] as number) & 1) === 0) socket.write(frame(Type.Settings, 1, 0));
      rest = rest.subarray(9 + length);
    }
    if (socket.bytesRead >= bytes) socket.pause();
  });
  const byWindow = bytes === Number.POSITIVE_INFINITY;
  const expected = byWindow ? STREAMS * window : bytes;
  while (socket.bytesRead < expected) await new Promise((resolve) => socket.once('data', resolve));
  return {
    name: `HTTP/2, ${byWindow ? 'windows used up' : 'connection not read'}`,
    // On a connection that is not read nobody can say whose the bytes in the queues are: all of them together then.
    groups: byWindow ? paths.map((path) => [path]) : [paths],
    written: (group, all) => (byWindow ? group.reduce((sum, path) => sum + (received.get(path) ?? 0), 0) : sentOn(socket, gateway, all) - other),
  };
}

/** Waits until nothing moves any more. @returns bytes that the gateway holds for a stream of each group */
async function untilStill(stalled: Stalled, backend: CountedBackend): Promise<readonly number[]> {
  while (!stalled.groups.flat().every((path) => backend.sources.has(path))) await sleep(20);
  let last = '';
  for (let same = 0; ; ) {
    await sleep(100);
    const all = queues();
    const held = stalled.groups.map((group) => {
      const read = group.reduce((sum, path) => sum + backend.readByGateway(path, all), 0);
      return (read - stalled.written(group, all)) / group.length;
    });
    const now = JSON.stringify([held, stalled.groups.flat().map((path) => backend.sources.get(path)?.taken)]);
    same = now === last ? same + 1 : 0;
    if (same === 5) return held;
    last = now;
  }
}

/** Reads a body to its end, with a rest after each burst. @returns its bytes */
async function readSlowly(body: Readable): Promise<number> {
  let [bytes, burst] = [0, 0];
  for await (const chunk of body) {
    bytes += (chunk as Buffer).length;
    burst += (chunk as Buffer).length;
    if (burst < BURST) continue;
    burst = 0;
    await sleep(REST);
  }
  return bytes;
}

async function wholeByHttp1(gateway: number): Promise<number> {
  const response = await new Promise<Readable>((resolve, reject) => {
    get({ host: '127.0.0.1', port: gateway, path: '/big/whole/1', agent: false }, resolve).on('error', reject);
  });
  return readSlowly(response);
}

async function wholeByHttp2(lifetime: Lifetime, gateway: number): Promise<number> {
  const session = connectHttp2(`http://127.0.0.1:${gateway}`).on('error', () => {});
  endWith(lifetime, () => session.destroy());
  const bytes = await readSlowly(session.request({ ':path': '/big/whole/2' }));
  session.close();
  return bytes;
}

export const slowReaders: DataPlaneFault = {
  number: 7,
  name: 'Slow readers of long answers',
  passes: 'backpressure: under 64 KiB of an answer held for each stream, 0 errors of others; who reads slowly gets all of it',
  async run(place) {
    const { lifetime, measure } = place;
    const length = measure.full ? 1_000_000_000 : 64 * MIB;
    const findings = new Findings(
      `${STREAMS} readers by HTTP/1.1 and 2 times ${STREAMS} streams of HTTP/2 stopped in answers of ${(length / 1e9).toFixed(2)} GB; one by each protocol read on to the end, with a rest after each 4 MiB`,
    );
    const big = await CountedBackend.start(lifetime, length);
    const more = service('big', [big.port]) + apiRoute('big', '  rules: [{ matches: [{ path: { value: /big } }], backendRefs: [{ name: big, port: 80 }] }]');
    const { gateway } = await serve(place, { more });
    const watched = new Watched(place, gateway);
    await watched.quiet();
    const before = await residentMemory(gateway);
    const sockets: (() => void)[] = [];
    const readers: Lifetime = { after: (stop) => sockets.push(() => void stop()) };
    const close = (): void => {
      for (const one of sockets.splice(0)) one();
    };
    // Before the gateway ends, which would wait for them.
    endWith(lifetime, close);
    for (const start of [
      () => stallHttp1(readers, gateway.http, MIB),
      () => stallHttp2(readers, gateway.http, 'windows', MIB, Number.POSITIVE_INFINITY),
      () => stallHttp2(readers, gateway.http, 'unread', MAX_WINDOW, 4 * MIB),
    ]) {
      const stalled = await start();
      place.tell(stalled.name);
      const held = await untilStill(stalled, big);
      const most = Math.max(...held);
      // An answer that the system has taken as a whole would hold nobody up.
      const isHeldUp = stalled.groups.flat().every((path) => (big.sources.get(path)?.taken ?? length) < length);
      findings.check(isHeldUp && most < ALLOWED && Math.min(...held) >= 0, `${stalled.name}: ${(most / 1024).toFixed(1)} KiB held for a stream at most`);
    }
    findings.note(`memory ${before.toFixed(0)} MiB before, ${(await residentMemory(gateway)).toFixed(0)} MiB with all of them`);
    for (const read of [() => wholeByHttp1(gateway.http), () => wholeByHttp2(lifetime, gateway.http)]) {
      const since = performance.now();
      const bytes = await read();
      findings.check(bytes === length, `${bytes} bytes of ${length} read in ${((performance.now() - since) / 1000).toFixed(1)} s`);
      place.tell('one was read to its end');
    }
    close();
    await watched.judge(findings);
    return findings;
  },
};
