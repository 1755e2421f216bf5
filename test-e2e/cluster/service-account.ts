/** A program as a pod runs it: with the files and variables that a kubelet gives it, and nothing else to know the cluster by. */
import { mkdir, mkdtemp, rename, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cluster } from './cluster.ts';
import { readKubeconfig } from './kubeconfig.ts';

const PLACE = '/var/run/secrets/kubernetes.io/serviceaccount';

export class ServiceAccountFiles {
  /** What a pod has at /var/run/secrets/kubernetes.io/serviceaccount. */
  readonly folder: string;
  readonly #cluster: Cluster;
  readonly #namespace: string;
  readonly #name: string;

  private constructor(cluster: Cluster, namespace: string, name: string, folder: string) {
    this.#cluster = cluster;
    this.#namespace = namespace;
    this.#name = name;
    this.folder = folder;
  }

  /** For a ServiceAccount that exists. */
  static async create(cluster: Cluster, namespace: string, name: string): Promise<ServiceAccountFiles> {
    const folder = await mkdtemp(join(tmpdir(), 'serviceaccount-'));
    const files = new ServiceAccountFiles(cluster, namespace, name, folder);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'ca.crt'), readKubeconfig(cluster.kubeconfig).ca ?? '');
    await writeFile(join(folder, 'namespace'), namespace);
    await files.renew();
    return files;
  }

  /** A new token in place of the old one, as the kubelet writes one before the old one expires. */
  async renew(expirationSeconds = 3600): Promise<void> {
    const path = `/api/v1/namespaces/${this.#namespace}/serviceaccounts/${this.#name}/token`;
    const { status, body } = await this.#cluster.api.call('POST', path, { spec: { expirationSeconds } });
    if (status !== 201) throw new Error(`no token for ${this.#namespace}/${this.#name}: ${body.message}`);
    const scratch = join(this.folder, '.token');
    await writeFile(scratch, body.status.token);
    await rename(scratch, join(this.folder, 'token'));
  }

  /** What a command has to begin with, so that it finds the files at the place where a pod has them. */
  get prefix(): readonly string[] {
    const script = 'mount -t tmpfs tmpfs /run && mkdir -p "$0" && mount --bind "$1" "$0" && shift && exec "$@"';
    return ['unshare', '--mount', 'sh', '-c', script, PLACE, this.folder];
  }

  /** Variables that every pod has, and those that the chart sets by the downward API. */
  get environment(): NodeJS.ProcessEnv {
    const { host, port } = readKubeconfig(this.#cluster.kubeconfig);
    return {
      KUBERNETES_SERVICE_HOST: host,
      KUBERNETES_SERVICE_PORT: String(port),
      POD_NAMESPACE: this.#namespace,
    };
  }
}
