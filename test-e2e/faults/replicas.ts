/** Replicas that are told to go, and leaders that are gone without a word. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Findings, seconds } from '../../test/faults/findings.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { makeCertificate, tlsSecret } from '../cluster/certificates.ts';
import { askUntil } from '../cluster/client.ts';
import type { Gateway } from '../cluster/gateway.ts';
import { Balancer } from '../cluster/tcp-proxy.ts';
import type { PeacefulFault, Stage } from './fault.ts';
import { GrpcLoad, Http2Load } from './http2-load.ts';
import { hostOf, loadOn, route, serve, startServing, until } from './scene.ts';
import { serveGrpc, serveWebSockets } from './streaming-backends.ts';
import { WebSocketLoad } from './websocket-load.ts';

/** Milliseconds: the grace period of a pod. */
const GRACE = 30_000;

export const sigterm: PeacefulFault = {
  number: 23,
  name: 'SIGTERM under load',
  passes: '0 failed requests of clients that honour Connection: close, GOAWAY and the Close frame with 1001; exit code 0 within the grace period of 30 s',
  async run(stage) {
    const { cluster, namespace, lifetime, measure, tell } = stage;
    const rounds = measure.full ? 10 : 1;
    const host = hostOf('steady');
    const findings = new Findings(
      `${rounds} times one of two replicas behind a TCP balancer that follows /readyz restarted, under load by HTTP/1.1 (plain and TLS), HTTP/2 (TLS), WebSocket and gRPC (unary and streams)`,
    );
    await cluster.apply([tlsSecret(namespace, 'steady', makeCertificate(host))]);
    await serve(stage, 'steady', { tls: { secretName: 'steady' } });
    await serveGrpc(stage, 'calls');
    await serveWebSockets(stage, 'chat');
    const start = async (): Promise<Gateway> => {
      const gateway = await startServing(stage, 'steady', { args: ['--drain-delay', '4s'] });
      // A WebSocket server refuses what is none, and the gRPC service does not know the path.
      await askUntil(gateway, { host: hostOf('chat') }, ({ status }) => status === 426);
      await askUntil(gateway, { host: hostOf('calls') }, ({ status }) => status === 415);
      return gateway;
    };
    const replicas = [await start(), await start()];
    const balancer = await Balancer.start(lifetime, replicas);
    const http2 = new Http2Load(`https://${balancer.host}:${balancer.https}`, host).start(lifetime);
    const grpc = new GrpcLoad(`http://${balancer.host}:${balancer.http}`, hostOf('calls')).start(lifetime);
    const webSockets = WebSocketLoad.start(lifetime, balancer, hostOf('chat'));
    const loads = [
      { what: 'requests by HTTP/1.1', load: loadOn(stage, balancer, 'steady') },
      { what: 'requests by HTTP/1.1 over TLS', load: loadOn(stage, balancer, 'steady', { port: balancer.https, serverName: host, perConnection: 10 }) },
      { what: 'requests by HTTP/2', load: http2 },
      { what: 'WebSocket messages', load: webSockets },
      { what: 'gRPC calls', load: grpc },
    ];
    const more = (count: number): Promise<unknown> => Promise.all(loads.map(({ load }) => load.more(count)));
    await more(100);
    let slowest = 0;
    const codes = new Set<number | null>();
    for (let round = 0; round < rounds; round++) {
      tell(`restart ${round + 1} of ${rounds}`);
      const old = replicas.shift() as Gateway;
      const since = Date.now();
      codes.add(await old.stop());
      slowest = Math.max(slowest, Date.now() - since);
      balancer.remove(old);
      const next = await start();
      replicas.push(next);
      balancer.add(next);
      await balancer.untilReady(2);
      await more(50);
    }
    for (const { what, load } of loads) {
      await load.stop();
      findings.checkLoad(load, balancer, what);
    }
    const [told, goAways] = [webSockets.told, http2.goAways + grpc.goAways];
    findings.check(told > 0 && goAways > 0, `${told} WebSockets ended with 1001, ${goAways} GOAWAYs came`);
    findings.check(codes.size === 1 && codes.has(0) && slowest < GRACE, `ended within ${seconds(slowest)} with exit code ${[...codes].join(', ')}`);
    for (const replica of replicas) findings.checkAlive(replica);
    return findings;
  },
};

