/** The memory guard of the built program, on files as a cgroup of version 2 has them: those of the kernel can't be had wherever version 1 has the memory. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { get } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith } from './lifetime.ts';
import { apiRoute } from './manifests.ts';

const MIB = 1024 * 1024;
const LIMIT = 1024;
/** Whether we may give a process files of its own at /sys/fs/cgroup. */
const mayMount = spawnSync('unshare', ['--mount', 'mount', '--bind', tmpdir(), '/sys/fs/cgroup']).status === 0;

test('in a cgroup of version 2 requests are shed from 95 % of its limit on, until there is room', { skip: !mayMount && 'needs root' }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-cgroup-'));
  endWith(t, () => rmSync(folder, { recursive: true }));
  const write = (file: string, text: string): void => writeFileSync(join(folder, file), text);
  /** @param cache share of the page cache beside that, which the kernel takes back */
  const use = (share: number, cache = 0): void => {
    write('memory.stat', `anon 4096\ninactive_file ${Math.floor(cache * LIMIT) * MIB}\nactive_file 4096\n`);
    write('memory.current', `${Math.floor((share + cache) * LIMIT) * MIB}\n`);
  };
  write('cgroup.controllers', 'cpu memory pids\n');
  write('memory.max', `${LIMIT * MIB}\n`);
  use(0.5, 0.49);
  const route = apiRoute('all', '  rules: [{ filters: { directResponse: { statusCode: 200, body: here } } }]');
  const gateway = await GatewayUnderTest.start(t, { 'all.yaml': route }, ['--workers', '1'], {}, { cgroupFiles: folder });
  assert.equal((await get(gateway.http, '/before')).status, 200);
  use(0.96);
  await gateway.untilLogged('memory is short: new requests are refused');
  // The workers hear of it a moment later than the log.
  await gateway.until('/short', (status) => status === 503);
  const refused = await get(gateway.http, '/refused');
  assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '1']);
  assert.equal((await gateway.untilAccess((line) => line.path === '/refused')).reason, 'memory');
  use(0.85, 0.14);
  await gateway.untilLogged('memory is no longer short');
  await gateway.until('/after', (status) => status === 200);
});
