/** Limits of scope Global: the built program, several of them, and a real Redis. */
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { before, describe, test } from 'node:test';
import { get, send } from '../gateway/client.ts';
import { GatewayUnderTest } from '../gateway/gateway.ts';
import { type Lifetime, wholeFile } from '../gateway/lifetime.ts';
import { globalPolicy, limitedRoute, sumOf, until } from './global-limits.ts';
import { RedisServer } from './redis-server.ts';

let redis: RedisServer;
before(async () => {
  redis = await RedisServer.start(wholeFile);
});

/** A machine that is busy is not a slow Redis. */
const url = (more = ''): string => `redis://127.0.0.1:${redis.port}?timeout=10000${more}`;

const start = (lifetime: Lifetime, manifests: string, workers = 1): Promise<GatewayUnderTest> =>
  GatewayUnderTest.start(lifetime, { 'all.yaml': manifests }, ['--workers', String(workers), '--redis', url()]);

/** Asks on many connections at once. @returns how many answers there are of each status */
async function hammer(gateways: readonly GatewayUnderTest[], path: string, requests: number, connections = 8): Promise<Map<number, number>> {
  const counts = new Map<number, number>();
  let left = requests;
  const clients = gateways.flatMap((gateway) =>
    Array.from({ length: connections }, async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      while (left > 0) {
        left--;
        const { status } = await send(gateway.http, path, { agent });
        counts.set(status, (counts.get(status) ?? 0) + 1);
      }
      agent.destroy();
    }),
  );
  await Promise.all(clients);
  return counts;
}

describe('three replicas of two workers', () => {
  let replicas: GatewayUnderTest[];
  before(async () => {
    const limits = {
      bucket: '{ requests: 100, period: 24h }',
      leaky: '{ algorithm: LeakyBucket, requests: 1, period: 24h, burst: 0 }',
      window: '{ algorithm: FixedWindow, requests: 100, calendar: Month }',
      sliding: '{ algorithm: SlidingWindow, requests: 100, period: 24h }',
    };
    const manifests = Object.entries(limits).map(([name, limit]) => limitedRoute(name) + globalPolicy(name, 'Deny', [limit]));
    const several =
      limitedRoute('several') + globalPolicy('several', 'Deny', ['{ name: few, requests: 30, period: 24h }', '{ name: many, requests: 100, period: 24h }']);
    const text = [...manifests, several].join('');
    replicas = await Promise.all([0, 1, 2].map(() => start(wholeFile, text, 2)));
  });

  for (const [path, allowed] of [
    ['bucket', 100],
    ['leaky', 1],
    ['window', 100],
    ['sliding', 100],
    ['several', 30],
  ] as const) {
    test(`${path}: exactly as many as the limit says pass`, async () => {
      const counts = await hammer(replicas, `/${path}`, 300);
      assert.deepEqual(Object.fromEntries(counts), { 200: allowed, 429: 300 - allowed });
    });
  }

  test('what one limit refuses uses up nothing of another', async () => {
    const answer = await get(replicas[0]?.http ?? 0, '/several');
    assert.equal(answer.status, 429);
    assert.match(String(answer.headers.ratelimit), /^"few";r=0;t=\d+, "many";r=70;t=\d+$/);
  });

  test('a gateway that starts anew goes on where the others are', async (t) => {
    const fourth = await start(t, limitedRoute('window') + globalPolicy('window', 'Deny', ['{ algorithm: FixedWindow, requests: 100, calendar: Month }']));
    assert.equal((await get(fourth.http, '/window')).status, 429);
  });

  test('metrics say that the store is up, and what was decided', async () => {
    const [gateway] = replicas;
    const { body } = await get(gateway?.admin ?? 0, '/metrics');
    assert.equal(sumOf(body, 'tidegate_rate_limit_store_workers', /state="up"/), 2);
    assert.equal(sumOf(body, 'tidegate_rate_limit_store_workers', /state="down"/), 0);
    assert.ok(sumOf(body, 'tidegate_rate_limit_store_seconds_count') > 0);
    assert.ok(sumOf(body, 'tidegate_rate_limit_decisions_total', /policy="default\/bucket",limit="bucket",decision="(allowed|refused)"/) > 0);
    assert.equal(sumOf(body, 'tidegate_rate_limit_store_failures_total'), 0);
  });
});

