import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePort } from '../../scripts/free-port.ts';
import { claim, StartError } from './start-checks.ts';

const host = '127.0.0.1';

test('ports are found where 0 is asked for, each listener another one', async () => {
  const [http, https] = await claim([
    ['--http', { host, port: 0 }],
    ['--https', { host, port: 0 }],
  ]);
  assert.ok(http !== undefined && https !== undefined && http.port > 0 && https.port > 0);
  assert.notEqual(http.port, https.port);
});

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
