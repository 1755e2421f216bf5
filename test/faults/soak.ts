/** Hours in short: load, reloads each second, endpoints that come and go. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { FaultyBackend, portsOf } from './backend.ts';
import { type DataPlaneFault, manifestsOf, serve, Watched } from './fault.ts';
import { Findings, residentMemory } from './findings.ts';

/** Of the time that is spent: until then heaps grow to their size. */
const WARM_UP = 0.1;
const CLIENTS = 12;

export const soak: DataPlaneFault = {
  number: 27,
  name: 'Soak',
  passes: '0 failed requests, memory flat within 10 %',
  async run(place) {
    const minutes = place.measure.full ? place.measure.soakMinutes : 0.1;
    const { gateway, backends } = await serve(place);
    const watched = new Watched(place, gateway, { clients: CLIENTS });
    await watched.quiet();
    const all = [...backends];
    const began = performance.now();
    const [answersBefore, cpuBefore] = [total(watched), await cpuSeconds(gateway.process.pid as number)];
    let memory: number | undefined;
    let reloads = 0;
    for (let elapsed = 0; elapsed < minutes * 60_000; elapsed = performance.now() - began) {
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
      if (reloads % 60 === 0) place.tell(`${reloads} reloads, ${total(watched)} requests, ${(await residentMemory(gateway)).toFixed(0)} MiB`);
    }
    const seconds = (performance.now() - began) / 1000;
    const rate = (total(watched) - answersBefore) / seconds;
    const cpu = ((await cpuSeconds(gateway.process.pid as number)) - cpuBefore) / seconds;
    const findings = new Findings(
      `${(seconds / 60).toFixed(0)} min of ${rate.toFixed(0)} requests/s by HTTP/1.1 and HTTP/2 (${(cpu * 100).toFixed(0)} % of a core), ${reloads} reloads`,
    );
    if (place.measure.full && memory !== undefined) await findings.checkMemory(gateway, memory, memory * 1.1);
    await watched.judge(findings);
    return findings;
  },
};

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
