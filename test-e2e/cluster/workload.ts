/** Pods that serve, behind a Service whose EndpointSlices the endpointslice controller makes. */
import type { ServerOptions } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { endWith, type Lifetime } from '../../test/gateway/lifetime.ts';
import type { Cluster } from './cluster.ts';
import { type PodRunner, podRunner, type SamplePod } from './pods.ts';

const PATIENCE = 180_000;

export interface WorkloadOptions {
  readonly namespace: string;
  /** Name of the Service, and the start of its Pods' names. */
  readonly name: string;
  /** @default 1 */
  readonly replicas?: number;
  /** More fields of the Service's spec. */
  readonly service?: Readonly<Record<string, unknown>>;
  /** @default 80 */
  readonly port?: number;
  /** Certificate and key of pods that speak TLS; only where pods are run by the case itself. */
  readonly tls?: ServerOptions;
}

export class Workload {
  /** Those that serve and are not on their way out, oldest first. */
  readonly pods: SamplePod[] = [];
  readonly #cluster: Cluster;
  readonly #options: WorkloadOptions;
  readonly #runner: PodRunner;
  #made = 0;

  private constructor(cluster: Cluster, options: WorkloadOptions, runner: PodRunner) {
    this.#cluster = cluster;
    this.#options = options;
    this.#runner = runner;
  }

  /** Returns when the slices have all pods as ready. */
  static async start(lifetime: Lifetime, cluster: Cluster, options: WorkloadOptions): Promise<Workload> {
    const { namespace, name, port = 80, service = {}, replicas = 1 } = options;
    const runner = await podRunner(cluster, namespace, options.tls);
    endWith(lifetime, () => runner.stop());
    const workload = new Workload(cluster, options, runner);
    await cluster.api.apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace },
      spec: { selector: { app: name }, ports: [{ name: 'http', port, protocol: 'TCP', targetPort: 'http' }], ...service },
    });
    await workload.scale(replicas);
    return workload;
  }

  /** Adds pods, or takes the oldest away, and waits until the slices say so. */
  async scale(replicas: number): Promise<void> {
    const more = Math.max(0, replicas - this.pods.length);
    await Promise.all(Array.from({ length: more }, () => this.add()));
    const leaving = this.pods.slice(0, Math.max(0, this.pods.length - replicas));
    await Promise.all(leaving.map((pod) => this.remove(pod)));
    await this.untilSlices();
  }

  /** Replaces every pod by a new one, each only when its successor is ready, as a rolling update does. */
  async roll(): Promise<void> {
    for (const pod of [...this.pods]) {
      await this.add();
      await this.untilSlices();
      await this.remove(pod);
    }
  }

  /** A new pod, which is ready. */
  async add(): Promise<SamplePod> {
    const { name } = this.#options;
    const pod = await this.#runner.start(`${name}-${this.#made++}`, { app: name });
    this.pods.push(pod);
    await this.setReady(pod, true);
    return pod;
  }

  async setReady(pod: SamplePod, ready: boolean): Promise<void> {
    await this.#runner.setReady(pod, ready);
  }

  /** Deletes a pod as Kubernetes does: it serves on until it has left the slices, then lets its requests end, and is gone. */
  async remove(pod: SamplePod): Promise<void> {
    this.#forget(pod);
    const left = (): Promise<void> => this.#until(async () => !(await this.#ready()).includes(pod.address), `${pod.name} to leave the slices`);
    await this.#runner.remove(pod, left);
  }

  /** The pod dies: every connection is cut at once, and the slices say so only later. */
  async kill(pod: SamplePod): Promise<void> {
    this.#forget(pod);
    await this.#runner.kill(pod);
  }

  /** Waits until the slices have exactly the pods, all of them ready. */
  async untilSlices(): Promise<void> {
    const wanted = this.pods.map((pod) => pod.address).sort();
    await this.#until(async () => (await this.#ready()).join() === wanted.join(), `slices with ${wanted.join(', ')}`);
  }

  /** Addresses of ready endpoints, sorted. */
  async #ready(): Promise<readonly string[]> {
    const slices = await this.#cluster.slices(this.#options.namespace, this.#options.name);
    const endpoints = slices.flatMap((slice) => (slice.endpoints ?? []) as { addresses: string[]; conditions: { ready?: boolean } }[]);
    return endpoints
      .filter((endpoint) => endpoint.conditions.ready === true)
      .flatMap((endpoint) => endpoint.addresses)
      .sort();
  }

  async #until(reached: () => Promise<boolean>, what: string): Promise<void> {
    for (const deadline = Date.now() + PATIENCE; !(await reached()); await sleep(50)) {
      if (Date.now() > deadline) throw new Error(`still waiting for ${what}`);
    }
  }

  #forget(pod: SamplePod): void {
    const at = this.pods.indexOf(pod);
    if (at >= 0) this.pods.splice(at, 1);
  }
}
