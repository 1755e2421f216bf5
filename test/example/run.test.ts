/** `make run` after its build: every command line that it prints works as printed, and an interrupt ends everything. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

const root = join(import.meta.dirname, '../..');
const sh = promisify(execFile);

/** Five at once, and one more for each two seconds that the requests took. */
function limitedSearches(output: string, seconds: number): void {
  const statuses = output.trimEnd().split('\n');
  assert.equal(statuses.length, 7, output);
  const passed = statuses.filter((status) => status === '200').length;
  assert.deepEqual(statuses.slice(0, 5), Array(5).fill('200'));
  assert.equal(passed + statuses.filter((status) => status === '429').length, 7, output);
  assert.ok(passed <= 5 + Math.floor(seconds / 2), `${passed} in ${seconds} s`);
}

/** What a printed line must give, in the order of the lines; the first pattern says which line it is. */
const expected: readonly (readonly [line: RegExp, output: RegExp | ((output: string, seconds: number) => void)])[] = [
  [/^curl http:\/\/shop\.localhost:\d+\/$/, /"backend": "web"/],
  [/shop\.localhost:\d+\/orders/, /"backend": "orders",[\s\S]*"path": "\/orders\/7"/],
  [/preview\.localhost/, /"backend": "orders-next"/],
  [/x-preview/, /"backend": "orders-next",[\s\S]*"path": "\/orders\/7"/],
  [/uniq -c/, /^ +1[6-9] +"backend": "orders",\n +[1-4] +"backend": "orders-next",\n$/],
  [/\/v1\/search/, limitedSearches],
  [/\/status/, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n\{"status":"up"\}$/],
  [
    /^curl http:.*\/home\/ada$/,
    /^\{"profile":\{"name":"Ada","email":"ada@example.com"\},"purchases":\[\{"item":"punched cards","total":12.5\},\{"item":"ink","total":3\}\],"hints":\[\],"missing":\["hints"\]\}$/,
  ],
  [/iPhone/, /^\{"name":"Ada","purchases":2,"last":"punched cards","partial":true\}$/],
  [/partner/, /^\{"totals":\[12.5,3\]\}$/],
  [/^curl -k https:/, /"x-forwarded-proto": "https"/],
  [/\/debug\/explain/, /example\/api\/orders/],
  [/\/metrics/, /^tidegate_requests_total\{.*route="Ingress\/example\/shop\/.*code="200".*\} \d+$/m],
];

describe('make run', () => {
  let example: ChildProcess;
  let output = '';
  const commands: string[] = [];

  before(async () => {
    example = spawn(process.execPath, ['scripts/run-example.ts', '--ports', 'free'], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    example.stderr?.on('data', (bytes: Buffer) => {
      output += bytes;
    });
    await new Promise<void>((resolve, reject) => {
      example.stdout?.on('data', (bytes: Buffer) => {
        output += bytes;
        if (output.includes('Ctrl-C ends it all')) resolve();
      });
      example.on('exit', () => reject(new Error(`ended too early:\n${output}`)));
    });
    for (const line of output.split('\n')) if (/^ {2}(curl|for) /.test(line)) commands.push(line.trim());
  });
  // An interrupt, for what it started would outlive it otherwise.
  after(async () => {
    if (example.exitCode !== null || example.signalCode !== null) return;
    const limit = setTimeout(() => example.kill('SIGKILL'), 20_000);
    example.kill('SIGINT');
    await once(example, 'exit');
    clearTimeout(limit);
  });

  test('prints as many requests as are known here', () => {
    assert.equal(commands.length, expected.length, commands.join('\n'));
  });

  for (const [index, [line, result]] of expected.entries()) {
    test(`line ${index + 1}, ${line}`, async () => {
      const command = commands[index] ?? '';
      assert.match(command, line);
      const startedAt = performance.now();
      const { stdout } = await sh('sh', ['-c', command]);
      if (result instanceof RegExp) assert.match(stdout, result);
      else result(stdout, (performance.now() - startedAt) / 1000);
    });
  }

  test('an interrupt ends the gateway and the backends', async () => {
    const children = readFileSync(`/proc/${example.pid}/task/${example.pid}/children`, 'utf8').trim().split(' ');
    assert.equal(children.length, 7);
    example.kill('SIGINT');
    const [code] = await once(example, 'exit');
    assert.equal(code, 0, output);
    for (const pid of children) assert.throws(() => process.kill(Number(pid), 0), { code: 'ESRCH' });
  });
});
