/** Readiness, reload, drain, and what the program says when it can't start. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { answering, Backend } from './backend.ts';
import { get, RawConnection } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith } from './lifetime.ts';
import { catchAll, endpoints, service } from './manifests.ts';
import { runProgram } from './program.ts';

test('edits are live: in place, by rename, endpoints alone', async (t) => {
  const one = await Backend.start(t, answering('one'));
  const two = await Backend.start(t, answering('two'));
  const gateway = await GatewayUnderTest.start(t, { 'service.yaml': service('web', [one.port]), 'route.yaml': catchAll('web') });
  assert.equal((await get(gateway.http, '/')).body, 'one');
  await gateway.write('service.yaml', service('web', [two.port]));
  await gateway.until('/', (_status, body) => body === 'two');
  await writeFile(join(gateway.folder, '.new'), service('web', [one.port]));
  await rename(join(gateway.folder, '.new'), join(gateway.folder, 'service.yaml'));
  await gateway.until('/', (_status, body) => body === 'one');
  await gateway.write('route.yaml', 'kind: [');
  await gateway.write('other.yaml', endpoints('web', [two.port]).replace('web-0', 'web-9'));
  await gateway.until('/', (_status, body) => body === 'two');
});

test('SIGTERM drains: readiness off, Connection: close, the exchange under way ends, exit 0', async (t) => {
  let release: () => void = () => {};
  const backend = await Backend.start(t, (request, socket) => {
    if (!request.head.includes('/slow')) return answering('ok')(request, socket);
    release = () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow');
    return undefined;
  });
  const gateway = await GatewayUnderTest.start(t, { 'all.yaml': service('web', [backend.port]) + catchAll('web') }, ['--drain-delay', '5s']);
  const slow = await RawConnection.open(t, gateway.http);
  slow.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n');
  await backend.untilRequests(1);
  gateway.process.kill('SIGTERM');
  await gateway.untilLogged('draining');
  assert.equal((await get(gateway.admin, '/readyz')).status, 503);
  const during = await get(gateway.http, '/');
  assert.equal(during.body, 'ok');
  assert.equal(during.headers.connection, 'close');
  release();
  await slow.untilEnded();
  assert.match(slow.received, /slow$/);
  assert.match(slow.received, /connection: close/i);
  assert.equal(await gateway.exited, 0);
});

test('SIGTERM twice exits at once', async (t) => {
  const backend = await Backend.start(t, () => undefined);
  const gateway = await GatewayUnderTest.start(t, { 'all.yaml': service('web', [backend.port]) + catchAll('web') }, [
    '--drain-delay',
    '60s',
    '--drain-timeout',
    '120s',
  ]);
  gateway.process.kill('SIGTERM');
  await gateway.untilLogged('draining');
  gateway.process.kill('SIGTERM');
  assert.equal(await gateway.exited, 0);
});

test('a busy port is one line and exit 1', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  endWith(t, () => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const folder = await mkdtemp(join(tmpdir(), 'tidegate-test-'));
  endWith(t, () => rm(folder, { recursive: true }));
  for (const listener of ['--http', '--https', '--admin']) {
    const others = ['--http', '--https', '--admin'].filter((name) => name !== listener).flatMap((name) => [name, '127.0.0.1:0']);
    const { code, stderr } = await runProgram(['serve', '--manifests', folder, ...others, listener, `127.0.0.1:${port}`]);
    assert.equal(code, 1);
    const lines = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
    assert.equal(lines.length, 1, stderr);
    assert.match(lines[0] as string, new RegExp(`${listener} 127\\.0\\.0\\.1:${port}.*in use`));
  }
});

test('two gateways do not share a port silently', async (t) => {
  const gateway = await GatewayUnderTest.start(t, {});
  const { code, stderr } = await runProgram([
    'serve',
    '--manifests',
    gateway.folder,
    '--http',
    `127.0.0.1:${gateway.http}`,
    '--https',
    '127.0.0.1:0',
    '--admin',
    '127.0.0.1:0',
  ]);
  assert.equal(code, 1);
  assert.match(stderr, /in use/);
});

test('a folder that is missing, or is a file, is one line and exit 1', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tidegate-test-'));
  endWith(t, () => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'file.yaml'), '');
  for (const path of ['nowhere', 'file.yaml']) {
    const { code, stderr } = await runProgram([
      'serve',
      '--manifests',
      join(folder, path),
      '--http',
      '127.0.0.1:0',
      '--https',
      '127.0.0.1:0',
      '--admin',
      '127.0.0.1:0',
    ]);
    assert.equal(code, 1, stderr);
    assert.ok(stderr.includes(path), stderr);
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
  }
});

test('wrong usage is exit 2', async () => {
  for (const args of [
    ['serve', '--manifests', '.', '--no-such-flag'],
    ['serve', '--manifests', '.', '--http', 'nonsense'],
    ['serve', '--manifests', '.', '--workers', 'many'],
    ['serve', '--manifests', '.', '--publish-address', '203.0.113.7'],
    ['serve', '--kubeconfig', 'x', '--publish-service', 'name'],
    ['serve', '--kubeconfig', 'x', '--publish-address', '203.0.113.300'],
    ['serve', '--kubeconfig', 'x', '--publish-address', 'http://lb.example.com'],
    ['serve', '--kubeconfig', 'x', '--publish-address', '203.0.113.7,'],
    ['serve', '--kubeconfig', 'x', '--publish-service', 'edge/lb', '--publish-address', '203.0.113.7,2001:db8::7,lb.example.com'],
    ['serve'],
    ['nonsense'],
    [],
  ]) {
    const { code, stderr } = await runProgram(args);
    assert.equal(code, 2, `${args.join(' ')}: ${stderr}`);
    assert.notEqual(stderr, '');
  }
});

test('--help and --version everywhere', async () => {
  for (const args of [['--help'], ['--version'], ['serve', '--help'], ['serve', '--version'], ['validate', '--help'], ['explain', '--version']]) {
    const { code, stdout } = await runProgram(args);
    assert.equal(code, 0, args.join(' '));
    assert.notEqual(stdout, '');
  }
});

test('metrics of all workers come in one scrape; snapshot and explain answer', async (t) => {
  const backend = await Backend.start(t, answering('ok'));
  const gateway = await GatewayUnderTest.start(t, { 'all.yaml': service('web', [backend.port]) + catchAll('web') }, ['--workers', '2']);
  for (let index = 0; index < 20; index++) await get(gateway.http, '/');
  const { body } = await get(gateway.admin, '/metrics');
  assert.match(body, /tidegate_requests_total\{route="ApiRoute\/default\/web\/0",method="GET",code="200"\} 20/);
  assert.match(body, /tidegate_upstream_endpoints\{upstream="default\/web\/80",state="healthy"\} 1/);
  assert.match(body, /tidegate_config_objects\{kind="ApiRoute",state="valid"\} 1/);
  assert.match(body, /tidegate_event_loop_delay_seconds\{thread="worker-1"\}/);
  assert.match(body, /process_cpu_user_seconds_total/);
  assert.match((await get(gateway.admin, '/debug/snapshot')).body, /"ApiRoute\/default\/web\/0"/);
  const explained = await get(gateway.admin, `/debug/explain?method=GET&url=${encodeURIComponent('http://any/')}`);
  assert.equal(explained.status, 200, explained.body);
  assert.match(explained.body, /ApiRoute/);
  const nonsense = await get(gateway.admin, `/debug/explain?method=GET&url=${encodeURIComponent('http://any/')}&header=nonsense`);
  assert.deepEqual([nonsense.status, nonsense.body], [400, '"nonsense" is no header; expected \'name: value\'\n']);
  assert.equal((await get(gateway.admin, '/healthz')).status, 200);
  assert.equal((await get(gateway.admin, '/readyz')).status, 200);
});
