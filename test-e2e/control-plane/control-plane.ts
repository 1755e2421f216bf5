/**
 * etcd, kube-apiserver and kube-controller-manager without containers, each at the ports it always has, on a loopback
 * address of this control plane's own: so several run side by side, and one that was stopped finds its ports free.
 */
import { execFile } from 'node:child_process';
import { generateKeyPairSync, randomBytes, randomInt } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findPrograms, type Programs } from './programs.ts';
import { RunningProgram } from './running-program.ts';

/** What a cluster without nodes can run; the rest would only wait for kubelets. */
const CONTROLLERS = [
  'endpointslice-controller',
  'endpointslice-mirroring-controller',
  'namespace-controller',
  'garbage-collector-controller',
  'serviceaccount-controller',
  'deployment-controller',
  'replicaset-controller',
  'daemonset-controller',
  'disruption-controller',
  'root-ca-certificate-publisher-controller',
];

const CRDS = fileURLToPath(new URL('../../crds', import.meta.url));

export interface ControlPlaneOptions {
  /** More flags of kube-apiserver, `--watch-cache=false` say, with which a compaction shows at once. */
  readonly apiServerFlags?: readonly string[];
}

/** Milliseconds until a part must answer; it takes three seconds on a quiet machine. */
const PATIENCE = 90_000;

export class ControlPlane {
  /** Folder with data, keys, logs (`*.log`). */
  readonly folder: string;
  readonly host: string;
  /** File with a kubeconfig of an administrator. */
  readonly kubeconfig: string;
  readonly token: string;
  /** PEM file with what signs the API server's certificate. */
  readonly caFile: string;
  readonly #programs: Programs;
  readonly #options: ControlPlaneOptions;
  #etcd: RunningProgram | undefined;
  #apiServer: RunningProgram | undefined;
  #controllerManager: RunningProgram | undefined;

  private constructor(folder: string, programs: Programs, options: ControlPlaneOptions) {
    this.folder = folder;
    this.host = `127.${randomInt(1, 255)}.${randomInt(0, 256)}.${randomInt(1, 255)}`;
    this.kubeconfig = join(folder, 'kubeconfig');
    this.token = randomBytes(16).toString('hex');
    this.caFile = join(folder, 'apiserver.crt');
    this.#programs = programs;
    this.#options = options;
  }

  /** Starts all three, and returns when the API server says that it is ready. */
  static async start(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
    const folder = await mkdtemp(join(tmpdir(), 'control-plane-'));
    const plane = new ControlPlane(folder, await findPrograms(), options);
    try {
      const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      await writeFile(join(folder, 'sa.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }), { mode: 0o600 });
      await writeFile(join(folder, 'sa.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
      await writeFile(join(folder, 'tokens.csv'), `${plane.token},admin,1,"system:masters"\n`, { mode: 0o600 });
      await plane.startEtcd();
      await plane.startApiServer();
      await plane.startControllerManager();
      return plane;
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  get server(): string {
    return `https://${this.host}:6443`;
  }

  async startEtcd(): Promise<void> {
    const clients = `http://${this.host}:2379`;
    const peers = `http://${this.host}:2380`;
    const etcd = this.#run('etcd', [
      `--data-dir=${join(this.folder, 'etcd')}`,
      `--listen-client-urls=${clients}`,
      `--advertise-client-urls=${clients}`,
      `--listen-peer-urls=${peers}`,
      `--initial-advertise-peer-urls=${peers}`,
      `--initial-cluster=default=${peers}`,
      '--unsafe-no-fsync',
    ]);
    this.#etcd = etcd;
    await this.#until('etcd', etcd, async () => (await fetch(`${clients}/health`, { signal: AbortSignal.timeout(2000) })).ok);
  }

  /** Returns when `/readyz` answers ok; it does not without etcd. */
  async startApiServer(): Promise<void> {
    const apiServer = this.#run('kube-apiserver', [
      `--etcd-servers=http://${this.host}:2379`,
      `--bind-address=${this.host}`,
      `--advertise-address=${this.host}`,
      '--secure-port=6443',
      '--endpoint-reconciler-type=none',
      // Here it writes a certificate of its own making and whatever signed it, once.
      `--cert-dir=${this.folder}`,
      `--token-auth-file=${join(this.folder, 'tokens.csv')}`,
      '--authorization-mode=RBAC',
      '--service-cluster-ip-range=10.0.0.0/16',
      `--service-account-issuer=${this.server}`,
      `--service-account-key-file=${join(this.folder, 'sa.pub')}`,
      `--service-account-signing-key-file=${join(this.folder, 'sa.key')}`,
      '--allow-privileged=true',
      '--disable-admission-plugins=ServiceAccount',
      ...(this.#options.apiServerFlags ?? []),
    ]);
    this.#apiServer = apiServer;
    await this.#until('kube-apiserver', apiServer, async () => {
      await this.#writeKubeconfig();
      // Besides being ready it must know who may do what; its caches of that fill a moment later.
      return (await this.#status('/readyz')) === 200 && (await this.#status('/api/v1/namespaces/default')) === 200;
    });
  }

  async startControllerManager(): Promise<void> {
    const manager = this.#run('kube-controller-manager', [
      `--kubeconfig=${this.kubeconfig}`,
      '--leader-elect=false',
      `--bind-address=${this.host}`,
      `--cert-dir=${join(this.folder, 'controller-manager')}`,
      `--root-ca-file=${this.caFile}`,
      `--service-account-private-key-file=${join(this.folder, 'sa.key')}`,
      `--controllers=${CONTROLLERS.join(',')}`,
    ]);
    this.#controllerManager = manager;
    await this.#until('kube-controller-manager', manager, async () => (await this.#status('/healthz', 10257)) === 200);
  }

