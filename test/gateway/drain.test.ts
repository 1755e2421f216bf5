/** What becomes of exchanges that are still under way when `--drain-timeout` strikes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Backend } from './backend.ts';
import { get, RawConnection } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { catchAll, service } from './manifests.ts';

/** Until it has exited, with 0, and all that it wrote was read. */
async function end(gateway: GatewayUnderTest): Promise<void> {
  gateway.process.kill('SIGTERM');
  const [code] = await once(gateway.process, 'close');
  assert.equal(code, 0);
}

for (const wire of ['stream', 'handle']) {
  test(`at the drain time-out each exchange gets an answer or a cut, and its access line (${wire})`, async (context) => {
    const backend = await Backend.start(context, ({ head }) => (head.includes('/half') ? 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf' : undefined));
    const gateway = await GatewayUnderTest.start(context, { 'all.yaml': service('web', [backend.port]) + catchAll('web') }, [
      '--wire',
      wire,
      '--workers',
      '2',
      '--drain-timeout',
      '500ms',
    ]);
    const waiting = await RawConnection.open(context, gateway.http);
    waiting.write('GET /waiting HTTP/1.1\r\nHost: a\r\n\r\n');
    const half = await RawConnection.open(context, gateway.http);
    half.write('GET /half HTTP/1.1\r\nHost: a\r\n\r\n');
    const sending = await RawConnection.open(context, gateway.http);
    sending.write('POST /sending HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\npart');
    await half.until((received) => received.endsWith('half'));
    await backend.until(() => backend.streams.some((stream) => stream.endsWith('part')) && backend.streams.length === 3);
    await end(gateway);

    assert.match(await waiting.untilEnded(), /^HTTP\/1\.1 503 .*Retry-After: 1\r\n.*Connection: close\r\n.*"status":503/s);
    assert.match(await half.untilEnded(), /half$/);
    const line = async (path: string): Promise<readonly unknown[]> => {
      const found = await gateway.untilAccess((entry) => entry.path === path);
      return [found.status, found.reason, found.upstream, found.attempts, found.requestBytes];
    };
    assert.deepEqual(await line('/waiting'), [503, 'drain_timeout', 'default/web/80', 1, 0]);
    assert.deepEqual(await line('/half'), [200, 'drain_timeout', 'default/web/80', 1, 0]);
    assert.deepEqual(await line('/sending'), [503, 'drain_timeout', 'default/web/80', 1, 4]);
    const stopped = await gateway.untilLogged('stopped');
    assert.deepEqual([stopped.clean, stopped.cut], [false, 3]);
  });
}

test('a drain in which everything ends in time cuts nothing', async (context) => {
  const backend = await Backend.start(context);
  const gateway = await GatewayUnderTest.start(context, { 'all.yaml': service('web', [backend.port]) + catchAll('web') });
  assert.equal((await get(gateway.http, '/')).status, 200);
  await end(gateway);
  const stopped = await gateway.untilLogged('stopped');
  assert.deepEqual([stopped.clean, stopped.cut], [true, 0]);
});
