/** Access lines to a standard output that nobody reads and that is a socket, as child processes of Node.js get it. */
import assert from 'node:assert/strict';
import type { Readable } from 'node:stream';
import { test } from 'node:test';
import { Backend } from './backend.ts';
import { get } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { catchAll, service } from './manifests.ts';

/** A blocked gateway would answer no more. */
const TIME_LIMIT = 240_000;
const LONG_PATH = `/${'x'.repeat(8_000)}`;

async function dropped(gateway: GatewayUnderTest): Promise<number> {
  const { body } = await get(gateway.admin, '/metrics');
  return Number(/^tidegate_access_log_dropped_total(?:\{\})? (\d+)$/m.exec(body)?.[1] ?? 0);
}

/** Requests, each of which must be answered, until so much was held that lines are dropped. @returns how many */
async function fill(gateway: GatewayUnderTest): Promise<number> {
  for (let sent = 0; ; ) {
    for (let index = 0; index < 50; index++, sent++) assert.equal((await get(gateway.http, LONG_PATH)).status, 200);
    if ((await dropped(gateway)) > 0) return sent;
    assert.ok(sent < 2_000, 'nothing is dropped: somebody reads');
  }
}

test('standard output is a socket that nobody reads: traffic goes on, and no line is torn', { timeout: TIME_LIMIT }, async (context) => {
  const backend = await Backend.start(context);
  const gateway = await GatewayUnderTest.start(context, { 'all.yaml': service('web', [backend.port]) + catchAll('web') }, ['--workers', '1']);
  const output = gateway.process.stdout as Readable;
  const warnings = gateway.log.filter((line) => line.level === 'warn');
  assert.deepEqual(
    warnings.map((line) => line.msg),
    ['standard output is a socket: it does not block any more, for all who share it'],
  );
  output.pause();
  const sent = await fill(gateway);
  output.resume();
  await gateway.untilAccess(() => gateway.access.length >= sent - 1_000 && gateway.access.length > 100);
  assert.equal((await get(gateway.http, '/last')).status, 200);
  await gateway.untilAccess((line) => line.path === '/last');
  assert.equal(gateway.access.length + (await dropped(gateway)), sent + 1);
  assert.deepEqual(gateway.errors, []);
});

test('nor does it keep the process from its end', { timeout: TIME_LIMIT }, async (context) => {
  const backend = await Backend.start(context);
  const gateway = await GatewayUnderTest.start(context, { 'all.yaml': service('web', [backend.port]) + catchAll('web') }, ['--workers', '1']);
  (gateway.process.stdout as Readable).pause();
  await fill(gateway);
  gateway.process.kill('SIGTERM');
  assert.equal(await gateway.exited, 0);
  assert.ok(gateway.log.some((line) => line.msg === 'stopped'));
});
