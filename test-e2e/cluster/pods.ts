/**
 * Who runs sample pods. Where no kubelet does, they are servers in this process on pod addresses, and their Pods get the
 * status that a kubelet would have written.
 */
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { ServerOptions } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubernetesObject } from './api-client.ts';
import type { Cluster } from './cluster.ts';
import { sampleServer } from './sample-server.ts';

/** Port that pods listen on, named http. */
const POD_PORT = 8080;

/** Readiness of a Pod that a kubelet runs follows this condition, which the case sets. */
const GATE = 'tidegate.dev/case-says-ready';

/** A Node has to exist for its Pods to be taken into slices. */
const NODE = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'sample-node', labels: { 'topology.kubernetes.io/zone': 'zone-a' } } };

/** Milliseconds without a request after which a pod on its way out takes no more. */
const UNASKED = 500;

export interface SamplePod {
  readonly name: string;
  readonly address: string;
}

export interface PodRunner {
  /** Starts a pod that is not ready yet. @param labels those that its Service selects */
  start(name: string, labels: Readonly<Record<string, string>>): Promise<SamplePod>;
  setReady(pod: SamplePod, ready: boolean): Promise<void>;
  /** Deletes a pod in peace: it serves until `left` says that the slices do not have it any more, then its requests end. */
  remove(pod: SamplePod, left: () => Promise<void>): Promise<void>;
  /** The pod dies: every connection is cut at once. */
  kill(pod: SamplePod): Promise<void>;
  /** Ends what is not the cluster's to end. */
  stop(): void;
}

/** @param tls certificate and key of pods that speak TLS */
export async function podRunner(cluster: Cluster, namespace: string, tls: ServerOptions | undefined): Promise<PodRunner> {
  const { body } = await cluster.api.call('GET', '/api/v1/nodes');
  const hasKubelets = (body.items as KubernetesObject[]).some((node) =>
    (node.status?.conditions ?? []).some((condition: { type: string; status: string }) => condition.type === 'Ready' && condition.status === 'True'),
  );
  if (hasKubelets) return KubeletPods.create(cluster, namespace);
  await cluster.api.apply(NODE);
  return new LocalPods(cluster, namespace, tls);
}

function reference(namespace: string, name: string): KubernetesObject {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace } };
}

class LocalPods implements PodRunner {
  readonly #cluster: Cluster;
  readonly #namespace: string;
  readonly #tls: ServerOptions | undefined;
  readonly #servers = new Map<string, Server>();

  constructor(cluster: Cluster, namespace: string, tls: ServerOptions | undefined) {
    this.#cluster = cluster;
    this.#namespace = namespace;
    this.#tls = tls;
  }

  async start(name: string, labels: Readonly<Record<string, string>>): Promise<SamplePod> {
    const address = await this.#listen(name);
    await this.#cluster.api.create({
      ...reference(this.#namespace, name),
      metadata: { name, namespace: this.#namespace, labels },
      spec: {
        nodeName: NODE.metadata.name,
        containers: [{ name: 'sample', image: 'sample', ports: [{ name: 'http', containerPort: POD_PORT, protocol: 'TCP' }] }],
      },
    });
    return { name, address };
  }

  async setReady({ name, address }: SamplePod, ready: boolean): Promise<void> {
    const conditions = ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready'].map((type) => ({
      type,
      status: ready || type === 'PodScheduled' || type === 'Initialized' ? 'True' : 'False',
    }));
    const status = { phase: 'Running', podIP: address, podIPs: [{ ip: address }], conditions };
    await this.#cluster.api.patch(reference(this.#namespace, name), { status }, 'status');
  }

  async remove(pod: SamplePod, left: () => Promise<void>): Promise<void> {
    await this.#cluster.api.delete(reference(this.#namespace, pod.name), 30);
    await left();
    const server = this.#servers.get(pod.name);
    await untilUnasked(server);
    await new Promise<void>((resolve) => {
      server?.close(() => resolve());
      server?.closeIdleConnections();
    });
    this.#servers.delete(pod.name);
    await this.#cluster.api.delete(reference(this.#namespace, pod.name), 0);
  }

  async kill(pod: SamplePod): Promise<void> {
    this.#end(pod.name);
    await this.#cluster.api.delete(reference(this.#namespace, pod.name), 0);
  }

  stop(): void {
    for (const name of [...this.#servers.keys()]) this.#end(name);
  }

  #end(name: string): void {
    this.#servers.get(name)?.close();
    this.#servers.get(name)?.closeAllConnections();
    this.#servers.delete(name);
  }

  /** @returns any pod address that nobody listened on */
  async #listen(name: string): Promise<string> {
    for (;;) {
      const address = `10.244.${randomInt(0, 256)}.${randomInt(1, 255)}`;
      const server = sampleServer(name, this.#tls);
      const taken = await new Promise<boolean>((resolve, reject) => {
        server.once('error', (error: NodeJS.ErrnoException) => {
          if (error.code === 'EADDRINUSE') resolve(true);
          else if (error.code === 'EADDRNOTAVAIL') reject(new Error('pod addresses are there only inside `make test-cluster`'));
          else reject(error);
        });
        server.listen(POD_PORT, address, () => resolve(false));
      });
      if (taken) continue;
      this.#servers.set(name, server);
      return address;
    }
  }
}