  /** Applies `crds/`, and waits until their kinds are served. */
  async installCrds(): Promise<void> {
    // With a cache of its own: what kubectl learns of the kinds before must not be what cases learn of them.
    const flags = ['--kubeconfig', this.kubeconfig, '--cache-dir', join(this.folder, 'kubectl'), '--filename', CRDS];
    const run = promisify(execFile);
    await run(this.#programs.kubectl, ['apply', '--server-side', ...flags]);
    await run(this.#programs.kubectl, ['wait', '--for=condition=Established', '--timeout=60s', ...flags]);
  }

  /** @param signal SIGKILL cuts every connection at once, SIGTERM lets requests end */
  async stopApiServer(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.#apiServer?.stop(signal);
  }

  async stopEtcd(): Promise<void> {
    await this.#etcd?.stop('SIGKILL');
  }

  async stopControllerManager(): Promise<void> {
    await this.#controllerManager?.stop('SIGKILL');
  }

  /** The controller manager goes on by itself once the API server is back. */
  async restartApiServer(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.stopApiServer(signal);
    await this.startApiServer();
  }

  async restartEtcd(): Promise<void> {
    await this.stopEtcd();
    await this.startEtcd();
  }

  /**
   * Makes etcd forget every revision before the present one. A running API server still answers for older ones from its
   * watch cache; it says 410 after a restart, or at once with `--watch-cache=false`.
   *
   * @returns the revision up to which all is forgotten
   */
  async compact(): Promise<number> {
    const now = await this.#etcdCall('range', { key: Buffer.from('/').toString('base64') });
    const revision = Number((now.header as { revision: string }).revision);
    await this.#etcdCall('compaction', { revision: String(revision), physical: true });
    return revision;
  }

  /** Ends all three and removes the folder. */
  async stop(): Promise<void> {
    await Promise.all([this.stopControllerManager(), this.stopApiServer()]);
    await this.stopEtcd();
    await rm(this.folder, { recursive: true, force: true });
  }

  async #etcdCall(method: string, body: unknown): Promise<Record<string, unknown>> {
    const answer = await fetch(`http://${this.host}:2379/v3/kv/${method}`, { method: 'POST', body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`etcd answered ${method} with ${answer.status}: ${await answer.text()}`);
    return (await answer.json()) as Record<string, unknown>;
  }

  #run(name: keyof Programs, args: readonly string[]): RunningProgram {
    return new RunningProgram(this.#programs[name], args, join(this.folder, `${name}.log`));
  }

  async #until(name: string, program: RunningProgram, reached: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + PATIENCE;
    for (;;) {
      await program.assertRunning();
      // Nobody listens yet, or the certificate is not written yet.
      if (await reached().catch(() => false)) return;
      if (Date.now() > deadline) throw new Error(`${name} is not ready after ${PATIENCE / 1000} s; its log is ${join(this.folder, name)}.log`);
      await sleep(50);
    }
  }

  /** Status of a GET as administrator. */
  async #status(path: string, port = 6443): Promise<number> {
    const ca = await readFile(this.caFile);
    return new Promise((resolve, reject) => {
      // The controller manager's certificate is its own; what it answers decides nothing.
      const verified = port === 6443 ? { ca } : { rejectUnauthorized: false };
      const headers = { authorization: `Bearer ${this.token}` };
      const outgoing = request({ host: this.host, port, path, headers, agent: false, timeout: 5000, ...verified }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode ?? 0));
      });
      outgoing.on('timeout', () => outgoing.destroy(new Error('no answer')));
      outgoing.on('error', reject);
      outgoing.end();
    });
  }

  async #writeKubeconfig(): Promise<void> {
    const ca = await readFile(this.caFile);
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'admin',
      clusters: [{ name: 'cluster', cluster: { server: this.server, 'certificate-authority-data': ca.toString('base64') } }],
      users: [{ name: 'admin', user: { token: this.token } }],
      contexts: [{ name: 'admin', context: { cluster: 'cluster', user: 'admin', namespace: 'default' } }],
    };
    await writeFile(this.kubeconfig, JSON.stringify(config, undefined, 2), { mode: 0o600 });
  }
}
