import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { freePort } from '../../scripts/free-port.ts';
import { claim, StartError } from './start-checks.ts';

const host = '127.0.0.1';

test('ports are found where 0 is asked for, each listener another one', async () => {
  const { addresses, release } = await claim([
    ['--http', { host, port: 0 }],
    ['--https', { host, port: 0 }],
  ]);
  release();
  const [http, https] = addresses;
  assert.ok(http !== undefined && https !== undefined && http.port > 0 && https.port > 0);
  assert.notEqual(http.port, https.port);
});

test('a port that was found is held until workers have it, and stands in their way neither held nor released', async () => {
  for (const anyHost of [host, '0.0.0.0']) {
    const { addresses, release } = await claim([['--http', { host: anyHost, port: 0 }]]);
    const [address] = addresses;
    assert.ok(address);
    assert.deepEqual(await connectionsOf(address.port), ['01', '01']);
    const workers = [createServer(), createServer()];
    for (const worker of workers) await once(worker.listen({ ...address, reusePort: true }), 'listening');
    release();
    while ((await connectionsOf(address.port)).length > 0) await setImmediate();
    for (const worker of workers) await once(worker.close(), 'close');
  }
});

/** States of the TCP connections of a port of ours, as the kernel has them: 01 is an open one, 0A a listener, which is none. */
async function connectionsOf(port: number): Promise<string[]> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const lines = (await readFile('/proc/self/net/tcp', 'latin1'))
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/));
  const ours = lines.filter(([, local = '', remote = '']) => local.endsWith(`:${hex}`) || remote.endsWith(`:${hex}`));
  return ours.map(([, , , state = '']) => state).filter((state) => state !== '0A');
}

test('two listeners on one port are refused, and told of each other', async () => {
  for (const other of [host, '0.0.0.0']) {
    let message = '';
    let port = 0;
    // A port that was free a moment ago may be somebody's by now.
    do {
      port = await freePort();
      const listeners = [
        ['--http', { host, port }],
        ['--https', { host: other, port }],
      ] as const;
      await assert.rejects(claim(listeners), (error) => {
        assert.ok(error instanceof StartError);
        message = error.message;
        return true;
      });
    } while (message.startsWith('--http '));
    assert.equal(message, `--https ${other}:${port}: --http has that port; give each a port of its own`);
  }
});
