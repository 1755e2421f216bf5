import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Session } from 'node:inspector';
import { connect, createServer } from 'node:net';
import { after, before, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { freePort } from '../../scripts/free-port.ts';
import { makeSelfSigned } from '../proxy/tls/self-signed.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { TLS_PARAMETERS } from '../wire/secure-context.ts';
import { type PoolLog, WorkerPool } from './worker-pool.ts';

let pool: WorkerPool;
let port: number;

function snapshot(body: string): Snapshot {
  return {
    routes: [
      {
        id: 'ApiRoute/default/a/0',
        kind: 'ApiRoute',
        namespace: 'default',
        name: 'a',
        rule: '0',
        hosts: [{ type: 'Any' }],
        matches: [{ path: { type: 'PathPrefix', value: '/' }, headers: [], queryParams: [], cookies: [] }],
        rank: 0,
        isDefaultBackend: false,
        httpsRedirect: false,
        filters: { directResponse: { statusCode: 200, contentType: 'text/plain', body, headers: [] } },
        timeouts: { request: 1000, backendRequest: 1000, idle: 1000 },
        backends: [],
      },
    ],
    upstreams: new Map(),
    endpoints: new Map(),
    certificates: new Map(),
    serverNames: [],
  };
}

async function startPool(workers: number, http: number, log: PoolLog = () => {}, pulse?: number): Promise<WorkerPool> {
  const pool = new WorkerPool(
    {
      workers,
      http: { host: '127.0.0.1', port: http },
      https: { host: '127.0.0.1', port: await freePort() },
      wire: 'auto',
      trustedProxies: [],
      proxyProtocol: false,
      accessLog: 'off',
      h2c: true,
      tls: TLS_PARAMETERS,
      maxConnections: 20,
      maxConnectionsPerClient: 0,
      maxConcurrency: 'auto',
      cacheMemory: 0,
      zone: '',
      traceRatio: undefined,
      allowLoopbackFetch: true,
      selfSigned: makeSelfSigned(),
      ticketKeys: randomBytes(48),
      affinity: { own: randomBytes(32) },
    },
    { onListenFailed: (listener, address, code) => assert.fail(`${listener} ${address.port} ${code}`) },
    log,
    pulse,
  );
  pool.snapshot(snapshot('one'));
  await pool.untilServing();
  return pool;
}

/** Every worker thread of this process, in the order of their starts. */
const threads: Worker[] = [];
process.on('worker', (thread: Worker) => threads.push(thread));

/** Kills the newest worker of that index. */
async function kill(index: number): Promise<void> {
  const victim = threads.findLast((thread) => thread.threadName === `worker-${index}`);
  assert.ok(victim, `no worker ${index}`);
  const gone = once(victim, 'exit');
  void victim.terminate();
  await gone;
}

before(async () => {
  port = await freePort();
  pool = await startPool(2, port);
});
after(() => pool.stop());

async function ask(): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } })).text();
}

test('a worker that dies is replaced, with the newest snapshot, while the others serve', async () => {
  pool.snapshot(snapshot('two'));
  for (let round = 0; round < 2; round++) {
    const started = threads.length;
    await kill(round);
    assert.equal(pool.serving, false);
    assert.equal(pool.ready, true, 'the other one serves');
    assert.equal(await ask(), 'two');
    await pool.untilServing();
    assert.equal(threads.length, started + 1);
  }
  for (let index = 0; index < 10; index++) assert.equal(await ask(), 'two');
  assert.equal(pool.restarts, 2);
});

test('counters of dead workers stay in the sum', async () => {
  const total = async (): Promise<number> => {
    const { workers, buried } = await pool.scrape();
    return [...workers.flatMap((scrape) => scrape.families), ...buried]
      .filter((family) => family.name === 'tidegate_requests_total')
      .flatMap((family) => family.values)
      .reduce((sum, sample) => sum + sample.value, 0);
  };
  for (let index = 0; index < 10; index++) await ask();
  const before = await total();
  assert.ok(before >= 10);
  for (const index of [0, 1, 0]) {
    const during = total();
    await kill(index);
    assert.equal(await during, before, 'a scrape that is under way at the death');
    assert.equal(await total(), before, 'before there is a successor');
    await pool.untilServing();
    assert.equal(await total(), before);
  }
  const { buried } = await pool.scrape();
  assert.equal(new Set(buried.map((family) => family.name)).size, buried.length, 'added up, not kept one by one');
});

