/** Watches that cannot go on where they were, and watches that say nothing any more. */
import { Findings, seconds } from '../../test/faults/findings.ts';
import { type Fault, sumOf } from './fault.ts';
import { detour, hostOf, loadOn, route, serve, startServing, timeUntil } from './scene.ts';

const ROUNDS = 5;

export const compaction: Fault = {
  number: 10,
  name: 'Watch 410, etcd compaction',
  passes: 'lists again, with no flap of what stayed (0 failed requests) and no missed deletion',
  async run(stage) {
    const { plane, cluster, measure, tell } = stage;
    const rounds = measure.full ? ROUNDS : 1;
    const findings = new Findings(`${rounds} times: watches cut, a route deleted and one added meanwhile, etcd compacted, API server restarted`);
    await serve(stage, 'steady');
    const { proxy, kubeconfig } = await detour(stage);
    const gateway = await startServing(stage, 'steady', { kubeconfig });
    const load = loadOn(stage, gateway, 'steady');
    let slowest = 0;
    for (let round = 0; round < rounds; round++) {
      tell(`round ${round + 1} of ${rounds}`);
      const [doomed, added] = [route(stage, `doomed-${round}`, 'steady'), route(stage, `added-${round}`, 'steady')];
      await cluster.apply([doomed]);
      await timeUntil(gateway, { host: hostOf(doomed.metadata.name) }, ({ status }) => status === 200, Date.now());
      proxy.refuse();
      proxy.cut();
      await cluster.api.delete(doomed);
      await cluster.apply([added]);
      await plane.compact();
      // Its cache of events would still know what etcd has forgotten.
      await plane.restartApiServer();
      proxy.accept();
      const since = Date.now();
      const gone = timeUntil(gateway, { host: hostOf(doomed.metadata.name) }, ({ status }) => status === 404, since);
      const come = timeUntil(gateway, { host: hostOf(added.metadata.name) }, ({ status }) => status === 200, since);
      slowest = Math.max(slowest, ...(await Promise.all([gone, come])));
    }
    findings.note(`deletion and addition seen at most ${seconds(slowest)} after the API server could be reached`);
    const { body } = await gateway.adminGet('/metrics');
    const expired = body.split('\n').filter((line) => /^tidegate_source_errors_total\{.*reason="(Expired|Gone)".*\} [1-9]/.test(line));
    findings.check(expired.length > 0, `410 on ${expired.length} resources`);
    await load.more(100);
    await load.stop();
    findings.checkLoad(load);
    findings.checkAlive(gateway);
    return findings;
  },
};

/** As the source has it: a watch without a byte for 90 s is begun anew. Milliseconds, with what a connection takes. */
const NOTICED = 100_000;

/** At the full size alone: in `make test` the source has a shorter time-out (api-server.test.ts). */
export const silentWatch: Fault = {
  number: 11,
  name: 'A watch stalls silently',
  passes: 'noticed after 90 s without a byte and read again, 0 failed requests',
  async run(stage) {
    const { cluster, tell } = stage;
    const findings = new Findings(
      'every connection to the API server silenced by a proxy that passes nothing on and closes nothing; a route added, one deleted',
    );
    await serve(stage, 'steady');
    const { proxy, kubeconfig } = await detour(stage);
    const doomed = route(stage, 'doomed', 'steady');
    await cluster.apply([doomed]);
    const gateway = await startServing(stage, 'steady', { kubeconfig });
    await timeUntil(gateway, { host: hostOf('doomed') }, ({ status }) => status === 200, Date.now());
    const load = loadOn(stage, gateway, 'steady');
    await load.more(100);
    tell('every watch is silent now, which takes up to 90 s to notice');
    proxy.silence();
    const since = Date.now();
    await cluster.api.delete(doomed);
    await cluster.apply([route(stage, 'added', 'steady')]);
    const gone = timeUntil(gateway, { host: hostOf('doomed') }, ({ status }) => status === 404, since, 2 * NOTICED);
    const come = timeUntil(gateway, { host: hostOf('added') }, ({ status }) => status === 200, since, 2 * NOTICED);
    const took = Math.max(...(await Promise.all([gone, come])));
    findings.checkTime(stage, took <= NOTICED, `both served ${seconds(took)} after the silence began`);
    const { body } = await gateway.adminGet('/metrics');
    findings.check(
      /^tidegate_source_errors_total\{.*reason="TimedOut".*\} [1-9]/m.test(body),
      `${await sumOf(gateway, 'tidegate_source_errors_total')} time-outs counted`,
    );
    await load.more(100);
    await load.stop();
    findings.checkLoad(load);
    findings.checkAlive(gateway);
    return findings;
  },
};
