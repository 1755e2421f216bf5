/** Workers that die of a fault in their code. */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { Findings, seconds } from '../../test/faults/findings.ts';
import { plantedFault } from '../../test/gateway/planted-fault.ts';
import { percentile } from '../percentile.ts';
import { type PeacefulFault, sumOf } from './fault.ts';
import { loadOn, serve, startServing } from './scene.ts';

const REPLACED = 2000;
const CLIENTS = 8;

export const workerKilled: PeacefulFault = {
  number: 24,
  name: 'A worker killed',
  passes: 'the other one serves, /readyz stays 200; replaced within 2 s; no request fails but those that the dead worker had',
  async run(stage) {
    const { measure, tell } = stage;
    const rounds = measure.full ? 10 : 2;
    const findings = new Findings(`${rounds} times an error thrown in one of two workers under load from ${CLIENTS} clients`);
    const folder = await mkdtemp(join(tmpdir(), 'planted-'));
    const module = join(folder, 'preload.mjs');
    await writeFile(module, plantedFault);
    await serve(stage, 'steady');
    const gateway = await startServing(stage, 'steady', { environment: { NODE_OPTIONS: `--import=${pathToFileURL(module)}` } });
    const load = loadOn(stage, gateway, 'steady', { clients: CLIENTS });
    await load.more(100);
    const times: number[] = [];
    let [unready, most] = [0, 0];
    for (let round = 0; round < rounds; round++) {
      tell(`round ${round + 1} of ${rounds}`);
      const worker = round % 2;
      const before = { log: gateway.log.length, failed: load.failed };
      await writeFile(join(folder, `die-${worker}`), '');
      const find = (msg: string) => gateway.log.slice(before.log).find((line) => line.msg === msg && line.worker === worker);
      await gateway.untilLogged('worker died', () => find('worker died') !== undefined);
      for (; find('worker serves') === undefined; await sleep(20)) if ((await gateway.adminGet('/readyz')).status !== 200) unready++;
      times.push(Date.parse(String(find('worker serves')?.time)) - Date.parse(String(find('worker died')?.time)));
      await load.more(100);
      most = Math.max(most, load.failed - before.failed);
    }
    await load.stop();
    findings.checkTime(
      stage,
      Math.max(...times) <= REPLACED,
      `replaced after ${seconds(percentile(times, 50))} (median), ${seconds(Math.max(...times))} (slowest)`,
    );
    findings.check(unready === 0, `/readyz failed ${unready} times`);
    // Each client has one request under way at most.
    findings.check(
      most <= CLIENTS,
      `at most ${most} requests failed with a worker, ${load.failed} of ${load.answered + load.failed} in all`,
      load.failures.join('; '),
    );
    const restarts = await sumOf(gateway, 'tidegate_worker_restarts_total');
    findings.check(restarts === rounds, `${restarts} restarts counted`);
    findings.checkAlive(gateway);
    return findings;
  },
};
