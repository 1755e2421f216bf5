/** Peers that misuse HTTP/2, while others go on. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { percentile } from '../../test-e2e/percentile.ts';
import { endWith } from '../gateway/lifetime.ts';
import { type DataPlaneFault, serve, Watched } from './fault.ts';
import { Findings } from './findings.ts';
import { ATTACKS, type Attacked, ENOUGH } from './flood-attacker.ts';

const ATTACKER = fileURLToPath(new URL('flood-attacker.ts', import.meta.url));
const ENHANCE_YOUR_CALM = 11;

export const floods: DataPlaneFault = {
  number: 26,
  name: 'Floods of HTTP/2',
  passes: "GOAWAY and close for each of them, flat memory, other clients' p99 at most doubled, 0 of their requests failed",
  async run(place) {
    // Long enough at full size that a percentile is one of some thousand requests.
    const duration = place.measure.full ? 5000 : 0;
    const names = ATTACKS.map(({ name }) => name).join(', ');
    const findings = new Findings(`${names}: each on one connection after the other${place.measure.full ? ' for 5 s' : ''}, under load`);
    const { gateway } = await serve(place);
    const watched = new Watched(place, gateway);
    await watched.quiet();
    await watched.more(2000, 50);
    const quiet = percentile(watched.latencies(), 99);
    for (const one of ATTACKS) {
      place.tell(one.name);
      const attacker = fork(ATTACKER, [String(gateway.http), one.name, String(duration)]);
      endWith(place.lifetime, () => attacker.kill());
      await once(attacker, 'message');
      // What its start has cost is no attack.
      await watched.more(200, 20);
      watched.latencies();
      const told = once(attacker, 'message');
      attacker.send('go');
      const [outcomes] = (await told) as [Attacked[]];
      const during = percentile(watched.latencies(), 99);
      const calm = outcomes.filter(({ code }) => code === ENHANCE_YOUR_CALM).length;
      const most = Math.max(...outcomes.map(({ sent }) => sent));
      findings.check(
        // Where the last bytes of an attack are still on their way, its own reset may take the GOAWAY away again before it is read.
        calm > 0 && most < ENOUGH,
        `${one.name}: ${calm} of ${outcomes.length} saw ENHANCE_YOUR_CALM, ended after ${(most / 1024).toFixed(0)} KiB at most, p99 ${quiet.toFixed(1)} to ${during.toFixed(1)} ms`,
      );
      findings.checkTime(place, !(during > 2 * quiet), `${one.name}: p99 of others ${(during / quiet).toFixed(1)} times`);
    }
    await watched.judge(findings);
    return findings;
  },
};
