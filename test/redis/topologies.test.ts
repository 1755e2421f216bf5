/** Cluster, sentinels and TLS, with real servers. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort } from '../../scripts/free-port.ts';
import { Authority } from '../certificates/authority.ts';
import { get } from '../gateway/client.ts';
import { GatewayUnderTest } from '../gateway/gateway.ts';
import type { Lifetime } from '../gateway/lifetime.ts';
import { globalPolicy, limitedRoute, until } from './global-limits.ts';
import { RedisServer } from './redis-server.ts';

const BACK = 'rate limit store is back';

function start(lifetime: Lifetime, manifests: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<GatewayUnderTest> {
  return GatewayUnderTest.start(lifetime, { 'all.yaml': manifests }, ['--workers', '1', ...args], environment);
}

const status = async (gateway: GatewayUnderTest, path: string): Promise<number> => (await get(gateway.http, path)).status;

test('a cluster: exact over replicas, limits of other servers are given back, and one lost server takes along its own only', async (t) => {
  const nodes = await Promise.all(
    [0, 1, 2].map(async () => {
      const bus = await freePort();
      const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '5000', '--cluster-require-full-coverage', 'no', '--cluster-port', String(bus)];
      return { bus, server: await RedisServer.start(t, args) };
    }),
  );
  const clients = nodes.map(({ server }) => server.client(t));
  // What redis-cli --cluster create does; that can't be told of other bus ports.
  const bounds = [0, 5461, 10923, 16384];
  for (const [index, client] of clients.entries()) {
    await client.cluster('ADDSLOTSRANGE', bounds[index] as number, (bounds[index + 1] as number) - 1);
    for (const { server, bus } of nodes) await client.call('CLUSTER', 'MEET', '127.0.0.1', server.port, bus);
  }
  await until(async () =>
    (await Promise.all(clients.map((client) => client.cluster('INFO')))).every((info) => /cluster_state:ok/.test(info) && /cluster_known_nodes:3/.test(info)),
  );

  // Enough limits that every server has some.
  const limits = Array.from({ length: 12 }, (_one, index) => `{ name: l${index}, requests: ${index === 5 ? 7 : 100}, period: 24h }`);
  const single = Array.from(
    { length: 12 },
    (_one, index) => limitedRoute(`s${index}`) + globalPolicy(`s${index}`, 'Deny', ['{ requests: 1000, period: 24h }']),
  );
  const manifests = limitedRoute('all') + globalPolicy('all', 'Deny', limits) + single.join('');
  const url = `redis://${nodes.map(({ server }) => `127.0.0.1:${server.port}`).join(',')}?timeout=5000`;
  const gateways = await Promise.all([0, 1].map(() => start(t, manifests, ['--redis', url])));
  const answers = await Promise.all(Array.from({ length: 40 }, (_one, index) => get((gateways[index % 2] as GatewayUnderTest).http, '/all')));
  // Requests that others refuse hold places for a moment; so some of the first may be refused, and the rest passes after.
  let passed = answers.filter((answer) => answer.status === 200).length;
  assert.ok(passed <= 7, `${passed} passed`);
  const [gateway] = gateways as [GatewayUnderTest];
  for (let index = 0; index < 8; index++) if ((await status(gateway, '/all')) === 200) passed++;
  assert.equal(passed, 7);
  await until(async () => {
    const { headers } = await get(gateway.http, '/all');
    const left = [...String(headers.ratelimit).matchAll(/"l(\d+)";r=(\d+)/g)].map(([, name, rest]) => (name === '5' ? rest === '0' : rest === '93'));
    return left.length === 12 && left.every(Boolean);
  });

  await nodes[0]?.server.kill();
  await until(async () => {
    const got = await Promise.all(single.map((_one, index) => status(gateway, `/s${index}`)));
    return got.includes(503) && got.includes(200);
  });
  await nodes[0]?.server.run();
});

test('sentinels: their primary is used, and the next one after a failover', async (t) => {
  const primary = await RedisServer.start(t);
  const replica = await RedisServer.start(t, ['--replicaof', '127.0.0.1', String(primary.port)]);
  await until(async () => /master_link_status:up/.test(await replica.client(t).info('replication')));
  const sentinel = await RedisServer.startSentinel(t, primary.port);
  await until(async () => /slaves=1/.test(await sentinel.client(t).info('sentinel')));
  const manifests = limitedRoute('deny') + globalPolicy('deny', 'Deny', ['{ requests: 3, period: 24h }']);
  const gateway = await start(t, manifests, ['--redis', `redis://127.0.0.1:${sentinel.port}?timeout=2000`]);
  assert.equal(await status(gateway, '/deny'), 200);
  await until(async () => (await replica.client(t).dbsize()) > 0);
  await primary.kill();
  await until(async () => gateway.log.some(({ msg }) => msg === BACK));
  // The replica knows what was used.
  await until(async () => (await status(gateway, '/deny')) !== 503);
  for (let index = 0; index < 2; index++) await status(gateway, '/deny');
  assert.equal(await status(gateway, '/deny'), 429);
});

test('TLS, and a password from a file that is read again when it has changed', async (t) => {
  const authority = new Authority('ca');
  const issued = authority.issue({ names: ['127.0.0.1'], subject: 'redis' });
  const redis = await RedisServer.startTls(t, issued, 'first');
  const files = (name: string) => join(redis.folder, name);
  writeFileSync(files('ca.pem'), authority.cert);
  writeFileSync(files('password'), 'first\n');
  const manifests = limitedRoute('deny') + globalPolicy('deny', 'Deny', ['{ requests: 100, period: 24h }']);
  const args = ['--redis', `rediss://127.0.0.1:${redis.port}?timeout=5000`, '--redis-password-file', files('password')];
  const gateway = await start(t, manifests, args, { NODE_EXTRA_CA_CERTS: files('ca.pem') });
  assert.equal(await status(gateway, '/deny'), 200);

  const cli = (...words: string[]) =>
    execFileSync('redis-cli', ['-p', String(redis.port), '--tls', '--cacert', files('ca.pem'), '--no-auth-warning', ...words], { encoding: 'utf8' });
  cli('-a', 'first', 'CONFIG', 'SET', 'requirepass', 'second');
  cli('-a', 'second', 'CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await until(async () => gateway.log.some(({ error }) => /WRONGPASS/.test(String(error))));
  assert.equal(await status(gateway, '/deny'), 503);
  writeFileSync(files('password'), 'second\n');
  await until(async () => (await status(gateway, '/deny')) === 200);
  for (const { error } of gateway.log) assert.doesNotMatch(String(error), /first|second/);

  const distrustful = await start(t, manifests, args);
  assert.equal(await status(distrustful, '/deny'), 503, 'a certificate that nobody vouches for');
});
