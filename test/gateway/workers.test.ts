/** Workers that die while others serve: what clients, probes and metrics see of it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { answering, Backend } from './backend.ts';
import { get } from './client.ts';
import { GatewayUnderTest, type LogLine } from './gateway.ts';
import { endWith } from './lifetime.ts';
import { catchAll, service } from './manifests.ts';
import { plantedFault } from './planted-fault.ts';

interface Mortal {
  readonly gateway: GatewayUnderTest;
  /** How long it took to start, in milliseconds. */
  readonly startTime: number;
  /** Ends a worker; resolves with the time of the log line that tells of it. */
  kill(worker: number): Promise<number>;
  /** Resolves with the time when the worker has served that often. */
  serves(worker: number, times: number): Promise<number>;
  total(): Promise<number>;
  metric(name: string): Promise<number>;
}

async function startMortal(t: TestContext, args: readonly string[]): Promise<Mortal> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-mortal-'));
  endWith(t, () => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'preload.mjs'), plantedFault);
  const backend = await Backend.start(t, answering('ok'));
  const manifests = { 'all.yaml': service('web', [backend.port]) + catchAll('web') };
  const startedAt = Date.now();
  const gateway = await GatewayUnderTest.start(t, manifests, args, { NODE_OPTIONS: `--import=${pathToFileURL(join(folder, 'preload.mjs'))}` });
  const timeOf = (line: LogLine | undefined): number => Date.parse(String(line?.time));
  const sum = async (line: RegExp): Promise<number> => {
    const { body } = await get(gateway.admin, '/metrics');
    return [...body.matchAll(line)].reduce((total, [, value]) => total + Number(value), 0);
  };
  return {
    gateway,
    startTime: timeOf(gateway.log.find((line) => line.msg === 'serving')) - startedAt,
    async kill(worker) {
      const before = gateway.log.filter((line) => line.msg === 'worker died').length;
      writeFileSync(join(folder, `die-${worker}`), '');
      const line = await gateway.untilLogged('worker died', (entry) => entry.worker === worker && gateway.log.indexOf(entry) >= before);
      assert.match(String(line.error), /planted fault/);
      return timeOf(line);
    },
    async serves(worker, times) {
      const lines = () => gateway.log.filter((line) => line.msg === 'worker serves' && line.worker === worker);
      await gateway.untilLogged('worker serves', () => lines().length >= times);
      return timeOf(lines()[times - 1]);
    },
    total: () => sum(/^tidegate_requests_total\{[^}]*code="200"[^}]*\} (\d+)$/gm),
    metric: (name) => sum(new RegExp(`^${name} (\\d+)$`, 'gm')),
  };
}

for (const wire of ['stream', 'handle']) {
  test(`a worker that dies is replaced at once, and the other one serves meanwhile: ${wire}`, async (t) => {
    const { gateway, startTime, kill, serves, total, metric } = await startMortal(t, ['--workers', '2', '--wire', wire]);
    let answered = 0;
    const ask = async (): Promise<void> => {
      const answer = await get(gateway.http, '/');
      assert.deepEqual([answer.status, answer.body], [200, 'ok']);
      answered++;
    };
    for (let index = 0; index < 40; index++) await ask();
    // What a worker had counted up to the last scrape outlives it.
    assert.equal(await total(), answered);
    assert.equal(await metric('tidegate_worker_restarts_total'), 0);

    const died = await kill(0);
    let replaced = false;
    const serving = serves(0, 2).finally(() => {
      replaced = true;
    });
    let cut = 0;
    for (let last = answered, asked = 0; !replaced || asked < 20; asked++) {
      // A connection that the kernel had given to the dead one goes with its thread, which a busy machine ends later: one of a
      // client that asks one after the other.
      await ask().catch((error: NodeJS.ErrnoException) => {
        assert.equal(error.code, 'ECONNRESET', String(error));
        assert.equal(++cut, 1);
      });
      const { status, body } = await get(gateway.admin, '/readyz');
      assert.equal(status, 200, body);
      const now = await total();
      assert.ok(now >= last && now <= answered, `${last}, then ${now} of ${answered}`);
      last = now;
    }
    const took = (await serving) - died;
    // Two seconds are for a quiet machine, as `make faults` measures. How long threads take to start is the machine's, and may
    // change in between; whoever waited for something would wait longer than a start takes at the worst.
    assert.ok(took <= Math.max(15_000, 2 * startTime), `replaced after ${took} ms, started in ${startTime} ms`);

    for (let index = 0; index < 40; index++) await ask();
    assert.equal(await total(), answered);
    assert.equal(await metric('tidegate_worker_restarts_total'), 1);
    const { body } = await get(gateway.admin, '/metrics');
    for (const worker of [0, 1]) assert.match(body, new RegExp(`^tidegate_event_loop_delay_seconds\\{thread="worker-${worker}"\\} `, 'm'));
    assert.equal(gateway.log.filter((line) => line.level === 'error').length, 1);
  });
}

test('when every worker dies the gateway is not ready, then it serves again by the newest snapshot', async (t) => {
  const { gateway, kill, serves } = await startMortal(t, ['--workers', '1']);
  const { port } = await Backend.start(t, answering('new'));
  await gateway.write('all.yaml', service('web', [port]) + catchAll('web'));
  await gateway.until('/', (_status, body) => body === 'new');
  await kill(0);
  await serves(0, 2);
  assert.equal((await get(gateway.admin, '/readyz')).status, 200);
  assert.equal((await get(gateway.http, '/')).body, 'new');
});
