/** The built program started as a Deployment's pod would be: its args, its variables, its ServiceAccount's token, and no more. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { endWith, type Lifetime } from '../../test/gateway/lifetime.ts';
import type { KubernetesObject } from '../cluster/api-client.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { ServiceAccountFiles } from '../cluster/service-account.ts';
import { root } from './readme.ts';

interface Variable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly fieldRef: { readonly fieldPath: string } };
}

/** What the downward API puts into a variable. @throws on what no pod of the chart uses */
function valueOf({ name, value, valueFrom }: Variable, pod: { readonly name: string; readonly namespace: string }): string {
  if (value !== undefined) return value;
  switch (valueFrom?.fieldRef.fieldPath) {
    case 'metadata.name':
      return pod.name;
    case 'metadata.namespace':
      return pod.namespace;
    default:
      throw new Error(`variable ${name} comes from ${JSON.stringify(valueFrom)}`);
  }
}

export class Pod {
  readonly name: string;
  /** Lines of standard error. */
  readonly log: string[] = [];
  readonly #process: ChildProcess;
  readonly #exited: Promise<number | null>;
  readonly #admin: string;

  private constructor(name: string, command: readonly string[], environment: NodeJS.ProcessEnv, admin: string) {
    this.name = name;
    this.#admin = admin;
    const [program, ...args] = command as [string, ...string[]];
    this.#process = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env: environment });
    this.#exited = once(this.#process, 'exit').then(([code]) => code as number | null);
    createInterface({ input: this.#process.stderr as NodeJS.ReadableStream }).on('line', (line) => this.log.push(line));
  }

  /** Starts it; whether it becomes ready is another matter. @param deployment as the API server has it */
  static async launch(lifetime: Lifetime, cluster: Cluster, deployment: KubernetesObject, name: string): Promise<Pod> {
    const { spec } = deployment.spec.template;
    const namespace = deployment.metadata.namespace ?? '';
    const [container] = spec.containers;
    const files = await ServiceAccountFiles.create(cluster, namespace, spec.serviceAccountName);
    const given = Object.fromEntries((container.env as Variable[]).map((variable) => [variable.name, valueOf(variable, { name, namespace })]));
    const { KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT } = files.environment;
    const environment = { PATH: process.env.PATH, KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT, ...given };
    const admin = (container.args as string[]).find((arg) => arg.startsWith('--admin='))?.slice('--admin='.length) ?? '';
    const pod = new Pod(name, [...files.prefix, join(root, 'bin/tidegate'), ...container.args], environment, admin);
    endWith(lifetime, () => pod.stop());
    return pod;
  }

  /** What a probe of the container would get; 0 when nobody answers. */
  async probe(path: string): Promise<number> {
    return fetch(`http://${this.#admin}${path}`, { signal: AbortSignal.timeout(5000) }).then(
      async (response) => {
        await response.body?.cancel();
        return response.status;
      },
      () => 0,
    );
  }

  /** @throws with its log, when it ends before or three minutes have passed */
  async until(reached: () => Promise<boolean> | boolean, what: string): Promise<void> {
    for (const deadline = Date.now() + 180_000; !(await reached()); await sleep(50)) {
      if (this.#process.exitCode === null && Date.now() < deadline) continue;
      throw new Error(`no ${what}; exit code ${this.#process.exitCode}\n${this.log.slice(-30).join('\n')}`);
    }
  }

  /** As the kubelet ends it. @returns the exit code */
  async stop(): Promise<number | null> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 45_000);
    const code = await this.#exited;
    clearTimeout(timer);
    return code;
  }
}
