/** Tests of the built program that fail, or are cut off, leave no gateway behind and end by themselves. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { PATIENCE } from '../gateway/lifetime.ts';

const harness = join(import.meta.dirname, '../gateway');

/** What a file of the gateway tier begins with; `keep` tells this test about the process and its folder. */
const head = `import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { Backend } from '${harness}/backend.ts';
import { RawConnection } from '${harness}/client.ts';
import { GatewayUnderTest } from '${harness}/gateway.ts';
import { endWith, wholeFile } from '${harness}/lifetime.ts';
import { catchAll, service } from '${harness}/manifests.ts';
const keep = (gateway) => writeFileSync(import.meta.dirname + '/started', JSON.stringify({ pid: gateway.process.pid, folder: gateway.folder }));
const start = async (lifetime) => {
  const backend = await Backend.start(lifetime, () => undefined);
  const gateway = await GatewayUnderTest.start(lifetime, { 'all.yaml': service('web', [backend.port]) + catchAll('web') }, ['--workers', '1']);
  keep(gateway);
  const client = await RawConnection.open(lifetime, gateway.http);
  client.write('GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n');
  await backend.untilRequests(1);
};
`;

const failing: readonly (readonly [name: string, text: string])[] = [
  ['an assertion fails', "test('a', async (t) => { await start(t); assert.equal(1, 2); });"],
  ['an assertion fails where all tests share the gateway', "before(() => start(wholeFile)); test('a', () => assert.equal(1, 2));"],
  ['the hook that started it fails', "before(async () => { await start(wholeFile); assert.equal(1, 2); }); test('a', () => {});"],
  ['another thing can not be stopped', "test('a', async (t) => { await start(t); endWith(t, () => assert.equal(1, 2)); });"],
  [
    'something is thrown outside of any test',
    "test('a', async (t) => { await start(t); setTimeout(() => { throw new Error('late'); }); await new Promise(() => {}); });",
  ],
];

interface Started {
  readonly pid: number;
  readonly folder: string;
}

/** Runs a test file to its end. */
async function runFile(t: TestContext, text: string, whenStarted: (pid: number) => void = () => {}): Promise<Started> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-failing-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'a.test.ts'), head + text);
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, [join(folder, 'a.test.ts')], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const watcher = watch(folder, () => {
    if (existsSync(join(folder, 'ready'))) whenStarted(child.pid as number);
  });
  t.after(() => watcher.close());
  let output = '';
  child.stdout.on('data', (bytes) => {
    output += bytes;
  });
  const [code] = await once(child, 'close');
  assert.notEqual(code, 0, output);
  assert.ok(readdirSync(folder).includes('started'), output);
  return JSON.parse(readFileSync(join(folder, 'started'), 'utf8')) as Started;
}

/** A process that was killed is there until the system has cleared it away, and then as a zombie if nobody asks for its exit code. */
async function untilGone({ pid }: Started): Promise<void> {
  for (const deadline = Date.now() + PATIENCE; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    try {
      if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) return;
    } catch {
      return;
    }
    assert.ok(Date.now() < deadline, `process ${pid} still runs`);
  }
}

describe('no process is left behind where', { concurrency: 3 }, () => {
  for (const [name, text] of failing) {
    test(name, async (t) => {
      const started = await runFile(t, text);
      await untilGone(started);
      assert.ok(!existsSync(started.folder), started.folder);
    });
  }

  test('the time of the test file is up', async (t) => {
    const text = "test('a', async (t) => { await start(t); writeFileSync(import.meta.dirname + '/ready', ''); await new Promise(() => {}); });";
    // As the runner ends a file that takes too long.
    await untilGone(await runFile(t, text, (pid) => process.kill(pid, 'SIGTERM')));
  });
});
