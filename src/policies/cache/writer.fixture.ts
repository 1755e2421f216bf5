/** For tests: a worker thread that writes to the cache's memory and reads from it as fast as it can, at the same time as others. */
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { CacheMemory } from './cache-memory.ts';
import type { StoredMeta } from './entry-blocks.ts';

export interface WriterTask {
  readonly buffer: SharedArrayBuffer;
  readonly worker: number;
  /** How many are there. */
  readonly gate: SharedArrayBuffer;
  readonly rounds: number;
  /** Stops for good in the middle of an entry, with the lock and a claim. */
  readonly dies?: true;
}

export const META: StoredMeta = {
  ...{ status: 200, kinds: 0, storedAt: 1, receivedAt: 2, initialAge: 3, lifetime: 4, staleWhileRevalidate: 5, staleIfError: 6 },
  ...{ alwaysValidate: false, neverStale: false, isIndex: false },
};

/** A body all of whose characters are the same: a torn one has others. */
export function bodyOf(number: number, length: number): string {
  return String.fromCharCode(65 + (number % 26)).repeat(length);
}

const THREADS = 3;

function run({ buffer, worker, gate, rounds }: WriterTask): { torn: string[]; found: number } {
  const memory = new CacheMemory(buffer, worker);
  const words = new Int32Array(gate);
  Atomics.add(words, 0, 1);
  while (Atomics.load(words, 0) < THREADS) Atomics.wait(words, 0, Atomics.load(words, 0), 1);
  const torn: string[] = [];
  let found = 0;
  for (let round = 0; round < rounds; round++) {
    const url = `http://a.test/${(round * 7 + worker) % 12}`;
    if (round % 3 === worker % 3) {
      const body = bodyOf(round + worker, 10 + ((round * 131) % 6000));
      memory.put(url, url, { ...META, status: body.charCodeAt(0), lifetime: body.length }, `X: ${body.slice(0, 900)}\r\n`, [Buffer.from(body)]);
      if (round % 97 === 0) memory.invalidate(url);
      continue;
    }
    const entry = memory.find(url, url);
    if (entry === undefined) continue;
    const body = memory.body(entry)?.toString();
    if (body === undefined) continue;
    found++;
    const expected = String.fromCharCode(entry.status).repeat(entry.lifetime);
    if (body !== expected || entry.head !== `X: ${expected.slice(0, 900)}\r\n`) torn.push(`${url}: ${body.slice(0, 20)}`);
  }
  return { torn, found };
}

function die({ buffer, worker, gate }: WriterTask): never {
  const memory = new CacheMemory(buffer, worker);
  memory.claim('http://a.test/', 'http://a.test/');
  let rounds = 0;
  const body = {
    *[Symbol.iterator](): Generator<Buffer> {
      yield Buffer.alloc(2000);
      if (++rounds < 2) return;
      parentPort?.postMessage('holding');
      for (;;) Atomics.wait(new Int32Array(gate), 0, 0);
    },
  } as unknown as Buffer[];
  memory.put('http://a.test/dying', 'http://a.test/dying', META, '', body);
  throw new Error('it has not stopped');
}

if (!isMainThread && workerData !== null) {
  const task = workerData as WriterTask;
  if (task.dies) die(task);
  parentPort?.postMessage(run(task));
}
