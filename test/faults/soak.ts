/** Hours in short: load, reloads each second, endpoints that come and go. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { FaultyBackend, portsOf } from './backend.ts';
import { type DataPlaneFault, manifestsOf, serve, Watched } from './fault.ts';
import { Findings, residentMemory, seconds } from './findings.ts';
import { SteadyLoad } from './steady-load.ts';

/** Of the time that is spent: until then heaps grow to their size. */
const WARM_UP = 0.1;
/** By each protocol, with a rest after each answer. */
const CLIENTS = 12;
/** Connections that bring what the clients do not, and that can bring more than a core serves. */
const CONNECTIONS = 64;
/** Requests a second of those, in a short run. */
const SHORT_RATE = 200;
/** Half load leaves a gateway that has one core idle for half of its time. */
const SHARE = 0.5;
/** Milliseconds of as many requests as are answered, before it is known how many a core serves; the second half is measured. */
const FULL_LOAD = 20_000;
/** Milliseconds. */
const CLIENTS_ALONE = 5000;
const CORE = 0;

export const soak: DataPlaneFault = {
  number: 27,
  name: 'Soak',
  passes: '0 failed requests, memory flat within 10 %',
  async run(place) {
    const { full } = place.measure;
    const minutes = full ? place.measure.soakMinutes : 0.1;
    const { gateway, backends } = await serve(place, full ? { limits: { core: CORE } } : {});
    const pid = gateway.process.pid as number;
    const watched = new Watched(place, gateway, { clients: CLIENTS });
    await watched.quiet();
    const load = SteadyLoad.start(place.lifetime, gateway.http, CONNECTIONS);
    const answers = (): number => total(watched) + load.answered + load.failed;
    let [rate, served] = [SHORT_RATE, ''];
    if (full) {
      load.setRate(Number.POSITIVE_INFINITY);
      await sleep(FULL_LOAD / 2);
      const top = await measure(pid, answers, FULL_LOAD / 2);
      load.setRate(0);
      const byClients = (await measure(pid, answers, CLIENTS_ALONE)).rate;
      // Where clients and backends can bring no full load, what an answer costs says what the core would serve.
      const most = top.rate / top.busy;
      rate = Math.max(0, most * SHARE - byClients);
      served = `, of ${(most * SHARE).toFixed(0)} asked for: half of the ${most.toFixed(0)} that its core serves (${top.rate.toFixed(0)} a second kept it busy for ${percent(top.busy)})`;
      place.tell(`at most ${most.toFixed(0)} requests/s on a core; ${byClients.toFixed(0)} come from ${CLIENTS} clients of each protocol`);
    }
    load.setRate(rate);
    const all = [...backends];
    let memory: number | undefined;
    let reloads = 0;
    const run = await measure(pid, answers, async (elapsed) => {
      // By turns an endpoint comes, a field of the route changes, an endpoint goes.
      if (reloads % 3 === 0) all.push(await FaultyBackend.start(place.lifetime));
      const leaving = reloads % 3 === 2 ? all.shift() : undefined;
      const rule = `filters: { responseHeaderModifier: { set: [{ name: x-generation, value: "${reloads}" }] } }`;
      await gateway.write('all.yaml', manifestsOf(portsOf(all), { rule }));
      reloads++;
      // Within a second the gateway has read it, and within another one every request that was under way is over.
      if (leaving !== undefined) setTimeout(() => void leaving.stop(), 3000).unref();
      await sleep(1000);
      if (memory === undefined && elapsed >= minutes * 60_000 * WARM_UP) memory = await residentMemory(gateway);
      if (reloads % 60 === 0) place.tell(`${reloads} reloads, ${answers()} requests, ${(await residentMemory(gateway)).toFixed(0)} MiB`);
      return elapsed < minutes * 60_000;
    });
    await load.stop();
    const findings = new Findings(
      `${run.seconds < 60 ? seconds(run.seconds * 1000) : `${(run.seconds / 60).toFixed(0)} min`} of ${run.rate.toFixed(0)} requests/s by HTTP/1.1 and HTTP/2 (${percent(run.busy)} of a core)${served}, ${reloads} reloads`,
    );
    if (full && memory !== undefined) await findings.checkMemory(gateway, memory, memory * 1.1);
    findings.checkLoad(load);
    await watched.judge(findings);
    return findings;
  },
};

interface Load {
  readonly seconds: number;
  /** Answers a second. */
  readonly rate: number;
  /** Cores that the process kept busy. */
  readonly busy: number;
}

/** @param during how many milliseconds, or what happens again and again, until it is false */
async function measure(pid: number, answers: () => number, during: number | ((elapsed: number) => Promise<boolean>)): Promise<Load> {
  const [began, answersBefore, cpuBefore] = [performance.now(), answers(), await cpuSeconds(pid)];
  if (typeof during === 'number') await sleep(during);
  else while (await during(performance.now() - began));
  const taken = (performance.now() - began) / 1000;
  return { seconds: taken, rate: (answers() - answersBefore) / taken, busy: ((await cpuSeconds(pid)) - cpuBefore) / taken };
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

function total(watched: Watched): number {
  return watched.traffics.reduce((sum, traffic) => sum + traffic.total, 0);
}

/** CPU time of a process so far. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // utime and stime, in ticks of which there are 100 a second on every Linux.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
