/** Where the programs of a control plane are: given by the user, built before, or built now. */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const NAMES = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kubectl', 'helm'] as const;

export type ProgramName = (typeof NAMES)[number];

/** Absolute path of each program. */
export type Programs = Readonly<Record<ProgramName, string>>;

/** There is no control plane, and none can be built; the message is one line that says what to do about it. */
export class ProgramsMissing extends Error {}

/**
 * Takes what the folder that KUBEBUILDER_ASSETS names has, and builds the rest once per machine, which takes minutes;
 * progress goes to standard error.
 *
 * @throws ProgramsMissing when something is missing and there is no Go to build it
 */
export async function findPrograms(environment: NodeJS.ProcessEnv = process.env): Promise<Programs> {
  const assets = environment.KUBEBUILDER_ASSETS;
  const given = assets === undefined || assets === '' ? [] : NAMES.filter((name) => isProgram(join(assets, name)));
  const folder = await build(
    NAMES.filter((name) => !given.includes(name)),
    environment,
  );
  return Object.fromEntries(NAMES.map((name) => [name, join(given.includes(name) ? (assets as string) : folder, name)])) as Programs;
}

/** @returns the folder in which all of them are */
async function build(names: readonly ProgramName[], environment: NodeJS.ProcessEnv): Promise<string> {
  const script = fileURLToPath(new URL('build.sh', import.meta.url));
  const child = spawn('sh', [script, ...names], { stdio: ['ignore', 'pipe', 'pipe'], env: environment });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (bytes: Buffer) => {
    stdout += bytes.toString();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    stderr += bytes.toString();
    // The last line of exit code 3 is told by who asked.
    if (!stderr.startsWith('no Kubernetes')) process.stderr.write(bytes);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (code === 3) throw new ProgramsMissing(stderr.trim());
  if (code !== 0) throw new Error(`building ${names.join(', ')} failed`);
  return stdout.trim();
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
