/** Changes under load without a failed request: pods that come and go, certificates, replicas of the gateway. */
import assert from 'node:assert/strict';
import { before, describe, type TestContext, test } from 'node:test';
import { wholeFile } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { makeCertificate, tlsSecret } from '../cluster/certificates.ts';
import { ask, askUntil } from '../cluster/client.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { GatewayAddress } from '../cluster/gateway.ts';
import { openGateway, startReplica } from '../cluster/gateways.ts';
import { Load } from '../cluster/load.ts';
import { Balancer } from '../cluster/tcp-proxy.ts';
import { Workload } from '../cluster/workload.ts';

const cluster = Cluster.open(wholeFile);
let namespace: string;
let gateway: GatewayAddress;

before(async () => {
  namespace = await cluster.namespace(wholeFile, 'traffic');
  gateway = await openGateway(wholeFile, cluster, { namespaces: [namespace] });
});

/** A Service with pods, and a host that leads to it through every replica. */
async function serve(t: TestContext, name: string, replicas: number, more: object = {}, address = gateway): Promise<{ workload: Workload; host: string }> {
  const host = `${name}.traffic.test`;
  const workload = await Workload.start(t, cluster, { namespace, name, replicas });
  const route: KubernetesObject = {
    apiVersion: 'tidegate.dev/v1alpha1',
    kind: 'ApiRoute',
    metadata: { name, namespace },
    spec: { ingressClassName: 'tidegate', hostnames: [host], rules: [{ backendRefs: [{ name, port: 80 }] }], ...more },
  };
  await cluster.apply([route]);
  await askUntil(address, { host }, (answer) => answer.service === name);
  return { workload, host };
}

/** @param resets why the balancer in between reset connections, if there is one */
function assertNoFailure(load: Load, resets: readonly string[] = []): void {
  assert.equal(load.failed, 0, `${load.failed} of ${load.answered + load.failed} failed:\n${[...load.failures, ...resets].join('\n')}`);
}

describe('pods', () => {
  test('a Service that grows from 1 pod to 50 and shrinks to 1 again', async (t) => {
    const { workload, host } = await serve(t, 'scaled', 1);
    const load = Load.start(t, { ...gateway, port: gateway.http, headers: { host } });
    await load.more(100);
    await workload.scale(50);
    for (const pod of [...workload.pods].slice(-3)) await load.untilAnsweredBy(pod.name);
    await workload.scale(1);
    await load.more(200);
    await load.stop();
    assertNoFailure(load);
  });

  test('all pods replaced, one after the other', async (t) => {
    const { workload, host } = await serve(t, 'rolled', 4);
    const load = Load.start(t, { ...gateway, port: gateway.http, headers: { host } });
    await load.more(100);
    const old = workload.pods.map((pod) => pod.name);
    await workload.roll();
    for (const pod of workload.pods) {
      assert.ok(!old.includes(pod.name));
      await load.untilAnsweredBy(pod.name);
    }
    await load.stop();
    assertNoFailure(load);
  });
});

describe('certificates', () => {
  test('a Secret that is replaced again and again under TLS load', async (t) => {
    const name = 'rotated';
    const host = `${name}.traffic.test`;
    await cluster.apply([tlsSecret(namespace, name, makeCertificate(host, 'generation-0'))]);
    await serve(t, name, 2, { tls: { secretName: name } });
    const load = Load.start(t, { ...gateway, port: gateway.https, headers: { host }, serverName: host, perConnection: 5 });
    await load.more(50);
    for (let generation = 1; generation <= 3; generation++) {
      await cluster.apply([tlsSecret(namespace, name, makeCertificate(host, `generation-${generation}`))]);
      await askUntil(gateway, { host, tls: true }, (answer) => answer.certificate === `generation-${generation}`);
      await load.more(50);
    }
    await load.stop();
    assertNoFailure(load);
    assert.equal((await ask(gateway, { host, tls: true })).certificate, 'generation-3');
  });
});

describe('replicas of the gateway', { skip: process.env.TIDEGATE_GATEWAY !== undefined && 'the gateway was not started by the case' }, () => {
  test('one is restarted after the other, and clients that honour Connection: close see nothing', async (t) => {
    const options = { namespaces: [namespace], args: ['--drain-delay', '5s'] };
    const replicas = await Promise.all([startReplica(t, cluster, options), startReplica(t, cluster, options)]);
    const balancer = await Balancer.start(t, replicas);
    const { host } = await serve(t, 'restarted', 2, {}, balancer);
    const load = Load.start(t, { ...balancer, port: balancer.http, headers: { host } });
    await load.more(100);
    for (const old of replicas) {
      assert.equal(await old.stop(), 0, 'exit code');
      await balancer.untilReady(1);
      balancer.remove(old);
      balancer.add(await startReplica(t, cluster, options));
      await balancer.untilReady(2);
      await load.more(100);
    }
    await load.stop();
    assertNoFailure(load, balancer.resets);
  });
});
