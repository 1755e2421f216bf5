/** Clients that ask for an endless answer and do not read it: what each of them costs the gateway. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { before, type TestContext, test } from 'node:test';
import { get } from './client.ts';
import { CountedBackend, type Queues, queueOf, queues } from './counted-backend.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, wholeFile } from './lifetime.ts';
import { catchAll, service } from './manifests.ts';
import { handshake } from './tunnel-backend.ts';

const READERS = 40;
const STALLED = 10;
/** What one of them must stay under (issue 3). */
const ALLOWED = 64 * 1024;
/** Memory that changes by less from one round of requests to the next stays as it is. Bytes. */
const STEADY = 256 * 1024;
const STEADY_ROUNDS = 4;
const MOST_ROUNDS = 30;

let backend: CountedBackend;

before(async () => {
  backend = await CountedBackend.start(wholeFile, 1e12);
});

interface Reader {
  readonly path: string;
  readonly socket: Socket;
  /** Bytes of the answer's head. */
  readonly head: number;
}

/** Reads the head and at least so many bytes, as fast as they come, and then no more. */
async function startReader(t: TestContext, port: number, path: string, bytes: number): Promise<Reader> {
  const socket = connect(port, '127.0.0.1');
  endWith(t, () => socket.destroy());
  socket.on('error', () => {});
  socket.write(path.startsWith('/tunnel/') ? handshake(path) : `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
  await once(socket, 'readable');
  const head = String(socket.read()).indexOf('\r\n\r\n') + 4;
  assert.ok(head > 4);
  while (socket.bytesRead < bytes) if (socket.read() === null) await once(socket, 'readable');
  return { path, socket, head };
}

/**
 * Bytes of the body that the gateway itself holds of an answer, in whatever form: those that it has read from the backend and that
 * have not got to the client, nor into the queues of the system before it: written = unconfirmed + (client: unread + read).
 */
function held({ path, socket, head }: Reader, gateway: number, all: ReadonlyMap<string, Queues>): number {
  const clientPort = socket.localPort as number;
  const written = queueOf(all, gateway, clientPort).unconfirmed + queueOf(all, clientPort, gateway).unread + socket.bytesRead - head;
  return backend.readByGateway(path, all) - written;
}

/** Waits until nothing moves any more: every queue is full or closed, and stays so over several looks. */
async function untilStill(gateway: number, readers: readonly Reader[]): Promise<number[]> {
  let last = '';
  for (let same = 0; ; ) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const all = queues();
    const found = readers.map((reader) => held(reader, gateway, all));
    const now = JSON.stringify([found, readers.map(({ path }) => backend.sources.get(path)?.taken)]);
    same = now === last ? same + 1 : 0;
    if (same === 10) return found;
    last = now;
  }
}

/** Memory of the process; the queues of the system are not in it. */
function residentBytes(pid: number | undefined): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024;
}

/**
 * Requests until code is loaded and compiled and the heap has grown to what requests need anyway: until memory has stayed as
 * it is through several rounds.
 *
 * @returns resident bytes
 */
async function warmedUp(gateway: GatewayUnderTest): Promise<number> {
  let bytes = 0;
  for (let [round, steady] = [0, 0]; steady < STEADY_ROUNDS && round < MOST_ROUNDS; round++) {
    for (let count = 0; count < 10; count++) await Promise.all(Array.from({ length: READERS }, () => get(gateway.http, '/small')));
    const now = residentBytes(gateway.process.pid);
    steady = Math.abs(now - bytes) < STEADY ? steady + 1 : 0;
    bytes = now;
  }
  return bytes;
}

for (const wire of ['stream', 'handle'] as const) {
  test(`a slow reader costs under 64 KiB: ${wire}`, async (t) => {
    backend.sources.clear();
    const gateway = await GatewayUnderTest.start(t, { 'all.yaml': service('web', [backend.port]) + catchAll('web') }, ['--workers', '1', '--wire', wire]);
    const start = (prefix: string, count: number, bytes: number): Promise<Reader[]> =>
      Promise.all(Array.from({ length: count }, (_, index) => startReader(t, gateway.http, `/${prefix}/${index}`, bytes)));
    const check = async (readers: readonly Reader[]): Promise<void> => {
      const found = await untilStill(gateway.http, readers);
      for (const [index, bytes] of found.entries()) assert.ok(bytes >= 0 && bytes < ALLOWED, `${readers[index]?.path}: ${bytes} bytes`);
    };
    const before = await warmedUp(gateway);
    const readers = await start('slow', READERS, 1);
    await check(readers);
    // All that a reader costs: its bytes, the objects of two connections and of an exchange, what the heap grows by for them.
    const grown = residentBytes(gateway.process.pid) - before;
    assert.ok(grown < READERS * ALLOWED, `${READERS} readers: ${grown} bytes`);
    for (const { socket } of readers) socket.destroy();
    await check(await start('stalled', STALLED, 8 * 1024 * 1024));
    await check(await start('tunnel', STALLED, 8 * 1024 * 1024));
  });
}
