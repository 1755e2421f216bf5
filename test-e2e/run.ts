/**
 * Runs cases against a control plane of this run's own: `node test-e2e/run.ts [GLOB...]`; or a program that starts control
 * planes itself: `node test-e2e/run.ts --program FILE [ARGUMENT...]`. Everything is in a network
 * namespace, for EndpointSlices refuse loopback addresses, and pods need some; and in a namespace of processes, so that
 * nothing outlives the run, however it ends. The last line is the sum; what the machine lacks makes it a skipped one.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findPrograms, ProgramsMissing } from './control-plane/programs.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const inside = fileURLToPath(new URL('inside.ts', import.meta.url));
const PREFIX = 'tidegate-e2e-';

/** Flags of unshare(1) for root and for anybody else. */
const NAMESPACES = [...(process.getuid?.() === 0 ? [] : ['--map-root-user']), '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];

function skip(why: string): void {
  console.log(`skipped the cluster tier: ${why}`);
  console.log('0 passed, 0 failed, 1 skipped');
}

/** One line, or undefined when namespaces can be had. */
function namespacesRefused(): string | undefined {
  const { status, error, stderr } = spawnSync('unshare', [...NAMESPACES, 'ip', 'link', 'set', 'lo', 'up'], { encoding: 'utf8' });
  if (error !== undefined) return 'unshare is missing (on Debian: apt-get install util-linux)';
  if (status === 0) return undefined;
  if (stderr.includes('ip')) return 'ip is missing (on Debian: apt-get install iproute2)';
  return `no namespace can be made here (${stderr.trim()}): run it as root, or allow user namespaces`;
}

/** Folders of runs that could not remove theirs. */
function sweep(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = /^tidegate-e2e-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

async function main(args: readonly string[]): Promise<number> {
  const refused = namespacesRefused();
  if (refused !== undefined) {
    skip(refused);
    return 0;
  }
  let programs: Awaited<ReturnType<typeof findPrograms>>;
  try {
    programs = await findPrograms();
  } catch (error) {
    if (!(error instanceof ProgramsMissing)) throw error;
    skip(error.message);
    return 0;
  }

  sweep();
  const folder = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
  const path = [...new Set([dirname(programs.kubectl), dirname(programs.helm)]), process.env.PATH].join(delimiter);
  // unshare takes its child along when it is killed. The child ends when its standard input does, which is when this
  // process is gone for whatever reason.
  const child = spawn('unshare', [...NAMESPACES, process.execPath, inside, ...args], {
    cwd: root,
    stdio: ['pipe', 'inherit', 'inherit'],
    env: { ...process.env, TMPDIR: folder, KUBECACHEDIR: join(folder, 'kubectl'), PATH: path },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => child.kill('SIGKILL'));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  rmSync(folder, { recursive: true, force: true });
  return code ?? 1;
}

process.exitCode = await main(process.argv.slice(2));
