import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

/**
 * A process that writes to its standard output as long as that takes what it gets, or 6 MiB, and tells on standard error
 * what that came to, and whether its standard output has O_NONBLOCK.
 */
const WRITER = `
import { constants, readFileSync, writeSync } from 'node:fs';
import { openSink, unblockStandardOutput } from ${JSON.stringify(new URL('./log-sink.ts', import.meta.url).href)};
const kind = unblockStandardOutput();
const sink = openSink('stdout');
const bytes = Buffer.alloc(64 * 1024);
let outcome = 'all taken';
try {
  for (let count = 0; count < 100; count++) writeSync(sink, bytes);
} catch (error) {
  outcome = error.code;
}
const flags = Number.parseInt(/flags:\\s*(\\d+)/.exec(readFileSync('/proc/self/fdinfo/1', 'utf8'))[1], 8);
writeSync(2, [kind, outcome, (flags & constants.O_NONBLOCK) === 0 ? 'blocking' : 'non-blocking'].join(', '));
`;

async function write(stdout: number | 'pipe'): Promise<string> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', WRITER], { stdio: ['ignore', stdout, 'pipe'] });
  // One that blocks is to fail the test, and not to stay.
  const limit = setTimeout(() => child.kill('SIGKILL'), 30_000);
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  await Promise.all([once(child, 'exit'), once(child.stderr as NodeJS.ReadableStream, 'end')]);
  clearTimeout(limit);
  child.stdout?.destroy();
  return said;
}

test('a socket that nobody reads does not block, and that is so for all who share it', async () => {
  // What spawn calls a pipe is a pair of sockets.
  assert.equal(await write('pipe'), 'shared, EAGAIN, non-blocking');
});

test('pipes and files are opened anew, and stay as they are for others', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-sink-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
  const sinks = [openSync(pipe, 'w'), openSync(join(folder, 'file'), 'w')] as const;
  context.after(() => [reader, ...sinks].forEach(closeSync));
  assert.equal(await write(sinks[0]), 'own, EAGAIN, blocking');
  assert.equal(await write(sinks[1]), 'own, all taken, blocking');
});
