/** What faults happen to: a Service with pods, a route to it, a gateway that reads them from the API server. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubernetesObject } from '../cluster/api-client.ts';
import { ask, askUntil, type Question } from '../cluster/client.ts';
import { Gateway, type GatewayAddress } from '../cluster/gateway.ts';
import { Load, type LoadOptions } from '../cluster/load.ts';
import { TcpProxy } from '../cluster/tcp-proxy.ts';
import { Workload } from '../cluster/workload.ts';
import type { OwnStage, Stage } from './fault.ts';

const PATIENCE = 180_000;

export function hostOf(name: string): string {
  return `${name}.faults.test`;
}

/** An ApiRoute for a host of its own. @param more fields of its spec */
export function route({ namespace }: Stage, name: string, service: string, more: object = {}): KubernetesObject {
  return {
    apiVersion: 'tidegate.dev/v1alpha1',
    kind: 'ApiRoute',
    metadata: { name, namespace },
    spec: { ingressClassName: 'tidegate', hostnames: [hostOf(name)], rules: [{ backendRefs: [{ name: service, port: 80 }] }], ...more },
  };
}

/** A Service with pods, and a route to it of the same name. */
export async function serve(stage: Stage, name: string, more: object = {}): Promise<Workload> {
  const { lifetime, cluster, namespace } = stage;
  const workload = await Workload.start(lifetime, cluster, { namespace, name, replicas: 2 });
  await cluster.apply([route(stage, name, name, more)]);
  return workload;
}

export interface ReplicaOptions {
  /** @default that of an administrator, without a detour */
  readonly kubeconfig?: string;
  readonly args?: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
}

/** Starts a replica; whether it is ready is another matter. */
export function launch({ lifetime, plane, namespace }: Stage, { kubeconfig = plane.kubeconfig, args = [], environment = {} }: ReplicaOptions = {}): Gateway {
  return Gateway.launch(lifetime, {
    args: ['--kubeconfig', kubeconfig, '--watch-namespace', namespace, '--workers', '2', '--access-log', 'off', '--drain-delay', '200ms', ...args],
    environment: { POD_NAMESPACE: namespace, ...environment },
  });
}

/** Starts a replica that is ready and answers for a route. */
export async function startServing(stage: Stage, name: string, options: ReplicaOptions = {}): Promise<Gateway> {
  const gateway = launch(stage, options);
  await gateway.untilReady();
  await askUntil(gateway, { host: hostOf(name) }, (answer) => answer.service === name);
  return gateway;
}

/** Clients of a route, which rest enough to leave the machine to others. */
export function loadOn(stage: Stage, gateway: GatewayAddress, name: string, options: Partial<LoadOptions> = {}): Load {
  return Load.start(stage.lifetime, { host: gateway.host, port: gateway.http, headers: { host: hostOf(name) }, rest: 20, ...options });
}

/**
 * Asks until the answer is as wanted.
 *
 * @returns how long (ms) it took from `since`, a time of `Date.now()`
 * @throws when three minutes, or `patience`, have passed
 */
export async function timeUntil(
  gateway: GatewayAddress,
  question: Question,
  wanted: (answer: Awaited<ReturnType<typeof ask>>) => boolean,
  since: number,
  patience = PATIENCE,
): Promise<number> {
  for (;;) {
    const answer = await ask(gateway, question);
    const took = Date.now() - since;
    if (wanted(answer)) return took;
    if (took > patience) throw new Error(`${question.host} still answers ${answer.status} ${answer.body.slice(0, 300)} after ${took} ms`);
    await sleep(20);
  }
}

/** Waits until something holds. @returns how long (ms) it took */
export async function until(reached: () => boolean | Promise<boolean>, what: string, patience = PATIENCE): Promise<number> {
  const since = Date.now();
  for (; !(await reached()); await sleep(50)) {
    if (Date.now() - since > patience) throw new Error(`still waiting for ${what}`);
  }
  return Date.now() - since;
}

/** The API server behind a proxy that a fault can cut, and a kubeconfig that leads through it. */
export async function detour({ lifetime, plane }: OwnStage): Promise<{ proxy: TcpProxy; kubeconfig: string }> {
  const proxy = await TcpProxy.start(lifetime, () => ({ host: plane.host, port: 6443 }));
  const config = JSON.parse(await readFile(plane.kubeconfig, 'utf8'));
  config.clusters[0].cluster = { ...config.clusters[0].cluster, server: `https://127.0.0.1:${proxy.port}`, 'tls-server-name': 'kubernetes' };
  const kubeconfig = join(plane.folder, `kubeconfig-${proxy.port}`);
  await writeFile(kubeconfig, JSON.stringify(config), { mode: 0o600 });
  return { proxy, kubeconfig };
}
