/** The cluster that a case works on: all that is known of it is a kubeconfig. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { endWith, type Lifetime } from '../../test/gateway/lifetime.ts';
import { ApiClient, type KubernetesObject, pathOf } from './api-client.ts';
import { readKubeconfig } from './kubeconfig.ts';

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Milliseconds until a state must be reached. */
const PATIENCE = 180_000;

export class Cluster {
  readonly kubeconfig: string;
  readonly api: ApiClient;

  private constructor(kubeconfig: string) {
    this.kubeconfig = kubeconfig;
    this.api = new ApiClient(readKubeconfig(kubeconfig));
  }

  /** @param kubeconfig that of the environment, when a case has none of its own */
  static open(lifetime: Lifetime, kubeconfig: string | undefined = process.env.KUBECONFIG): Cluster {
    if (kubeconfig === undefined || kubeconfig === '') throw new Error('KUBECONFIG is not set: run this by `make test-cluster` or `make test-e2e`');
    const cluster = new Cluster(kubeconfig);
    endWith(lifetime, () => cluster.api.close());
    return cluster;
  }

  /** A namespace of its own, removed at the end. @returns its name */
  async namespace(lifetime: Lifetime, prefix = 'e2e'): Promise<string> {
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: `${prefix}-${randomBytes(4).toString('hex')}` } };
    await this.api.create(namespace);
    endWith(lifetime, () => this.api.delete(namespace).catch(() => {}));
    return namespace.metadata.name;
  }

  /** Runs kubectl, whatever comes of it. @param stdin for `-f -` */
  async kubectl(args: readonly string[], stdin = ''): Promise<CommandResult> {
    const child = spawn('kubectl', args, { env: { ...process.env, KUBECONFIG: this.kubeconfig }, stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (bytes: Buffer) => {
      stdout += bytes.toString();
    });
    child.stderr.on('data', (bytes: Buffer) => {
      stderr += bytes.toString();
    });
    child.stdin.on('error', () => {});
    child.stdin.end(stdin);
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
    return { code, stdout, stderr };
  }

  /**
   * Applies a manifest, or objects, as a user would.
   *
   * @param manifest YAML with any number of documents
   * @param namespace for what names none
   * @throws with what kubectl said
   */
  async apply(manifest: string | readonly KubernetesObject[], namespace = 'default'): Promise<void> {
    if (typeof manifest !== 'string') {
      for (const object of manifest) await this.api.apply(object);
      return;
    }
    const args = ['apply', '--server-side', '--force-conflicts', '--field-manager=tidegate-e2e', '--namespace', namespace, '--filename', '-'];
    const { code, stderr } = await this.kubectl(args, manifest);
    if (code !== 0) throw new Error(stderr.trim());
  }

  /**
   * Waits until an object is as wanted; one that is not there is undefined.
   *
   * @throws with the object as it last was
   */
  async until(
    object: Parameters<typeof pathOf>[0],
    wanted: (object: KubernetesObject | undefined) => boolean,
    patience = PATIENCE,
  ): Promise<KubernetesObject | undefined> {
    const path = pathOf(object);
    for (const deadline = Date.now() + patience; ; ) {
      const { status, body } = await this.api.call('GET', path);
      const found = status === 200 ? body : undefined;
      if ((status === 200 || status === 404) && wanted(found)) return found;
      if (Date.now() > deadline) throw new Error(`${path} is still ${JSON.stringify(body, undefined, 1)}`);
      await sleep(50);
    }
  }

  /** The slices of a Service that the endpointslice controller or a case made. */
  async slices(namespace: string, service: string): Promise<readonly KubernetesObject[]> {
    const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?labelSelector=kubernetes.io/service-name%3D${service}`;
    const { items } = (await this.api.call('GET', path)).body as { items: KubernetesObject[] };
    // Items of a list don't say what they are.
    return items.map((item) => ({ ...item, apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' }));
  }
}
