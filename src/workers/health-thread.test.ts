/** Health with real threads: what dies keeps nothing to itself. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { after, before, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { freePort, REFUSING_PORTS } from '../../scripts/free-port.ts';
import { makeSelfSigned } from '../proxy/tls/self-signed.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Endpoint, Upstream } from '../snapshot/upstream.ts';
import { upstream } from '../upstream/fixtures.ts';
import { TLS_PARAMETERS } from '../wire/secure-context.ts';
import { WorkerPool } from './worker-pool.ts';

const KEY = 'shop/orders/80';
const CHECK: NonNullable<Upstream['healthCheck']> = {
  active: { type: 'TCP', interval: 100, timeout: 10_000, healthyThreshold: 1, unhealthyThreshold: 1 },
  panicThresholdPercent: 0,
};

let backend: Server;
let good: Endpoint;
let bad: Endpoint;
let http: number;
let pool: WorkerPool;
const told: string[] = [];

const threads: Worker[] = [];
process.on('worker', (thread: Worker) => threads.push(thread));

async function kill(name: string): Promise<void> {
  const victim = threads.findLast((thread) => thread.threadName === name);
  assert.ok(victim, name);
  const gone = once(victim, 'exit');
  void victim.terminate();
  await gone;
}

async function untilTold(count: number, message: string): Promise<void> {
  await until(async () => told.filter((line) => line === message).length >= count);
}

function snapshot(endpoints: readonly Endpoint[], healthCheck: typeof CHECK | 'none' = CHECK, name = 'a'): Snapshot {
  return {
    routes: [
      {
        id: `ApiRoute/default/${name}/0`,
        kind: 'ApiRoute',
        namespace: 'default',
        name,
        rule: '0',
        hosts: [{ type: 'Any' }],
        matches: [{ path: { type: 'PathPrefix', value: '/' }, headers: [], queryParams: [], cookies: [] }],
        rank: 0,
        isDefaultBackend: false,
        httpsRedirect: false,
        filters: {},
        timeouts: { request: 60_000, backendRequest: 60_000, idle: 60_000 },
        backends: [{ upstream: KEY, weight: 1, backup: false }],
      },
    ],
    upstreams: new Map([[KEY, upstream(healthCheck === 'none' ? {} : { healthCheck })]]),
    endpoints: new Map([[KEY, endpoints]]),
    certificates: new Map(),
    serverNames: [],
  };
}

/** Statuses of answers, from both workers with all likelihood. */
async function statuses(): Promise<Set<number>> {
  const found = new Set<number>();
  for (let count = 0; count < 16; count++) {
    const answer = await fetch(`http://127.0.0.1:${http}/`, { headers: { connection: 'close' } });
    await answer.text();
    found.add(answer.status);
  }
  return found;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 60_000; !(await holds()); await new Promise((resolve) => setTimeout(resolve, 20))) {
    assert.ok(Date.now() < deadline, told.join('\n'));
  }
}

const untilStatuses = (wanted: readonly number[]): Promise<void> => until(async () => [...(await statuses())].sort().join() === wanted.join());

before(async () => {
  backend = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'));
  });
  backend.listen(0, '127.0.0.1');
  await once(backend, 'listening');
  good = { address: '127.0.0.1', port: (backend.address() as AddressInfo).port, state: 'Ready' };
  bad = { address: '127.0.0.1', port: REFUSING_PORTS[0], state: 'Ready' };
  http = await freePort();
  pool = new WorkerPool(
    {
      workers: 2,
      http: { host: '127.0.0.1', port: http },
      https: { host: '127.0.0.1', port: await freePort() },
      wire: 'auto',
      trustedProxies: [],
      accessLog: 'off',
      maxConnections: 20,
      maxConnectionsPerClient: 0,
      maxConcurrency: 'auto',
      cacheMemory: 0,
      zone: '',
      traceRatio: undefined,
      allowLoopbackFetch: true,
      proxyProtocol: false,
      h2c: true,
      tls: TLS_PARAMETERS,
      affinity: { own: randomBytes(32) },
      selfSigned: makeSelfSigned(),
      ticketKeys: randomBytes(48),
    },
    { onListenFailed: (listener, address, code) => assert.fail(`${listener} ${address.port} ${code}`) },
    (_level, message) => void told.push(message),
  );
  pool.snapshot(snapshot([good], 'none'));
  await pool.untilServing();
});
after(async () => {
  await pool.stop();
  backend.close();
});

test('there is no thread while nothing is checked', () => {
  assert.ok(threads.every(({ threadName }) => threadName !== 'health'));
});

test('a worker that takes the place of another, and a health thread that does, know what was found', async () => {
  pool.snapshot(snapshot([bad]));
  await untilTold(1, 'endpoint is unhealthy');
  await untilStatuses([503]);
  assert.equal(pool.healthOf(KEY, bad), 'unhealthy');
  await kill('worker-0');
  await pool.untilServing();
  assert.deepEqual(await statuses(), new Set([503]));
  await until(async () => (await failedChecks()) > 0);
  await kill('health');
  assert.equal(await failedChecks(), 0, 'it counts anew');
  assert.deepEqual(await statuses(), new Set([503]), 'while there is none');
  // The new one asks, and does not tell again what was told.
  await until(async () => (await failedChecks()) >= 3);
  assert.equal(told.filter((message) => message === 'endpoint is unhealthy').length, 1);
  assert.deepEqual(await statuses(), new Set([503]));
});

test('a reload changes nothing; another endpoint begins as healthy; without checks nobody asks', async () => {
  pool.snapshot(snapshot([bad], CHECK, 'b'));
  await untilTold(1, 'endpoint is unhealthy');
  assert.deepEqual(await statuses(), new Set([503]));
  pool.endpoints(new Map([[KEY, [good, bad]]]));
  await untilStatuses([200]);
  assert.equal(pool.healthOf(KEY, bad), 'unhealthy');
  assert.equal(pool.healthOf(KEY, good), 'healthy');
  pool.endpoints(new Map([[KEY, [good]]]));
  pool.endpoints(new Map([[KEY, [good, bad]]]));
  await untilTold(2, 'endpoint is unhealthy');
  pool.snapshot(snapshot([good, bad], 'none', 'b'));
  assert.equal(pool.healthOf(KEY, bad), 'healthy');
  await until(async () => (await checks()).length === 0);
});

async function checks(): Promise<readonly number[]> {
  const { buried } = await pool.scrape();
  const family = buried.findLast(({ name, values }) => name === 'tidegate_health_checks_total' && values.length > 0);
  return family?.values.filter(({ labels }) => labels.result === 'failed').map(({ value }) => value) ?? [];
}

const failedChecks = async (): Promise<number> => (await checks())[0] ?? 0;
