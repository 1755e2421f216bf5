/** What comes of requests while Redis is slow, gone, back, empty, or no longer the one that takes writes. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { get } from '../gateway/client.ts';
import { GatewayUnderTest } from '../gateway/gateway.ts';
import { type Lifetime, wholeFile } from '../gateway/lifetime.ts';
import { globalPolicy, limitedRoute, sumOf, until } from './global-limits.ts';
import { RedisServer } from './redis-server.ts';

const DOWN = 'rate limit store is down: what policies say in onStoreFailure holds';
const BACK = 'rate limit store is back';

/** Long enough for a busy machine; what is to be shown is that requests wait for so long at most, and then for nothing. */
const TIMEOUT = 3000;

const MANIFESTS = [
  limitedRoute('allow') + globalPolicy('allow', 'Allow', ['{ requests: 2, period: 24h }']),
  limitedRoute('deny') + globalPolicy('deny', 'Deny', ['{ requests: 5, period: 24h }']),
  limitedRoute('local') + globalPolicy('local', 'Local', ['{ requests: 2, period: 24h }']),
  limitedRoute('unconcerned') + globalPolicy('unconcerned', 'Deny', [`{ requests: 2, period: 24h, when: "request.method == 'POST'" }`]),
].join('');

function start(lifetime: Lifetime, servers: readonly RedisServer[]): Promise<GatewayUnderTest> {
  const addresses = servers.map(({ port }) => `127.0.0.1:${port}`).join(',');
  return GatewayUnderTest.start(lifetime, { 'all.yaml': MANIFESTS }, ['--workers', '1', '--redis', `redis://${addresses}?timeout=${TIMEOUT}`]);
}

async function statuses(gateway: GatewayUnderTest, path: string, requests: number): Promise<number[]> {
  const got: number[] = [];
  for (let index = 0; index < requests; index++) got.push((await get(gateway.http, path)).status);
  return got;
}

const logged = ({ log }: GatewayUnderTest, message: string): number => log.filter(({ msg }) => msg === message).length;
const untilLogged = (gateway: GatewayUnderTest, message: string, times: number): Promise<void> => until(async () => logged(gateway, message) >= times);

/** Each policy as it wants it; nothing waits. */
async function holds(gateway: GatewayUnderTest): Promise<void> {
  assert.deepEqual(await statuses(gateway, '/allow', 4), [200, 200, 200, 200]);
  assert.deepEqual(await statuses(gateway, '/deny', 2), [503, 503]);
  assert.deepEqual(await statuses(gateway, '/unconcerned', 2), [200, 200], 'a limit that is not for the request refuses none');
}

describe('a server of its own', () => {
  let redis: RedisServer;
  let gateway: GatewayUnderTest;
  let downs = 0;
  before(async () => {
    redis = await RedisServer.start(wholeFile);
    gateway = await start(wholeFile, [redis]);
  });
  const goesDown = () => untilLogged(gateway, DOWN, ++downs);
  const comesBack = () => untilLogged(gateway, BACK, downs);

  test('stopped: requests get what onStoreFailure says, and what they asked is not done once it goes on', async () => {
    assert.deepEqual(await statuses(gateway, '/deny', 1), [200]);
    redis.pause();
    const waiting = await Promise.all([get(gateway.http, '/deny'), get(gateway.http, '/deny')]);
    assert.deepEqual(
      waiting.map(({ status }) => status),
      [503, 503],
    );
    await statuses(gateway, '/allow', 3);
    await goesDown();
    const startedAt = performance.now();
    await holds(gateway);
    assert.ok(performance.now() - startedAt < 8 * TIMEOUT, 'eight requests that each wait would take that long');
    assert.deepEqual(await statuses(gateway, '/local', 3), [200, 200, 429], 'from empty buckets');
    assert.equal((await gateway.untilAccess(({ status }) => status === 503)).reason, 'rate_limit_store_down');
    redis.resume();
    await comesBack();
    assert.deepEqual(await statuses(gateway, '/deny', 5), [200, 200, 200, 200, 429], 'one was counted before, and none meanwhile');
    assert.deepEqual(await statuses(gateway, '/local', 3), [200, 200, 429], 'those of all replicas are full');
  });

  test('killed, and there again with nothing in it', async () => {
    await redis.kill();
    await goesDown();
    await holds(gateway);
    await sleep(300);
    assert.equal(logged(gateway, DOWN), downs, 'told once');
    await redis.run();
    await comesBack();
    assert.deepEqual(await statuses(gateway, '/deny', 6), [200, 200, 200, 200, 200, 429]);
  });

  test('emptied, scripts and all: nothing fails, and counting begins anew', async (t) => {
    const failures = async () => sumOf((await get(gateway.admin, '/metrics')).body, 'tidegate_rate_limit_store_failures_total');
    const before = await failures();
    const client = redis.client(t);
    await client.flushall();
    await client.script('FLUSH');
    assert.deepEqual(await statuses(gateway, '/deny', 6), [200, 200, 200, 200, 200, 429]);
    assert.equal(await failures(), before);
  });

  test('a replica all at once: it is not written to, and used again when it is a primary', async (t) => {
    const client = redis.client(t);
    // A request that is refused writes nothing.
    await client.flushall();
    await client.replicaof('127.0.0.1', 1);
    await until(async () => (await get(gateway.http, '/deny')).status === 503);
    await goesDown();
    await holds(gateway);
    await client.replicaof('NO', 'ONE');
    await comesBack();
    await client.flushall();
    assert.deepEqual(await statuses(gateway, '/deny', 1), [200]);
  });

  test('metrics tell of all that', async () => {
    const { body } = await get(gateway.admin, '/metrics');
    for (const action of ['allow', 'deny', 'local']) {
      assert.ok(sumOf(body, 'tidegate_rate_limit_store_fallbacks_total', new RegExp(`action="${action}"`)) > 0, action);
    }
    assert.ok(sumOf(body, 'tidegate_rate_limit_store_failures_total', /reason="timeout"/) > 0);
    assert.equal(sumOf(body, 'tidegate_rate_limit_store_workers', /state="up"/), 1);
  });
});

test('of several servers the primary is taken, wherever it stands in the list', async (t) => {
  const [replica, primary] = await Promise.all([RedisServer.start(t), RedisServer.start(t)]);
  await replica.client(t).replicaof('127.0.0.1', primary.port);
  const gateway = await start(t, [replica, primary]);
  assert.deepEqual(await statuses(gateway, '/deny', 1), [200]);
  // They change their roles.
  await replica.client(t).replicaof('NO', 'ONE');
  await primary.client(t).replicaof('127.0.0.1', replica.port);
  await until(async () => logged(gateway, BACK) > 0 || (await get(gateway.http, '/deny')).status === 503);
  await untilLogged(gateway, BACK, 1);
  await until(async () => (await get(gateway.http, '/allow')).headers['x-ratelimit-limit'] !== undefined);
});
