/** The defaults that the documentation promises are those of the code. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DRAIN, LISTENER, MAX_BODY_BYTES, NGINX_MAX_BODY_BYTES, PASSTHROUGH_IDLE, ROUTE_TIMEOUTS, UPSTREAM } from '../../src/snapshot/defaults.ts';

const root = join(import.meta.dirname, '../..');

const seconds = (milliseconds: number) => `${milliseconds / 1000} s`;

test('the table in docs/architecture.md', () => {
  const limits = /^## Limits\n(.*?)^## /ms.exec(readFileSync(join(root, 'docs/architecture.md'), 'utf8'))?.[1] ?? '';
  const values = [...limits.matchAll(/^\| [a-z].*? \| (.*?) \| .* \|$/gim)].map((row) => row[1]).slice(1);
  assert.deepEqual(values, [
    seconds(LISTENER.headerTimeout),
    `${LISTENER.maxHeaderBytes / 1024} KiB, ${LISTENER.maxFields} fields`,
    `${MAX_BODY_BYTES / 1024 ** 2} MiB`,
    `${NGINX_MAX_BODY_BYTES / 1024 ** 2} MiB`,
    seconds(ROUTE_TIMEOUTS.request),
    seconds(ROUTE_TIMEOUTS.backendRequest),
    seconds(ROUTE_TIMEOUTS.idle),
    seconds(PASSTHROUGH_IDLE),
    seconds(LISTENER.keepAliveTimeout),
    seconds(LISTENER.handshakeTimeout),
    seconds(LISTENER.prefaceTimeout),
    String(LISTENER.maxRequestsPerConnection),
    String(LISTENER.maxConnections),
    seconds(UPSTREAM.connectTimeout),
    seconds(UPSTREAM.idleTimeout),
    seconds(DRAIN.delay),
    seconds(DRAIN.timeout),
  ]);
});

test('the flags in README.md', () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  for (const [flag, milliseconds] of [
    ['--drain-delay', DRAIN.delay],
    ['--drain-timeout', DRAIN.timeout],
  ] as const) {
    assert.equal(new RegExp(`^\\| \`${flag} DURATION\` \\| \`(.*?)\``, 'm').exec(readme)?.[1], `${milliseconds / 1000}s`);
  }
});
