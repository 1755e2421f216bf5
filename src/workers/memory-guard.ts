/**
 * Keeps the process below the memory limit of its container (cgroup): from 95 % on new requests are shed, until it is below 90 %
 * again. What the kernel takes back by itself, the page cache of files that nobody reads any more, does not count, as it does not
 * with the kubelet.
 */
import { readFileSync } from 'node:fs';

/** @returns the text of a file; undefined where there is none */
export type ReadFile = (path: string) => string | undefined;

const ROOT = '/sys/fs/cgroup';
const SHED_FROM = 0.95;
const TAKE_BELOW = 0.9;
const INTERVAL = 250;

/** Where a cgroup has its figures, in its two versions. */
const FILES = [
  { controller: '', root: ROOT, limit: 'memory.max', usage: 'memory.current', inactive: 'inactive_file' },
  { controller: 'memory', root: `${ROOT}/memory`, limit: 'memory.limit_in_bytes', usage: 'memory.usage_in_bytes', inactive: 'total_inactive_file' },
] as const;

interface MemoryGroup {
  readonly limit: number;
  /** Share of the limit that is in use; 0 where it can't be read. */
  readonly used: () => number;
}

export class MemoryGuard {
  readonly #groups: readonly MemoryGroup[];
  readonly #onChange: (isShort: boolean, used: number) => void;
  #isShort = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param onChange hears when memory turns short, and when it no longer is, with the share that is in use */
  constructor(onChange: (isShort: boolean, used: number) => void, read: ReadFile = readText) {
    this.#groups = groupsOf(read);
    this.#onChange = onChange;
  }

  /** Bytes that the process may use; undefined: there is no limit, and nothing to guard. */
  get limit(): number | undefined {
    return this.#groups.length === 0 ? undefined : Math.min(...this.#groups.map(({ limit }) => limit));
  }

  start(): void {
    if (this.#groups.length === 0) return;
    this.#timer = setInterval(() => this.look(), INTERVAL);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  look(): void {
    const used = Math.max(0, ...this.#groups.map((group) => group.used()));
    const isShort = this.#isShort ? used >= TAKE_BELOW : used >= SHED_FROM;
    if (isShort === this.#isShort) return;
    this.#isShort = isShort;
    this.#onChange(isShort, used);
  }
}

/** Our own cgroup and those above it, as far as they have a limit: the tightest one counts. */
function groupsOf(read: ReadFile): MemoryGroup[] {
  const groups: MemoryGroup[] = [];
  const lines = (read('/proc/self/cgroup') ?? '').split('\n').map((line) => /^\d+:([^:]*):(.*)$/.exec(line));
  for (const { controller, root, limit: limitFile, usage, inactive } of FILES) {
    const line = lines.find((match) => (match?.[1] ?? '-').split(',').includes(controller));
    if (line === undefined || line === null) continue;
    // Within a container the path may be that of the host, where there is nothing: then the root is ours.
    const parts = (line[2] ?? '').split('/').filter((part) => part !== '' && part !== '..');
    for (let depth = parts.length; depth >= 0; depth--) {
      const folder = [root, ...parts.slice(0, depth)].join('/');
      const limit = Number(read(`${folder}/${limitFile}`)?.trim() ?? 'none');
      // Without a limit it is `max`, or in version 1 a number beyond any memory.
      if (!(limit > 0 && limit < 2 ** 60)) continue;
      groups.push({ limit, used: () => usedBytes(read, folder, usage, inactive) / limit });
    }
  }
  return groups;
}

function usedBytes(read: ReadFile, folder: string, usage: string, inactive: string): number {
  const used = Number(read(`${folder}/${usage}`)?.trim() ?? 0);
  const reclaimable = new RegExp(`^${inactive} (\\d+)$`, 'm').exec(read(`${folder}/memory.stat`) ?? '')?.[1] ?? 0;
  return Number.isFinite(used) ? Math.max(0, used - Number(reclaimable)) : 0;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
