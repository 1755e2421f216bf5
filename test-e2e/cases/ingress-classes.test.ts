/** Whose an Ingress is: by IngressClass objects, the default one, and the flag. They are everybody's, so the file has a cluster of its own. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { endWith, wholeFile } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { type Answer, askUntil } from '../cluster/client.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { GatewayAddress } from '../cluster/gateway.ts';
import { openGateway } from '../cluster/gateways.ts';
import { Workload } from '../cluster/workload.ts';
import { ControlPlane } from '../control-plane/control-plane.ts';

const OURS = 'tidegate.dev/ingress-controller';

let cluster: Cluster;
let namespace: string;
let gateway: GatewayAddress;

function ingressClass(name: string, controller: string, isDefault = false): KubernetesObject {
  const annotations = { 'ingressclass.kubernetes.io/is-default-class': String(isDefault) };
  return { apiVersion: 'networking.k8s.io/v1', kind: 'IngressClass', metadata: { name, annotations }, spec: { controller } };
}

const host = (ingress: string | undefined): string => `${ingress ?? 'none'}.classes.test`;

function ingress(ingressClassName: string | undefined, name = ingressClassName ?? 'none'): KubernetesObject {
  const backend = { service: { name: 'web', port: { number: 80 } } };
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name, namespace },
    spec: {
      ...(ingressClassName === undefined ? {} : { ingressClassName }),
      rules: [{ host: host(name), http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }],
    },
  };
}

/** Waits until exactly the Ingresses of these classes are served. */
async function untilServed(...wanted: readonly (string | undefined)[]): Promise<void> {
  for (const name of [undefined, 'tidegate', 'edge', 'nginx']) {
    const served = wanted.includes(name);
    const answer = await askUntil(gateway, { host: host(name) }, ({ status }: Answer) => status === (served ? 200 : 404));
    assert.equal(answer.service, served ? 'web' : undefined);
  }
}

/**
 * Makes an Ingress without a class until the API server has written this one into it: its admission plugin learns of the
 * classes by a watch of its own, some time after a change was answered.
 */
async function madeWithClass(name: string, wanted: string): Promise<KubernetesObject> {
  for (let attempts = 0; ; attempts++) {
    const fresh = await cluster.api.create(ingress(undefined, name));
    if (fresh.spec.ingressClassName === wanted) return fresh;
    assert.ok(attempts < 600, `the API server still writes ${fresh.spec.ingressClassName} into a new Ingress`);
    await cluster.api.delete(fresh);
    await sleep(50);
  }
}

describe('classes', { skip: process.env.TIDEGATE_GATEWAY !== undefined && "the cluster is not the case's own" }, () => {
  before(async () => {
    const plane = await ControlPlane.start();
    endWith(wholeFile, () => plane.stop());
    await plane.installCrds();
    cluster = Cluster.open(wholeFile, plane.kubeconfig);
    namespace = await cluster.namespace(wholeFile, 'classes');
    await Workload.start(wholeFile, cluster, { namespace, name: 'web' });
    // The API server gives an Ingress without a class that of the default one when it is made, so it is made before.
    await cluster.apply([ingress(undefined), ingress('tidegate'), ingress('edge'), ingress('nginx')]);
    gateway = await openGateway(wholeFile, cluster, { namespaces: [namespace] });
  });

  test('without any IngressClass of ours the flag names it', () => untilServed('tidegate'));

  test('an IngressClass of another controller changes nothing', async () => {
    await cluster.apply([ingressClass('nginx', 'k8s.io/ingress-nginx', true)]);
    await untilServed('tidegate');
    await cluster.apply([ingressClass('nginx', 'k8s.io/ingress-nginx')]);
  });

  test('an IngressClass of ours takes the place of the flag', async () => {
    await cluster.apply([ingressClass('edge', OURS)]);
    await untilServed('edge');
  });

  test('several are all ours', async () => {
    await cluster.apply([ingressClass('tidegate', OURS)]);
    await untilServed('edge', 'tidegate');
  });

  test('the default one takes what names no class', async () => {
    await cluster.apply([ingressClass('edge', OURS, true)]);
    await untilServed('edge', 'tidegate', undefined);
    await cluster.apply([ingressClass('edge', OURS)]);
    await untilServed('edge', 'tidegate');
  });

  test('the API server writes the default class into a new Ingress, which then keeps it', async () => {
    await cluster.apply([ingressClass('edge', OURS, true)]);
    await untilServed('edge', 'tidegate', undefined);
    const fresh = await madeWithClass('fresh', 'edge');
    await cluster.apply([ingressClass('edge', OURS)]);
    await untilServed('edge', 'tidegate');
    await askUntil(gateway, { host: host('fresh') }, ({ status }) => status === 200);
    await cluster.api.delete(fresh);
  });

  test('a class that goes takes its Ingresses along', async () => {
    await cluster.api.delete(ingressClass('edge', OURS));
    await untilServed('tidegate');
    await cluster.api.delete(ingressClass('tidegate', OURS));
    await untilServed('tidegate');
  });
});
