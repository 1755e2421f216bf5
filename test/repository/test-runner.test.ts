/** scripts/test.ts: whatever goes wrong in a test file is counted, shown and turned into exit code 1. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const head = "import { describe, test } from 'node:test';\nimport assert from 'node:assert/strict';\n";

function runFile(text: string, suite = '', options: readonly string[] = []): { status: number | null; lines: string[]; output: string } {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-runner-'));
  try {
    writeFileSync(join(folder, 'a.test.ts'), text);
    writeFileSync(join(folder, 'suite.ts'), suite);
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const { status, stdout } = spawnSync(process.execPath, ['scripts/test.ts', ...options, `${folder}/*.test.ts`], { cwd: root, env, encoding: 'utf8' });
    return { status, lines: stdout.trimEnd().split('\n'), output: stdout };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('scripts/test.ts', () => {
  test('passes', () => {
    const { status, lines } = runFile(`${head}describe('a', () => { test('b', () => {}); test('c', () => {}); });`);
    assert.equal(status, 0);
    assert.equal(lines.at(-1), '2 passed, 0 failed');
  });

  test('a failure is shown with the names of its suites', () => {
    const { status, lines, output } = runFile(
      `${head}describe('outer', () => { describe('inner', () => { test('bad', () => assert.equal(1, 2)); test('good', () => {}); }); });`,
    );
    assert.equal(status, 1);
    assert.match(output, /outer > inner > bad/);
    assert.equal(lines.at(-1), '1 passed, 1 failed');
  });

  test('skipped tests are in the sum, and are no passed ones', () => {
    const { status, lines } = runFile(`${head}test('a', () => {}); test('b', { skip: 'not here' }, () => assert.fail());`);
    assert.equal(status, 0);
    assert.equal(lines.at(-1), '1 passed, 0 failed, 1 skipped');
  });

  test('tests of a suite in another file count for the file that runs it', () => {
    const suite = `${head}export function suite() { test('a', () => {}); test('b', () => assert.fail()); }`;
    const { lines, output } = runFile("import { suite } from './suite.ts'; suite();", suite);
    assert.match(output, /^FAILED .*a\.test\.ts \(1 passed, 1 failed/);
    assert.equal(lines.at(-1), '1 passed, 1 failed');
  });

  const broken: readonly (readonly [name: string, text: string])[] = [
    ['an import that is not there', "import './missing.ts';"],
    ['an early end of the process', 'process.exit(3);'],
    ['a syntax error', 'const const = 1;'],
    ['an error after the test', `${head}test('a', () => { setTimeout(() => { throw new Error('late'); }, 10); });`],
    [
      'a hook that fails',
      `${head}import { before } from 'node:test'; describe('a', () => { before(() => { throw new Error('hook'); }); test('b', () => {}); });`,
    ],
  ];
  for (const [name, text] of broken) {
    test(`${name} is a failure`, () => {
      const { status, lines, output } = runFile(text);
      assert.equal(status, 1, output);
      assert.match(lines.at(-1) ?? '', /^\d+ passed, [1-9]\d* failed$/);
    });
  }

  test('a file that something keeps alive when its tests are through is a failure, once its time is up', () => {
    const { status, output, lines } = runFile(
      `${head}import { createServer } from 'node:net'; test('a', () => { createServer().listen(0, '127.0.0.1'); });`,
      '',
      ['--file-timeout=1'],
    );
    assert.equal(status, 1, output);
    assert.match(output, /kept alive by .*TCPServerWrap/);
    assert.match(lines.at(-1) ?? '', /^\d+ passed, [1-9]\d* failed$/);
  });

  test('ends its test files when it is ended itself', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-runner-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'pid');
    writeFileSync(
      join(folder, 'a.test.ts'),
      `${head}import { renameSync, writeFileSync } from 'node:fs';
writeFileSync('${file}.new', String(process.pid)); renameSync('${file}.new', '${file}');
test('a', async () => { await new Promise((resolve) => setTimeout(resolve, 120_000)); });`,
    );
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const runner = spawn(process.execPath, ['scripts/test.ts', `${folder}/*.test.ts`], { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => runner.kill('SIGKILL'));
    let output = '';
    runner.stdout.on('data', (bytes) => {
      output += bytes;
    });
    while (!existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 20));
    runner.kill('SIGTERM');
    const [code] = await once(runner, 'close');
    assert.equal(code, 1, output);
    assert.match(output, /\d+ passed, [1-9]\d* failed\n$/);
    assert.throws(() => process.kill(Number(readFileSync(file, 'utf8')), 0), { code: 'ESRCH' });
  });

  test('no test file at all is a failure', () => {
    const { status, stdout } = spawnSync(process.execPath, ['scripts/test.ts', 'nowhere/*.test.ts'], { cwd: root, encoding: 'utf8' });
    assert.equal(status, 1);
    assert.match(stdout, /\n0 passed, 1 failed\n$/);
  });
});
