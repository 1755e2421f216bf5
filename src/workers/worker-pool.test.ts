import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { makeSelfSigned } from '../proxy/tls/self-signed.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { WorkerPool } from './worker-pool.ts';

let pool: WorkerPool;
let port: number;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const free = (server.address() as AddressInfo).port;
  await new Promise((resolve) => server.close(resolve));
  return free;
}

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

before(async () => {
  port = await freePort();
  pool = new WorkerPool(
    {
      workers: 2,
      http: { host: '127.0.0.1', port },
      https: { host: '127.0.0.1', port: await freePort() },
      wire: 'auto',
      trustedProxies: [],
      accessLog: 'off',
      logLevel: 'error',
      maxConnections: 20,
      selfSigned: makeSelfSigned(),
      ticketKeys: randomBytes(48),
    },
    { onListenFailed: (listener, address, code) => assert.fail(`${listener} ${address.port} ${code}`) },
    () => {},
  );
  pool.snapshot(snapshot('one'));
  await pool.untilServing();
});
after(() => pool.stop());

async function ask(): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } })).text();
}

test('a worker that dies is replaced, with the newest snapshot, while the others serve', async () => {
  pool.snapshot(snapshot('two'));
  for (let round = 0; round < 2; round++) {
    const victim = pool.threads[round];
    const gone = new Promise((resolve) => victim?.once('exit', resolve));
    void victim?.terminate();
    await gone;
    assert.equal(pool.serving, false);
    assert.equal(await ask(), 'two');
    await pool.untilServing();
    assert.notEqual(pool.threads[round], victim);
  }
  for (let index = 0; index < 10; index++) assert.equal(await ask(), 'two');
  assert.equal(pool.restarts, 2);
});

test('counters of a dead worker stay in the sum', async () => {
  const total = async (): Promise<number> => {
    const { workers, buried } = await pool.scrape();
    return [...workers.map((scrape) => scrape.families), ...buried]
      .flat()
      .filter((family) => family.name === 'tidegate_requests_total')
      .flatMap((family) => family.values)
      .reduce((sum, sample) => sum + sample.value, 0);
  };
  for (let index = 0; index < 10; index++) await ask();
  const before = await total();
  assert.ok(before >= 10);
  const gone = new Promise((resolve) => pool.threads[0]?.once('exit', resolve));
  void pool.threads[0]?.terminate();
  await gone;
  await pool.untilServing();
  assert.equal(await total(), before);
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
