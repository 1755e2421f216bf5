/** Endpoints that come and go under load. */
import { setTimeout as sleep } from 'node:timers/promises';
import { FaultyBackend, portsOf } from './backend.ts';
import { type DataPlaneFault, manifestsOf, serve, Watched } from './fault.ts';
import { Findings } from './findings.ts';

export const endpointRemoved: DataPlaneFault = {
  number: 15,
  name: 'An endpoint removed under load',
  passes: '0 errors; what is under way at it ends there',
  async run(place) {
    const rounds = place.measure.full ? 30 : 3;
    const findings = new Findings(`${rounds} times one of three endpoints left the EndpointSlice, was stopped when its last answer was out, and came back`);
    const { gateway, backends } = await serve(place);
    const all = [...backends];
    const watched = new Watched(place, gateway);
    await watched.quiet();
    for (let round = 0; round < rounds; round++) {
      place.tell(`round ${round + 1} of ${rounds}`);
      const leaving = all.shift() as FaultyBackend;
      await gateway.write('all.yaml', manifestsOf(portsOf(all), {}));
      // Two answers in a row of which none is its own can be chance; a second without one can't.
      for (let seen = -1; seen !== leaving.requests; ) {
        seen = leaving.requests;
        await watched.more(200, 60);
        await sleep(200);
      }
      await leaving.stop();
      await watched.more(100, 20);
      all.push(await FaultyBackend.start(place.lifetime));
      await gateway.write('all.yaml', manifestsOf(portsOf(all), {}));
      const fresh = all.at(-1) as FaultyBackend;
      while (fresh.requests === 0) await watched.more(20);
    }
    await watched.judge(findings);
    return findings;
  },
};