/** Milliseconds: how long a Lease lasts, and how late the next one may be to see that it has run out. */
const HANDED_OVER = 15_500;

const WRITTEN = 'tidegate_status_writes_total{kind="ApiRoute",result="written"}';

export const leaderLost: PeacefulFault = {
  number: 25,
  name: 'Leader lost',
  passes: 'new leader within 15 s; never two of them, so nothing is written twice; 0 failed requests at the others',
  async run(stage) {
    const { tell, measure } = stage;
    const rounds = measure.full ? 3 : 1;
    const findings = new Findings(`${rounds} times the leader of three replicas stopped with SIGSTOP until another one led, then let go on; then killed`);
    await serve(stage, 'steady');
    const replicas = [await startServing(stage, 'steady'), await startServing(stage, 'steady'), await startServing(stage, 'steady')];
    const leads = async (gateway: Gateway): Promise<boolean> => (await gateway.metric('tidegate_leader')) === 1;
    const leader = async (among: readonly Gateway[] = replicas): Promise<Gateway> => {
      let found: Gateway | undefined;
      const find = async (): Promise<boolean> => {
        for (const gateway of among) if (await leads(gateway)) found = gateway;
        return found !== undefined;
      };
      await until(find, 'a leader');
      return found as Gateway;
    };
    let present = await leader();
    const times: number[] = [];
    const failed = { requests: 0, all: 0, failures: [] as string[] };
    let doubled = 0;
    /** Of those that are killed, what they had written. */
    let past = 0;
    const routes = [await written(stage, 0)];
    const others = (lost: Gateway): Gateway[] => replicas.filter((gateway) => gateway !== lost && gateway.running);
    const lose = async (signal: 'SIGSTOP' | 'SIGKILL'): Promise<void> => {
      const lost = present;
      const loads = others(lost).map((gateway) => loadOn(stage, gateway, 'steady', { clients: 4 }));
      if (signal === 'SIGKILL') past = await lost.metric(WRITTEN);
      lost.process.kill(signal);
      const since = Date.now();
      present = await leader(others(lost));
      times.push(Date.now() - since);
      if (signal === 'SIGSTOP') {
        lost.process.kill('SIGCONT');
        // What it had in mind when it was stopped, it would write now.
        for (const end = Date.now() + 3000; Date.now() < end; await sleep(50)) {
          const leading = await Promise.all(replicas.map(leads));
          if (leading.filter(Boolean).length > 1) doubled++;
        }
      }
      routes.push(await written(stage, routes.length));
      for (const load of loads) {
        await load.stop();
        failed.requests += load.failed;
        failed.all += load.failed + load.answered;
        failed.failures.push(...load.failures);
      }
    };
    for (let round = 0; round < rounds; round++) {
      tell(`round ${round + 1} of ${rounds}`);
      await lose('SIGSTOP');
    }
    tell('the leader is killed');
    await lose('SIGKILL');
    findings.checkTime(stage, Math.max(...times) <= HANDED_OVER, `next leader after ${times.map(seconds).join(', ')}`);
    findings.check(doubled === 0, `two leaders seen ${doubled} times`);
    const living = replicas.filter(({ running }) => running);
    const counts = await Promise.all(living.map((gateway) => gateway.metric(WRITTEN)));
    const writes = counts.reduce((sum, count) => sum + count, past);
    // The one that serves has a status, too.
    findings.check(writes === routes.length + 1, `${writes} writes for the statuses of ${routes.length + 1} routes`);
    findings.check(failed.requests === 0, `${failed.requests} of ${failed.all} requests failed`, failed.failures.join('; '));
    for (const gateway of living) findings.checkAlive(gateway);
    return findings;
  },
};

/** Makes a route, and waits until the present leader has written its status. */
async function written(stage: Stage, index: number): Promise<KubernetesObject> {
  const object = route(stage, `written-${index}`, 'steady');
  await stage.cluster.apply([object]);
  return (await stage.cluster.until(object, (one) => one?.status?.conditions?.length === 3)) as KubernetesObject;
}
