import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from '../../../scripts/fast-check.ts';
import { BLOCK, CacheMemory } from './cache-memory.ts';
import { Claim } from './claims.ts';
import { bodyOf, META, type WriterTask } from './writer.fixture.ts';

const PAGE = 'http://a.test/';

function put(memory: CacheMemory, key: string, body: string, url = key): boolean {
  return memory.put(url, key, META, 'ETag: "a"\r\n', [Buffer.from(body)]);
}

function read(memory: CacheMemory, key: string, url = key): string | undefined {
  const entry = memory.find(url, key);
  return entry && memory.body(entry)?.toString();
}

test('what is allocated is never more than asked for, and nothing is stored in nothing', () => {
  for (const bytes of [0, 1, 20_000, 30_001, 65_536, 1_000_003, 128 * 1024 * 1024]) {
    const buffer = CacheMemory.allocate(bytes);
    if (bytes > 65_000) assert.ok(buffer.byteLength <= bytes && buffer.byteLength > bytes * 0.9 - 4096, `${bytes}: ${buffer.byteLength}`);
    const memory = new CacheMemory(buffer, 0);
    if (memory.largestEntry < 100) assert.equal(put(memory, PAGE, 'body'), false);
    else assert.equal(put(memory, PAGE, 'body') && read(memory, PAGE), 'body');
  }
});

test('whatever comes: what is read is what was written last, all of it, and the count of bytes is exact and within bounds', () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ type: fc.constant('put' as const), key: fc.integer({ min: 0, max: 60 }), size: fc.integer({ min: 0, max: 9000 }) }) },
    { weight: 4, arbitrary: fc.record({ type: fc.constant('find' as const), key: fc.integer({ min: 0, max: 60 }), size: fc.constant(0) }) },
    {
      weight: 1,
      arbitrary: fc.record({ type: fc.constantFrom('remove' as const, 'invalidate' as const), key: fc.integer({ min: 0, max: 60 }), size: fc.constant(0) }),
    },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
      const buffer = CacheMemory.allocate(100_000);
      const memories = [new CacheMemory(buffer, 0), new CacheMemory(buffer, 1)] as const;
      const written = new Map<string, string>();
      for (const [index, { type, key: number, size }] of steps.entries()) {
        const memory = memories[index % 2] as CacheMemory;
        // Ten URLs with variants each.
        const url = `http://a.test/${number % 10}`;
        const key = `${url}\n${number}`;
        if (type === 'put') {
          const body = `${index} `.repeat(Math.ceil(size / 4));
          if (put(memory, key, body, url)) written.set(key, body);
          assert.equal(body.length + key.length + 11 <= memory.largestEntry, written.get(key) === body, 'stored if it fits');
        } else if (type === 'remove') {
          memory.remove(url, key);
          written.delete(key);
        } else if (type === 'invalidate') {
          memory.invalidate(url);
          for (const other of written.keys()) if (other.startsWith(`${url}\n`)) written.delete(other);
        } else {
          const body = read(memory, key, url);
          if (body !== undefined) assert.equal(body, written.get(key));
        }
      }
      const [memory] = memories;
      let blocks = 0;
      let entries = 0;
      for (const [key, body] of written) {
        const found = read(memory, key, key.split('\n')[0]);
        if (found === undefined) continue;
        assert.equal(found, body);
        entries++;
        blocks += Math.ceil((80 + key.length + 11 + body.length) / BLOCK);
      }
      assert.deepEqual([memory.entries, memory.bytes], [entries, blocks * BLOCK]);
      assert.ok(memory.bytes <= 100_000);
    }),
    { numRuns: 60 },
  );
});

