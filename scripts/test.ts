/**
 * Runs tests and sums up: `node scripts/test.ts [--at-once=N] [--file-timeout=SECONDS] [GLOB...]`. Without globs: build, then every
 * test file, with lint, type check and the cluster tier beside them; build, lint and type check count as one test each. One line a
 * file, details of what failed, and as the very last line `N passed, N failed`, with `, N skipped` behind it where something was
 * skipped. Exits 1 when anything failed.
 */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { run } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const { values, positionals: patterns } = parseArgs({ allowPositionals: true, options: { 'at-once': { type: 'string' }, 'file-timeout': { type: 'string' } } });
/** A file that has not ended by then hangs: the longest take five minutes, and many times that on a machine that has much else to do. Milliseconds. */
const fileTimeout = Number(values['file-timeout'] ?? 1800) * 1000;
/**
 * How many files run at a time: one where they share what only one may use. Half of the time they wait, for programs to start,
 * leases and time-outs, so half as many again as there are processors keep those busy. Where the cluster tier runs beside, which is
 * a run of this program as well, twice as many: both come to their ends at about the same time then.
 */
const atOnce = Number(values['at-once'] ?? Math.ceil(availableParallelism() * (patterns.length === 0 ? 2 : 1.5)));

/** What `make test` runs beside the cluster tier. */
const everything = ['src/**/*.test.ts', 'cmd/**/*.test.ts', 'scripts/**/*.test.ts', 'bench/**/*.test.ts', 'test/**/*.test.ts'];

/**
 * Files that take longest, in this order: they begin first, so that none of them is what the run waits for at its end. Most of
 * their time they wait themselves, for programs, leases and time-outs.
 */
const LONG = [
  'test-e2e/faults/api-server.test.ts',
  'test-e2e/cases/leader.test.ts',
  'test-e2e/cases/source.test.ts',
  'test-e2e/faults/gateway.test.ts',
  'test-e2e/cases/traffic.test.ts',
  'test-e2e/chart/pod.test.ts',
  'test-e2e/chart/install.test.ts',
  'test-e2e/harness.test.ts',
  'test/faults/faults.test.ts',
  'test/gateway/lifecycle.test.ts',
  'test/gateway/slow-readers.test.ts',
  'test/gateway/flags.test.ts',
  'src/wire/handle.test.ts',
  'src/wire/stream.test.ts',
  'src/status/status-writer.test.ts',
  'test/validate/validate.test.ts',
  'test/redis/topologies.test.ts',
];

/**
 * Where Node.js keeps what it made of a module, for the next process that loads it: of a test file's time, a third goes by before
 * its first test, on the same modules every time.
 */
process.env.NODE_COMPILE_CACHE ??= join(root, 'node_modules/.cache/compiled');

/** Whoever ends this program ends the test files with it. */
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());