/**
 * Until nothing was asked for a while, as pods wait that are to be replaced without a failed request: whoever sends them
 * requests hears a little later than the slices that they go.
 */
async function untilUnasked(server: Server | undefined): Promise<void> {
  let last = Date.now();
  const asked = (): void => {
    last = Date.now();
  };
  server?.on('request', asked);
  for (const deadline = Date.now() + 20_000; Date.now() - last < UNASKED && Date.now() < deadline; ) await sleep(50);
  server?.off('request', asked);
}

/** Pods with the image of the gateway, for it has a Node.js, and the program of a sample server. */
class KubeletPods implements PodRunner {
  readonly #cluster: Cluster;
  readonly #namespace: string;

  private constructor(cluster: Cluster, namespace: string) {
    this.#cluster = cluster;
    this.#namespace = namespace;
  }

  static async create(cluster: Cluster, namespace: string): Promise<KubeletPods> {
    const program = readFileSync(new URL('sample-server.ts', import.meta.url), 'utf8');
    await cluster.api.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'sample-server', namespace }, data: { 'sample-server.ts': program } });
    return new KubeletPods(cluster, namespace);
  }

  async start(name: string, labels: Readonly<Record<string, string>>): Promise<SamplePod> {
    const object = {
      ...reference(this.#namespace, name),
      metadata: { name, namespace: this.#namespace, labels },
      spec: {
        readinessGates: [{ conditionType: GATE }],
        volumes: [{ name: 'program', configMap: { name: 'sample-server' } }],
        containers: [
          {
            name: 'sample',
            image: process.env.TIDEGATE_IMAGE ?? 'tidegate:e2e',
            imagePullPolicy: 'IfNotPresent',
            command: ['/usr/local/bin/node', '/program/sample-server.ts'],
            env: [{ name: 'POD_NAME', value: name }],
            ports: [{ name: 'http', containerPort: POD_PORT, protocol: 'TCP' }],
            volumeMounts: [{ name: 'program', mountPath: '/program' }],
            readinessProbe: { tcpSocket: { port: 'http' }, periodSeconds: 1 },
            // As pods do that are to be replaced without a failed request: gateways hear of it meanwhile.
            lifecycle: { preStop: { sleep: { seconds: 5 } } },
          },
        ],
      },
    };
    await this.#cluster.api.create(object);
    const started = await this.#cluster.until(object, (pod) => isTrue(pod, 'ContainersReady') && typeof pod?.status.podIP === 'string');
    return { name, address: started?.status.podIP };
  }

  async setReady({ name }: SamplePod, ready: boolean): Promise<void> {
    const status = { conditions: [{ type: GATE, status: ready ? 'True' : 'False' }] };
    const path = `/api/v1/namespaces/${this.#namespace}/pods/${name}/status`;
    const { status: code, body } = await this.#cluster.api.call('PATCH', path, { status }, 'application/strategic-merge-patch+json');
    if (code !== 200) throw new Error(body.message);
  }

  async remove({ name }: SamplePod, left: () => Promise<void>): Promise<void> {
    await this.#cluster.api.delete(reference(this.#namespace, name), 30);
    await left();
    await this.#cluster.until(reference(this.#namespace, name), (pod) => pod === undefined);
  }

  async kill({ name }: SamplePod): Promise<void> {
    await this.#cluster.api.delete(reference(this.#namespace, name), 0);
  }

  stop(): void {
    // They go with their namespace.
  }
}

function isTrue(object: KubernetesObject | undefined, type: string): boolean {
  const conditions = (object?.status?.conditions ?? []) as { type: string; status: string }[];
  return conditions.some((condition) => condition.type === type && condition.status === 'True');
}