test('under pressure what is read stays, and what nobody asked for again goes first', () => {
  const memory = new CacheMemory(CacheMemory.allocate(200_000), 0);
  for (let hot = 0; hot < 20; hot++) put(memory, `http://a.test/hot/${hot}`, 'hot');
  for (let cold = 0; cold < 2000; cold++) {
    put(memory, `http://a.test/cold/${cold}`, 'cold');
    if (cold % 50 === 0) for (let hot = 0; hot < 20; hot++) assert.equal(read(memory, `http://a.test/hot/${hot}`), 'hot', `after ${cold}`);
  }
  assert.ok(memory.evicted > 1500);
});

test('a URL has no more than 128 variants, and they do not take the room of others', () => {
  const memory = new CacheMemory(CacheMemory.allocate(4 * 1024 * 1024), 0);
  put(memory, 'http://a.test/other', 'other');
  for (let variant = 0; variant < 1000; variant++) put(memory, `${PAGE}\nx:${variant}`, 'body', PAGE);
  assert.ok(memory.entries <= 129);
  assert.equal(read(memory, `${PAGE}\nx:999`, PAGE), 'body');
  assert.equal(read(memory, 'http://a.test/other'), 'other');
});

test('what is invalidated while it is being stored is not there afterwards', () => {
  const buffer = CacheMemory.allocate(100_000);
  const memory = new CacheMemory(buffer, 0);
  const other = new CacheMemory(buffer, 1);
  for (const forget of [() => other.invalidate(PAGE), () => other.purge(() => true)]) {
    const epoch = memory.epoch(PAGE);
    let rounds = 0;
    // The second time round is the copy.
    const body = {
      *[Symbol.iterator]() {
        if (++rounds === 2) forget();
        yield Buffer.from('body');
      },
    } as unknown as Buffer[];
    memory.put(PAGE, PAGE, META, '', body, epoch);
    assert.equal(rounds, 2);
    assert.equal(read(memory, PAGE), undefined);
    assert.deepEqual([memory.entries, memory.bytes], [0, 0]);
  }
});

function start(task: WriterTask): Worker {
  return new Worker(new URL('./writer.fixture.ts', import.meta.url), { workerData: task });
}

test('with several writers and readers at once no entry is torn', async () => {
  const buffer = CacheMemory.allocate(60_000);
  const gate = new SharedArrayBuffer(4);
  const workers = [0, 1, 2].map((worker) => start({ buffer, worker, gate, rounds: 6000 }));
  const results = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0] as { torn: string[]; found: number }));
  assert.deepEqual(
    results.flatMap(({ torn }) => torn),
    [],
  );
  assert.ok(results.every(({ found }) => found > 0));
  const memory = new CacheMemory(buffer, 0);
  assert.ok(memory.entries > 0 && memory.bytes <= 60_000);
});

test('a worker that dies with the lock, or a claim: the others go on', async () => {
  const buffer = CacheMemory.allocate(100_000);
  const memory = new CacheMemory(buffer, 0);
  put(memory, PAGE, 'before');
  const worker = start({ buffer, worker: 1, gate: new SharedArrayBuffer(4), rounds: 0, dies: true });
  await once(worker, 'message');
  await worker.terminate();
  assert.equal(memory.claim(PAGE, PAGE), 1);
  // The entry that it was at is not to be seen.
  assert.equal(read(memory, 'http://a.test/dying'), undefined);
  // Nor does the thread that frees the lock wait for that in vain.
  new CacheMemory(buffer, 2).purge((url) => url === PAGE);
  CacheMemory.releaseWorker(buffer, 1);
  assert.equal(memory.claim(PAGE, PAGE), Claim.Ours);
  assert.deepEqual([memory.entries, memory.bytes, read(memory, PAGE)], [0, 0, undefined]);
  for (let number = 0; number < 300; number++) assert.equal(put(memory, `http://a.test/${number}`, bodyOf(number, 2000)), true);
  assert.equal(read(memory, 'http://a.test/299'), bodyOf(299, 2000));
  // What lives has lost nothing.
  const entries = memory.entries;
  CacheMemory.releaseWorker(buffer, 1);
  assert.equal(memory.entries, entries);
});
