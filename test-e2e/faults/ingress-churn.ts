/** Ingresses by the thousand that are edited all the time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Findings, residentMemory, seconds } from '../../test/faults/findings.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { percentile } from '../percentile.ts';
import { type PeacefulFault, type Stage, sumOf } from './fault.ts';
import { loadOn, serve, startServing, timeUntil, until } from './scene.ts';
import { inParallel } from './volume.ts';

/** Edits a second besides those that are timed. */
const EDITS = 20;
const PROPAGATION = 5000;
const DELAY = 50;

function ingress({ namespace }: Stage, index: number, path: string): KubernetesObject {
  const paths = [{ path, pathType: 'Prefix', backend: { service: { name: 'steady', port: { number: 80 } } } }];
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name: `churn-${index}`, namespace },
    spec: { ingressClassName: 'tidegate', rules: [{ host: `churn-${index}.faults.test`, http: { paths } }] },
  };
}

export const ingressChurn: PeacefulFault = {
  number: 14,
  name: 'Ingresses churned',
  passes: 'propagation p99 under 5 s; event-loop delay p99 of the workers under 50 ms; 0 failed requests',
  async run(stage) {
    const { cluster, measure, tell } = stage;
    const count = measure.full ? 10_000 : 100;
    const probes = measure.full ? 200 : 10;
    const findings = new Findings(
      `${count} Ingresses made, then ${EDITS} of them edited a second and ${probes} more one after the other, each timed from the answer of the API server to the first request served`,
    );
    await serve(stage, 'steady');
    const gateway = await startServing(stage, 'steady', { args: ['--publish-address', '203.0.113.7'] });
    const load = loadOn(stage, gateway, 'steady');
    await load.more(100);
    /** Milliseconds: p99 of each worker since the last call, the worse of both. */
    const delay = async (): Promise<number> => {
      const { body } = await gateway.adminGet('/metrics');
      return Math.max(...[...body.matchAll(/^tidegate_event_loop_delay_seconds\{thread="worker-\d+"\} (\S+)$/gm)].map(([, value]) => Number(value) * 1000));
    };
    const quiet = await delay();

    tell(`making ${count} Ingresses`);
    await inParallel(
      Array.from({ length: count }, (_, index) => ingress(stage, index, '/first')),
      (object) => cluster.api.create(object),
    );
    await until(async () => (await sumOf(gateway, 'tidegate_config_objects{kind="Ingress",state="valid"}')) === count, `${count} Ingresses`);
    const whileMade = await delay();

    tell(`${probes} edits are timed among others`);
    let churning = true;
    let edits = 0;
    const churn = (async () => {
      for (; churning; await sleep(1000 / EDITS)) {
        // Those that are timed are the first ones.
        const index = probes + (edits % Math.max(1, count - probes));
        await cluster.api.apply(ingress(stage, index, `/edit-${edits++}`));
      }
    })();
    const times: number[] = [];
    try {
      for (let index = 0; index < probes; index++) {
        await cluster.api.apply(ingress(stage, index, '/probe'));
        times.push(await timeUntil(gateway, { host: `churn-${index}.faults.test`, path: '/probe' }, ({ status }) => status === 200, Date.now()));
      }
    } finally {
      churning = false;
      await churn;
    }
    const whileEdited = await delay();
    await load.more(100);
    await load.stop();
    const p99 = percentile(times, 99);
    findings.checkTime(stage, p99 < PROPAGATION, `propagation p50 ${seconds(percentile(times, 50))}, p99 ${seconds(p99)}, with ${edits} other edits`);
    const worst = Math.max(whileMade, whileEdited);
    const figures = `event-loop delay p99 ${whileMade.toFixed(1)} ms while they were made, ${whileEdited.toFixed(1)} ms while they were edited (quiet: ${quiet.toFixed(1)} ms)`;
    findings.checkTime(stage, worst < DELAY, figures);
    if (measure.full) findings.note(`${(await residentMemory(gateway)).toFixed(0)} MiB`);
    findings.checkLoad(load);
    findings.checkAlive(gateway);
    return findings;
  },
};