test('a worker that takes the place of a dead one, and can not listen yet, is replaced until one can', async () => {
  const taken = await freePort();
  let failed: () => void = () => {};
  const failure = new Promise<void>((resolve) => {
    failed = resolve;
  });
  const alone = await startPool(1, taken, (_level, message) => {
    if (message === 'worker can not listen') failed();
  });
  await kill(0);
  const rival = createServer().listen({ host: '127.0.0.1', port: taken, exclusive: true });
  await once(rival, 'listening');
  await failure;
  assert.equal(alone.ready, false, 'nobody serves');
  await new Promise((resolve) => rival.close(resolve));
  await alone.untilServing();
  await alone.stop();
});

test('a drain does not wait for a worker that died and has no successor yet', async () => {
  const dying = await startPool(1, await freePort());
  dying.drain();
  // One that dies soon after its start is replaced with a delay, in which the listeners are closed.
  await kill(0);
  await dying.closeListeners();
  assert.equal(dying.restarts, 0);
  await dying.stop();
});

/** Lets the newest worker thread run something that does not end, as a debugger would. @returns to be disconnected once it hangs */
async function hang(): Promise<Session> {
  const title = `[worker ${threads.at(-1)?.threadId}] `;
  const session = new Session();
  session.connect();
  const attached = new Promise<string>((resolve) => {
    session.on('NodeWorker.attachedToWorker', ({ params }) => params.workerInfo.title.startsWith(title) && resolve(params.sessionId));
  });
  session.post('NodeWorker.enable', { waitForDebuggerOnStart: false });
  const sessionId = await attached;
  const expression = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)';
  const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } });
  session.post('NodeWorker.sendMessageToWorker', { sessionId, message });
  return session;
}

test('a worker whose event loop hangs is told of, does not count as one that serves, and is replaced', async () => {
  const told = new Set<string>();
  const http = await freePort();
  const alone = await startPool(1, http, (_level, message) => told.add(message), 50);
  await alone.scrape();
  const session = await hang();
  const until = async (isSo: () => boolean): Promise<void> => {
    while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await until(() => !alone.ready);
  assert.ok(told.has('worker hangs: its event loop does not go round'));
  for (const { eventLoopDelay } of (await alone.scrape()).workers) assert.ok(eventLoopDelay >= 0.5, `${eventLoopDelay}`);
  await until(() => told.has('worker died'));
  session.disconnect();
  assert.ok(told.has('worker still hangs: it is replaced'));
  await alone.untilServing();
  const answer = await fetch(`http://127.0.0.1:${http}/`, { headers: { connection: 'close' } });
  assert.equal(await answer.text(), 'one');
  await alone.stop();
});

test('connections above the limit of a listener are closed at once, counted over all workers', async () => {
  const sockets = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const socket = connect(port, '127.0.0.1');
      await once(socket, 'connect');
      socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await once(socket, 'data');
      return socket;
    }),
  );
  const refused = connect(port, '127.0.0.1');
  await once(refused, 'close');
  for (const socket of sockets) {
    socket.end();
    await once(socket.resume(), 'close');
  }
  for (;;) {
    const answer = await ask().catch(() => undefined);
    if (answer !== undefined) break;
  }
  const { workers } = await pool.scrape();
  const families = workers.flatMap((scrape) => scrape.families);
  const refusedConnections = families.filter((family) => family.name === 'tidegate_connections_refused_total').flatMap((family) => family.values);
  assert.ok(refusedConnections.reduce((sum, sample) => sum + sample.value, 0) >= 1);
});

test('while memory is short, requests are refused and idle connections closed', async (t) => {
  const http = await freePort();
  const pool = await startPool(1, http);
  t.after(() => pool.stop());
  const ask = () => fetch(`http://127.0.0.1:${http}/`, { headers: { connection: 'close' } });
  const idle = connect(http, '127.0.0.1');
  await once(idle, 'connect');
  assert.equal((await ask()).status, 200);
  pool.setMemoryShort(true);
  const refused = await ask();
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '1']);
  idle.resume();
  await once(idle, 'close');
  pool.setMemoryShort(false);
  assert.equal((await ask()).status, 200);
});
