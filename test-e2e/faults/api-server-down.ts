/** The API server is away: for those who serve nothing changes, and who starts then must wait for it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Findings, seconds } from '../../test/faults/findings.ts';
import { ask } from '../cluster/client.ts';
import { Balancer } from '../cluster/tcp-proxy.ts';
import { type Fault, memoryWhenWarm, sumOf } from './fault.ts';
import { hostOf, launch, loadOn, route, serve, startServing, timeUntil, until } from './scene.ts';

/** Milliseconds within which everything is up to date after the server's return. */
const CONVERGED = 5000;

export const apiServerDown: Fault = {
  number: 8,
  name: 'API server down',
  passes: '0 failed requests; /readyz stays 200; up to date within 5 s of its return',
  async run(stage) {
    const { plane, cluster, measure, tell } = stage;
    const outage = measure.full ? measure.minutes * 60_000 : 12_000;
    const findings = new Findings(`API server killed for ${measure.full ? `${measure.minutes} min` : seconds(outage)} under load, a route added at its return`);
    await serve(stage, 'steady');
    const gateway = await startServing(stage, 'steady');
    const load = loadOn(stage, gateway, 'steady');
    const memory = await memoryWhenWarm(stage, gateway, load);

    tell(`the API server is down for ${seconds(outage)}`);
    await plane.stopApiServer();
    let unready = 0;
    for (const end = Date.now() + outage; Date.now() < end; await sleep(200)) if ((await gateway.adminGet('/readyz')).status !== 200) unready++;
    findings.check(unready === 0, `/readyz failed ${unready} times`);
    const line = gateway.log.find(({ msg }) => msg === 'the API server cannot be read');
    findings.check(line !== undefined && (await sumOf(gateway, 'tidegate_source_errors_total')) > 0, `${line === undefined ? 'not ' : ''}logged and counted`);

    tell('the API server comes back');
    await plane.startApiServer();
    const returned = Date.now();
    await cluster.apply([route(stage, 'added', 'steady')]);
    const took = await timeUntil(gateway, { host: hostOf('added') }, (answer) => answer.service === 'steady', returned);
    let last = '';
    const synced = async (): Promise<boolean> => {
      const { body } = await gateway.adminGet('/metrics');
      const open = [...body.matchAll(/^tidegate_source_synced\{resource="([^"]+)"\} 0$/gm)].map(([, resource]) => String(resource));
      // The kind is not installed here, nor in most clusters.
      const late = open.filter((resource) => !resource.includes('referencegrants'));
      if (late.length > 0) last = `, ${late.join(' and ')} last`;
      return late.length === 0;
    };
    await until(synced, 'every resource to be read again');
    const all = Date.now() - returned;
    findings.checkTime(
      stage,
      took <= CONVERGED && all <= CONVERGED,
      `new route served ${seconds(took)}, every resource read again ${seconds(all)} after the return${last}`,
    );
    await gateway.untilLogged('the API server is read again');
    await load.more(100);
    await load.stop();
    findings.checkLoad(load);
    findings.checkAlive(gateway);
    if (measure.full) await findings.checkMemory(gateway, memory);
    return findings;
  },
};

export const startedWithoutApiServer: Fault = {
  number: 9,
  name: 'Restart while the API server is down',
  passes: 'not ready and never an empty table; ready once it is back; 0 failed requests through a balancer that follows /readyz',
  async run(stage) {
    const { plane, measure, tell } = stage;
    const outage = measure.full ? 60_000 : 5000;
    const findings = new Findings(`one of two replicas restarted while the API server was down for ${seconds(outage)}`);
    await serve(stage, 'steady');
    const first = await startServing(stage, 'steady');
    const leaving = await startServing(stage, 'steady', { args: ['--drain-delay', '3s'] });
    const balancer = await Balancer.start(stage.lifetime, [first, leaving]);
    const load = loadOn(stage, balancer, 'steady');
    await load.more(100);

    tell(`the API server is down for ${seconds(outage)}, a replica restarts`);
    await plane.stopApiServer();
    findings.check((await leaving.stop()) === 0, `the old replica ended with exit code ${leaving.process.exitCode}`);
    balancer.remove(leaving);
    const second = launch(stage);
    balancer.add(second);
    await second.until(async () => (await second.adminGet('/readyz')).status !== 0, 'answer of its admin port');
    let ready = 0;
    const answers = new Set<number>();
    for (const end = Date.now() + outage; Date.now() < end; await sleep(50)) {
      const { status } = await second.adminGet('/readyz');
      if (status !== 503) ready++;
      const answer = await ask(second, { host: hostOf('steady') }).catch(() => undefined);
      if (answer !== undefined) answers.add(answer.status);
    }
    findings.check(ready === 0, `/readyz was ${ready === 0 ? '503 throughout' : `not 503 ${ready} times`}`);
    findings.check(answers.size === 0, answers.size === 0 ? 'it took no request' : `it answered requests with ${[...answers].join(', ')}`);

    tell('the API server comes back');
    await plane.startApiServer();
    const returned = Date.now();
    await second.untilReady();
    findings.note(`ready ${seconds(Date.now() - returned)} after the return`);
    const { status } = await ask(second, { host: hostOf('steady') });
    findings.check(status === 200, `its first answer was ${status}`);
    await load.more(100);
    await load.stop();
    findings.checkLoad(load, balancer);
    for (const gateway of [first, second]) findings.checkAlive(gateway);
    return findings;
  },
};
