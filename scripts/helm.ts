/** Helm for whoever renders the chart: the one that the user names, else the one that is built once per machine. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/** What `helm template` takes for the cluster's version; what a Helm built from source has for it is too old for the chart. */
export const KUBERNETES_VERSION = '1.36.3';

/** There is no Helm and none can be built; the message is one line that says what to do about it. */
export class HelmMissing extends Error {}

/**
 * @returns absolute path of helm
 * @throws HelmMissing
 */
export function findHelm(environment: NodeJS.ProcessEnv = process.env): string {
  const assets = environment.KUBEBUILDER_ASSETS;
  if (assets !== undefined && existsSync(join(assets, 'helm'))) return join(assets, 'helm');
  const { status, stdout } = spawnSync('sh', [join(root, 'test-e2e/control-plane/build.sh'), 'helm'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: environment,
  });
  if (status === 3) throw new HelmMissing('no Helm: install Go 1.26 or later, which builds it, or name a folder with helm in KUBEBUILDER_ASSETS');
  if (status !== 0) throw new Error('building helm failed');
  return join(stdout.trim(), 'helm');
}

export interface HelmResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param helm as findHelm gave it */
export function runHelm(helm: string, args: readonly string[], environment: NodeJS.ProcessEnv = process.env): HelmResult {
  const { status, stdout, stderr, error } = spawnSync(helm, args, { cwd: root, encoding: 'utf8', env: environment, maxBuffer: 64 << 20 });
  if (error !== undefined) throw error;
  return { code: status, stdout, stderr };
}
