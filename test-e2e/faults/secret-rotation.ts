/** Certificates that are replaced while clients shake hands all the time, and one that can't be used. */

import { Findings, seconds } from '../../test/faults/findings.ts';
import { type CertificatePair, makeCertificate, tlsSecret } from '../cluster/certificates.ts';
import { ask } from '../cluster/client.ts';
import { percentile } from '../percentile.ts';
import { type PeacefulFault, sumOf } from './fault.ts';
import { hostOf, loadOn, serve, startServing, timeUntil } from './scene.ts';

const NAME = 'rotated';
/** Milliseconds within which a new certificate is shown. */
const LIVE = 2000;

export const secretRotation: PeacefulFault = {
  number: 12,
  name: 'Secret rotated mid-handshake',
  passes: '0 failed handshakes; new certificate within 2 s; a bad one keeps the old',
  async run(stage) {
    const { cluster, namespace, measure, tell } = stage;
    const rotations = measure.full ? 30 : 3;
    const host = hostOf(NAME);
    const findings = new Findings(`Secret replaced ${rotations} times and made bad 3 times, while 8 clients made a full handshake for every request`);
    const put = (pair: CertificatePair): Promise<void> => cluster.apply([tlsSecret(namespace, NAME, pair)]);
    const first = makeCertificate(host, 'generation-0');
    await put(first);
    await serve(stage, NAME, { tls: { secretName: NAME } });
    const gateway = await startServing(stage, NAME);
    const load = loadOn(stage, gateway, NAME, { port: gateway.https, serverName: host, perConnection: 1 });
    await load.more(50);

    tell(`${rotations} rotations`);
    const times: number[] = [];
    for (let generation = 1; generation <= rotations; generation++) {
      const pair = makeCertificate(host, `generation-${generation}`);
      await put(pair);
      times.push(await timeUntil(gateway, { host, tls: true }, ({ certificate }) => certificate === `generation-${generation}`, Date.now()));
    }
    const slowest = Math.max(...times);
    findings.checkTime(stage, slowest <= LIVE, `new certificate after ${seconds(percentile(times, 50))} (median), ${seconds(slowest)} (slowest)`);

    tell('bad Secrets');
    const other = makeCertificate(host, 'other');
    const bad: readonly CertificatePair[] = [
      { cert: first.cert, key: other.key },
      { cert: 'no certificate', key: first.key },
      { cert: first.cert, key: '' },
    ];
    const shown = new Set<string | undefined>();
    for (const [index, pair] of bad.entries()) {
      const told = gateway.log.length;
      await put(pair);
      await gateway.untilLogged('object has a problem', (line) => gateway.log.indexOf(line) >= told);
      shown.add((await ask(gateway, { host, tls: true })).certificate);
      await load.more(20);
      shown.add((await ask(gateway, { host, tls: true })).certificate);
      const generation = `mended-${index}`;
      await put(makeCertificate(host, generation));
      await timeUntil(gateway, { host, tls: true }, ({ certificate }) => certificate === generation, Date.now());
    }
    const kept = [`generation-${rotations}`, 'mended-0', 'mended-1'];
    const isKept = shown.size === kept.length && kept.every((generation) => shown.has(generation));
    findings.check(isKept, isKept ? 'each bad Secret kept the certificate before it' : `with bad Secrets ${[...shown].join(', ')} were shown`);
    await load.stop();
    findings.checkLoad(load);
    const failed = await sumOf(gateway, 'tidegate_tls_handshake_failures_total');
    findings.check(failed === 0, `${failed} failed handshakes counted`);
    findings.checkAlive(gateway);
    return findings;
  },
};
