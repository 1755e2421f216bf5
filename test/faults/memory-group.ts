/** A memory limit for a gateway: that of a cgroup where this machine lets us make one, else one that is made up. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { endWith, type Lifetime } from '../gateway/lifetime.ts';
import { planted } from './planted.ts';

/** How a process gets under the limit, and how what is in use grows and shrinks. */
export interface MemoryGroup {
  /** What it is, for the report. */
  readonly kind: string;
  /** Folder of the cgroup, which the process joins before anything else; undefined: none. */
  readonly folder?: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Another process under the limit takes so much that the given share is in use. */
  fillTo(share: number): Promise<void>;
  /** What the other process took is free again. */
  release(): Promise<void>;
}

const VERSIONS = [
  { version: 1, root: '/sys/fs/cgroup/memory', limit: 'memory.limit_in_bytes', usage: 'memory.usage_in_bytes', inactive: 'total_inactive_file' },
  { version: 2, root: '/sys/fs/cgroup', limit: 'memory.max', usage: 'memory.current', inactive: 'inactive_file' },
] as const;

/** Where files are memory. */
const SHARED_MEMORY = '/dev/shm';

/** @param limit bytes */
export async function memoryGroup(lifetime: Lifetime, limit: number): Promise<MemoryGroup> {
  return (await realGroup(lifetime, limit)) ?? madeUpGroup(lifetime, limit);
}

async function realGroup(lifetime: Lifetime, limit: number): Promise<MemoryGroup | undefined> {
  const files = VERSIONS.find(({ root, limit: file }) => existsSync(join(root, file)) || existsSync(join(root, 'cgroup.subtree_control')));
  if (files === undefined || !existsSync(SHARED_MEMORY)) return undefined;
  const folder = join(files.root, `tidegate-test-${process.pid}-${Date.now()}`);
  try {
    if (files.version === 2) await writeFile(join(files.root, 'cgroup.subtree_control'), '+memory');
    await mkdir(folder);
    // First at the start, so last at the end: a group with a process in it can't be removed.
    endWith(lifetime, () => rmdir(folder));
    await writeFile(join(folder, files.limit), String(limit));
  } catch {
    return undefined;
  }
  const ballast = mkdtempSync(join(SHARED_MEMORY, 'tidegate-ballast-'));
  const release = async (): Promise<void> => rmSync(join(ballast, 'file'), { force: true });
  endWith(lifetime, () => rmSync(ballast, { recursive: true, force: true }));
  const read = (file: string): string => readFileSync(join(folder, file), 'latin1');
  return {
    kind: `a cgroup of version ${files.version} with a limit of ${limit / 1024 / 1024} MiB`,
    folder,
    environment: {},
    async fillTo(share) {
      // As the gateway counts: what the kernel takes back by itself is not in use.
      const inactive = Number(new RegExp(`^${files.inactive} (\\d+)$`, 'm').exec(read('memory.stat'))?.[1] ?? 0);
      const bytes = Math.max(0, Math.round(limit * share) - (Number(read(files.usage)) - inactive));
      const script = 'echo $$ > "$0/cgroup.procs" && exec head -c "$1" /dev/zero >> "$2"';
      await promisify(execFile)('/bin/sh', ['-c', script, folder, String(bytes), join(ballast, 'file')]);
    },
    release,
  };
}

/** What the kernel would say of a container: the gateway's own reading of it is in the tests of the memory guard. */
const KERNEL = (limit: number): string => `
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
const read = fs.readFileSync.bind(fs);
const made = {
  '/proc/self/cgroup': () => '0::/\\n',
  '/sys/fs/cgroup/memory.max': () => '${limit}\\n',
  '/sys/fs/cgroup/memory.current': () => { try { return read(import.meta.dirname + '/used', 'latin1'); } catch { return '0'; } },
  '/sys/fs/cgroup/memory.stat': () => 'inactive_file 0\\n',
};
fs.readFileSync = (path, options) => (Object.hasOwn(made, path) ? made[path]() : read(path, options));
syncBuiltinESMExports();
`;

async function madeUpGroup(lifetime: Lifetime, limit: number): Promise<MemoryGroup> {
  const { folder, environment } = await planted(lifetime, KERNEL(limit));
  const use = (share: number): Promise<void> => writeFile(join(folder, 'used'), String(Math.round(limit * share)));
  return { kind: 'a cgroup that is made up, since none can be made on this machine', environment, fillTo: use, release: () => use(0) };
}