describe('one route', () => {
  let gateway: GatewayUnderTest;
  before(async () => {
    const manifests = [
      limitedRoute('told') + globalPolicy('told', 'Allow', ['{ name: per-user, requests: 2, period: 60s, key: [{ type: Header, name: x-user }] }']),
      limitedRoute('mixed') +
        globalPolicy('mixed', 'Allow', ['{ name: everywhere, requests: 5, period: 1h }', '{ name: watched, requests: 1, period: 1h, mode: Shadow }']) +
        globalPolicy('mixed', 'Allow', ['{ name: here, requests: 3, period: 1h, key: [{ type: Header, name: x-user }] }'], 'mixed-here').replace(
          'scope: Global',
          'scope: Local',
        ),
      limitedRoute('left') + globalPolicy('left', 'Deny', ['{ algorithm: LeakyBucket, requests: 1, period: 24h, burst: 2 }']),
      limitedRoute('queue') + globalPolicy('queue', 'Allow', ['{ algorithm: LeakyBucket, requests: 5, period: 1s, burst: 2 }']),
    ];
    gateway = await start(wholeFile, manifests.join(''));
  });

  test('answers say what those of local limits do', async () => {
    const first = await get(gateway.http, '/told', { 'x-user': 'a' });
    assert.equal(first.status, 200);
    const fields = Object.fromEntries(Object.entries(first.headers).filter(([name]) => name.includes('ratelimit')));
    assert.deepEqual(fields, {
      'x-ratelimit-limit': '2',
      'x-ratelimit-remaining': '1',
      'x-ratelimit-reset': '30',
      'ratelimit-policy': '"per-user";q=2;w=60',
      ratelimit: '"per-user";r=1;t=30',
    });
    await get(gateway.http, '/told', { 'x-user': 'a' });
    const refused = await get(gateway.http, '/told', { 'x-user': 'a' });
    assert.equal(refused.status, 429);
    // As much less than 30 s as the three of them took.
    assert.match(String(refused.headers['retry-after']), /^([12]?\d|30)$/);
    assert.equal((await gateway.untilAccess((line) => line.status === 429 && line.path === '/told')).reason, 'rate_limited');
    assert.equal((await get(gateway.http, '/told', { 'x-user': 'b' })).status, 200);
  });

  test('limits of the pod beside it: the tightest tells, a refused request uses up none, one in Shadow is only counted', async () => {
    const ask = (user: string) => get(gateway.http, '/mixed', { 'x-user': user });
    const items = async (user: string) => {
      const { status, headers } = await ask(user);
      return [status, ...[...String(headers.ratelimit).matchAll(/"([a-z]+)";r=(\d+)/g)].map(([, name, left]) => `${name} ${left}`)];
    };
    assert.deepEqual(await items('a'), [200, 'everywhere 4', 'here 2']);
    await ask('a');
    await ask('a');
    assert.deepEqual(await items('a'), [429, 'everywhere 2', 'here 0'], 'refused here');
    assert.deepEqual(await items('b'), [200, 'everywhere 1', 'here 2']);
    await ask('b');
    assert.deepEqual(await items('c'), [429, 'everywhere 0', 'here 3'], 'refused there');
    const shadowed = await gateway.untilAccess((line) => line.path === '/mixed' && line.shadowRefusals !== undefined);
    assert.equal(shadowed.shadowRefusals, 'watched');
  });

  test('a leaky bucket makes requests wait for their turn', async () => {
    const startedAt = performance.now();
    // Who comes when the queue is full is a matter of when; the next case has a queue that does not move.
    const answers = await Promise.all(
      [1, 2, 3].map(async () => {
        const { status } = await get(gateway.http, '/queue');
        return { status, at: performance.now() - startedAt };
      }),
    );
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200],
    );
    const last = Math.max(...answers.map(({ at }) => at));
    // Nobody leaves before their turn; how late they are is the machine's.
    assert.ok(last >= 390, `${last} ms`);
  });

  test('a client that leaves the queue gives its place to another one', async () => {
    const abandoned: AbortController[] = [];
    const wait = (): Promise<number> => {
      const controller = new AbortController();
      abandoned.push(controller);
      return fetch(`http://127.0.0.1:${gateway.http}/left`, { signal: controller.signal }).then(
        ({ status }) => status,
        () => 0,
      );
    };
    const { body: before } = await get(gateway.admin, '/metrics');
    const allowed = (body: string): number => sumOf(body, 'tidegate_rate_limit_decisions_total', /policy="default\/left",limit="left",decision="allowed"/);
    assert.equal((await get(gateway.http, '/left')).status, 200);
    const leaving = wait();
    await until(async () => allowed((await get(gateway.admin, '/metrics')).body) === allowed(before) + 2);
    abandoned[0]?.abort();
    assert.equal(await leaving, 0);
    await gateway.untilAccess((line) => line.path === '/left' && line.status === 499);
    // Two places in the queue, for three: one is refused, and so is who comes after that.
    const statuses: number[] = [];
    const three = [wait(), wait(), wait()].map((answer) => answer.then((status) => void statuses.push(status)));
    await Promise.race(three);
    assert.equal((await get(gateway.http, '/left')).status, 429);
    assert.deepEqual(statuses, [429]);
    for (const controller of abandoned) controller.abort();
    await Promise.all(three);
  });
});

test('without --redis the policy says so, and what it wants then holds', async (t) => {
  const manifests = (['Allow', 'Deny', 'Local'] as const).map(
    (word) => limitedRoute(word.toLowerCase()) + globalPolicy(word.toLowerCase(), word, ['{ requests: 1, period: 1h }']),
  );
  const gateway = await GatewayUnderTest.start(t, { 'all.yaml': manifests.join('') }, ['--workers', '1']);
  const statuses = async (path: string) => [(await get(gateway.http, path)).status, (await get(gateway.http, path)).status];
  assert.deepEqual(await statuses('/allow'), [200, 200]);
  assert.deepEqual(await statuses('/deny'), [503, 503]);
  assert.deepEqual(await statuses('/local'), [200, 429]);
  assert.equal((await gateway.untilAccess((line) => line.path === '/deny')).reason, 'rate_limit_store_down');
  const warned = await gateway.untilLogged('object has a problem', ({ object }) => object === 'RateLimitPolicy/default/deny');
  assert.match(String(warned.message), /^scope Global needs Redis.*answered with 503/);
});

test('a gateway that starts before its Redis finds it', async (t) => {
  const server = await RedisServer.start(t);
  await server.kill();
  const manifests = limitedRoute('deny') + globalPolicy('deny', 'Deny', ['{ requests: 1, period: 1h }']);
  const gateway = await GatewayUnderTest.start(t, { 'all.yaml': manifests }, ['--workers', '1', '--redis', `redis://127.0.0.1:${server.port}?timeout=10000`]);
  assert.equal((await get(gateway.http, '/deny')).status, 503);
  await gateway.untilLogged('rate limit store is down: what policies say in onStoreFailure holds');
  await server.run();
  await gateway.untilLogged('rate limit store is back');
  await until(async () => (await get(gateway.http, '/deny')).status === 200);
  assert.equal((await get(gateway.http, '/deny')).status, 429);
});
