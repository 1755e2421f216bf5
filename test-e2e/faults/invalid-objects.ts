/** Thousands of objects that the API server takes and that can't be served. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Findings, seconds } from '../../test/faults/findings.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { memoryWhenWarm, type PeacefulFault, sumOf } from './fault.ts';
import { loadOn, route, serve, startServing } from './scene.ts';
import { inParallel } from './volume.ts';

/** As the status writer has them: a second, and at once. */
const RATE = 20;
const BURST = 50;
/** What a scrape that is late by a second may see more. */
const SLACK = RATE;
/** Milliseconds over which the rate is taken. */
const WINDOW = 10_000;

export const invalidObjects: PeacefulFault = {
  number: 13,
  name: 'Invalid objects in thousands',
  passes:
    'valid routes untouched (0 failed requests); every invalid one has its status; writes at most 20 a second after 50 at once, of statuses and of Events each',
  async run(stage) {
    const { cluster, namespace, measure, tell } = stage;
    const count = measure.full ? 5000 : 100;
    const findings = new Findings(`${count} ApiRoutes with a regular expression that does not compile, made while a valid one served, then deleted`);
    await serve(stage, 'steady');
    const gateway = await startServing(stage, 'steady');
    await gateway.untilLogged('this replica leads');
    const load = loadOn(stage, gateway, 'steady');
    const memory = await memoryWhenWarm(stage, gateway, load);

    tell(`making ${count} invalid objects`);
    const matches = [{ path: { type: 'RegularExpression', value: '(' } }];
    const objects = Array.from({ length: count }, (_, index) =>
      route(stage, `bad-${index}`, 'steady', { rules: [{ matches, backendRefs: [{ name: 'steady', port: 80 }] }] }),
    );
    const since = Date.now();
    let madeAt: number | undefined;
    const made = inParallel(objects, (object) => cluster.api.create(object)).then(() => {
      madeAt = Date.now();
    });

    const fastest = { statuses: 0, events: 0 };
    const samples: { readonly at: number; readonly statuses: number; readonly events: number }[] = [];
    const sample = async (): Promise<number> => {
      const statuses = await sumOf(gateway, 'tidegate_status_writes_total{kind="ApiRoute",result="written"}');
      const events = await sumOf(gateway, 'tidegate_status_writes_total{kind="Event",result="written"}');
      const now = { at: Date.now(), statuses, events };
      samples.push(now);
      const before = samples.findLast(({ at }) => at <= now.at - WINDOW);
      if (before !== undefined) {
        for (const what of ['statuses', 'events'] as const) fastest[what] = Math.max(fastest[what], ((now[what] - before[what]) / (now.at - before.at)) * 1000);
      }
      return Math.min(statuses, events);
    };
    const patience = (count / RATE) * 1000 * 2 + 120_000;
    for (let told = Date.now(); (await sample()) < count; await sleep(500)) {
      if (madeAt !== undefined && Date.now() - madeAt > patience) break;
      if (Date.now() - told < 30_000) continue;
      told = Date.now();
      tell(`${samples.at(-1)?.statuses} statuses and ${samples.at(-1)?.events} Events written`);
    }
    await made;
    findings.note(`made in ${seconds((madeAt ?? since) - since)}`);
    const took = Date.now() - since;
    const routes = ((await cluster.api.call('GET', `/apis/tidegate.dev/v1alpha1/namespaces/${namespace}/apiroutes`)).body.items ?? []) as KubernetesObject[];
    const told = routes.filter(({ status }) =>
      (status?.conditions ?? []).some((one: { type: string; status: string }) => one.type === 'Accepted' && one.status === 'False'),
    ).length;
    findings.check(told === count, `${told} of ${count} have Accepted=False, after ${seconds(took)}`);
    const most = RATE + (BURST + SLACK) / (WINDOW / 1000);
    const total = samples.at(-1)?.statuses ?? 0;
    if (samples.some(({ at }) => at - since > WINDOW)) {
      const figures = `${fastest.statuses.toFixed(0)} statuses and ${fastest.events.toFixed(0)} Events a second`;
      findings.check(Math.max(fastest.statuses, fastest.events) <= most, `at most ${figures}, in any 10 s`);
    }
    findings.check(total <= BURST + SLACK + (RATE * took) / 1000, `${total} writes of statuses in all`);

    tell('deleting them');
    await inParallel(objects, (object) => cluster.api.delete(object));
    await load.more(100);
    await load.stop();
    findings.checkLoad(load);
    findings.checkAlive(gateway);
    if (measure.full) await findings.checkMemory(gateway, memory);
    return findings;
  },
};
