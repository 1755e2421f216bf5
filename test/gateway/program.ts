/** The built program as a process that does not outlive whoever started it. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { PATIENCE } from './lifetime.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/tidegate', import.meta.url));

const running = new Set<ChildProcess>();

// The last resort, for tests that are cut off before their hooks run: the runner ends a file that takes too long with SIGTERM.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
process.once('SIGTERM', () => process.exit(128 + 15));

/** What a process may have of the machine. */
export interface Limits {
  /** Files that it may have open; undefined: as many as we may. */
  readonly descriptors?: number;
  /** The only processor that it may run on; undefined: as we may. */
  readonly core?: number;
  /** Folder of the cgroup that it is in; undefined: ours. */
  readonly cgroup?: string | undefined;
  /** Folder that it finds at `/sys/fs/cgroup`, in a mount namespace of its own, which only root can make; undefined: what is there. */
  readonly cgroupFiles?: string;
}

/** Starts `bin/tidegate`; whoever calls stops it. */
export function spawnProgram(args: readonly string[], options: SpawnOptions = {}, { descriptors, core, cgroup, cgroupFiles }: Limits = {}): ChildProcess {
  const before = [
    // Node.js raises its soft limit to the hard one, so that both have to be set.
    ...(descriptors === undefined ? [] : [`ulimit -n ${descriptors}`]),
    ...(core === undefined ? [] : [`taskset --pid --cpu-list ${core} $$ >/dev/null`]),
    // What it has used until then is counted where it was before.
    ...(cgroup === undefined ? [] : [`echo $$ > '${cgroup}/cgroup.procs'`]),
    ...(cgroupFiles === undefined ? [] : [`mount --bind '${cgroupFiles}' /sys/fs/cgroup`]),
  ];
  const command = before.length === 0 ? [PROGRAM] : ['/bin/sh', '-c', [...before, 'exec "$0" "$@"'].join(' && '), PROGRAM];
  const [file = PROGRAM, ...first] = cgroupFiles === undefined ? command : ['unshare', '--mount', ...command];
  const child = spawn(file, [...first, ...args], { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

export interface Outcome {
  /** null: it did not end by itself. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command of `bin/tidegate` to its end. */
export async function runProgram(args: readonly string[], options: SpawnOptions = {}): Promise<Outcome> {
  const child = spawnProgram(args, options);
  let stderr = '';
  let stdout = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  const limit = setTimeout(() => child.kill('SIGKILL'), PATIENCE);
  const [code] = await once(child, 'close');
  clearTimeout(limit);
  return { code: code as number | null, stderr, stdout };
}