interface Sum {
  passed: number;
  failed: number;
  skipped: number;
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

/** Runs a command, and shows its output only when it fails. */
async function check(name: string, command: string, args: readonly string[], sum: Sum): Promise<void> {
  const started = performance.now();
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  const output: Buffer[] = [];
  child.stdout.on('data', (bytes: Buffer) => output.push(bytes));
  child.stderr.on('data', (bytes: Buffer) => output.push(bytes));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  const took = seconds(performance.now() - started);
  if (code === 0) {
    sum.passed++;
    console.log(`ok      ${name} (${took})`);
  } else {
    sum.failed++;
    console.log(`FAILED  ${name} (${took})`);
    process.stdout.write(Buffer.concat(output));
  }
}

interface FileResult {
  passed: number;
  failed: number;
  skipped: number;
  readonly started: number;
  readonly failures: string[];
  readonly output: string[];
}

function describeFailure(name: string, error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  return `  ${name}\n${text.replace(/^/gm, '    ')}`;
}

/** What each test file is loaded with: the runner's own time-out is one of tests, and does not end a process that something else keeps alive. */
const watchdog = `import { isMainThread } from 'node:worker_threads';
if (isMainThread) setTimeout(() => {
  process.stderr.write('it has not ended in time, and is kept alive by ' + process.getActiveResourcesInfo().join(', ') + '\\n');
  process.exit(1);
}, ${fileTimeout} + 1000).unref();`;

/** @param files absolute paths */
async function runTests(files: readonly string[], sum: Sum): Promise<void> {
  const results = new Map<string, FileResult>();
  const of = (file: string | undefined): FileResult => {
    const key = file ?? '';
    let result = results.get(key);
    if (result === undefined) {
      result = { passed: 0, failed: 0, skipped: 0, started: performance.now(), failures: [], output: [] };
      results.set(key, result);
    }
    return result;
  };
  // Names of the suites that the test is in, by file: a failure is shown with its whole path.
  const path = new Map<string, string[]>();
  const names = (file: string | undefined, nesting: number, name: string): string => {
    const stack = path.get(file ?? '') ?? [];
    stack.length = nesting;
    stack[nesting] = name;
    path.set(file ?? '', stack);
    return stack.slice(0, nesting + 1).join(' > ');
  };

  const execArgv = ['--import', `data:text/javascript,${encodeURIComponent(watchdog)}`];
  const stream = run({ files: [...files], cwd: root, concurrency: atOnce, timeout: fileTimeout, signal: interrupted.signal, execArgv });
  for await (const event of stream) {
    switch (event.type) {
      case 'test:start':
        names(entry(event.data), event.data.nesting, event.data.name);
        break;
      case 'test:pass': {
        const result = of(entry(event.data));
        if (event.data.skip !== undefined || event.data.todo !== undefined) result.skipped++;
        else if (event.data.details.type === 'test') result.passed++;
        break;
      }
      case 'test:fail': {
        // A suite fails because of a test in it, which is counted and shown by itself.
        const error = event.data.details.error;
        if (error.failureType === 'subtestsFailed') break;
        const result = of(entry(event.data));
        result.failed++;
        result.failures.push(describeFailure(names(entry(event.data), event.data.nesting, event.data.name), error));
        break;
      }
      case 'test:stderr':
        of(entry(event.data)).output.push(event.data.message);
        break;
      case 'test:diagnostic':
        // Such as an error thrown after its test has ended.
        if (event.data.level !== 'info' || event.data.message.startsWith('Error'))
          console.log(`${relative(root, entry(event.data) ?? root)}: ${event.data.message}`);
        break;
      case 'test:summary': {
        const file = entry(event.data);
        if (file === undefined) break;
        const result = of(file);
        report(relative(root, file), result, event.data.duration_ms);
        sum.passed += result.passed;
        sum.failed += result.failed;
        sum.skipped += result.skipped;
        results.delete(file);
        break;
      }
    }
  }
  // What no summary came for: a file that could not even be loaded, say.
  for (const [file, result] of results) {
    if (result.failed === 0) continue;
    report(file === '' ? '(no file)' : relative(root, file), result, performance.now() - result.started);
    sum.failed += result.failed;
  }
}

/** It is a run of its own, in namespaces of its own, whose last line is a sum as well. */
async function runClusterTier(sum: Sum): Promise<void> {
  if (interrupted.signal.aborted) return;
  const child = spawn(process.execPath, ['test-e2e/run.ts'], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  interrupted.signal.addEventListener('abort', () => child.kill());
  let last = '';
  for await (const line of createInterface({ input: child.stdout })) {
    if (last !== '') console.log(last);
    last = line;
  }
  const [, passed, failed, skipped] = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/.exec(last) ?? [];
  if (passed === undefined) {
    if (last !== '') console.log(last);
    console.log('FAILED  the cluster tier ended without a sum');
    sum.failed++;
    return;
  }
  sum.passed += Number(passed);
  sum.failed += Number(failed);
  sum.skipped += Number(skipped ?? 0);
}

function report(name: string, result: FileResult, took: number): void {
  const skipped = result.skipped > 0 ? `, ${result.skipped} skipped` : '';
  if (result.failed === 0) {
    console.log(`ok      ${name} (${result.passed} tests${skipped}, ${seconds(took)})`);
    return;
  }
  console.log(`FAILED  ${name} (${result.passed} passed, ${result.failed} failed${skipped}, ${seconds(took)})`);
  for (const failure of result.failures) console.log(failure);
  const output = result.output.join('').trim();
  if (output !== '') console.log(`  it wrote:\n${output.replace(/^/gm, '    ')}`);
}

/** Place among the files, the longest first. */
function rank(file: string): number {
  const at = LONG.indexOf(file);
  return at < 0 ? LONG.length : at;
}

/** The test file; `file` is where a test is written, which may be a suite that several files share. */
function entry(data: { readonly file?: string; readonly entryFile?: string }): string | undefined {
  return data.entryFile ?? data.file;
}

const sum: Sum = { passed: 0, failed: 0, skipped: 0 };
const checks: Promise<void>[] = [];
if (patterns.length === 0) {
  // Tests need what is built. What lint and the type check have to say can come while they run, which begin by waiting.
  await check('build', 'make', ['--no-print-directory', 'build'], sum);
  checks.push(check('lint', 'make', ['--no-print-directory', 'lint'], sum), check('type check', 'make', ['--no-print-directory', 'types'], sum));
}
const files = globSync(patterns.length === 0 ? everything : patterns, { cwd: root, exclude: ['**/node_modules/**'] })
  .sort((left, right) => rank(left) - rank(right) || (left < right ? -1 : 1))
  .map((file) => resolve(root, file));
const clusterTier = patterns.length === 0 ? runClusterTier(sum) : undefined;
if (files.length > 0) await runTests(files, sum);
await Promise.all([clusterTier, ...checks]);
if (sum.passed + sum.failed + sum.skipped === 0) {
  console.log(`no test file fits ${patterns.join(' ')}`);
  sum.failed++;
}
console.log(`${sum.passed} passed, ${sum.failed} failed${sum.skipped > 0 ? `, ${sum.skipped} skipped` : ''}`);
process.exitCode = sum.failed === 0 ? 0 : 1;
