/**
 * `make bench-control`: Tidegate before a real API server with 10,000 Ingresses. Everything is in namespaces of this run's
 * own, as the cluster tier has them (test-e2e/run.ts says why). Keeps its table in docs/performance.md.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const inside = join(import.meta.dirname, 'control/start.sh');
const NAMESPACES = [...(process.getuid?.() === 0 ? [] : ['--map-root-user']), '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];

const folder = mkdtempSync(join(tmpdir(), 'tidegate-bench-control-'));
const child = spawn('unshare', [...NAMESPACES, 'sh', inside, process.execPath, ...process.argv.slice(2)], {
  cwd: join(import.meta.dirname, '..'),
  stdio: ['ignore', 'inherit', 'inherit'],
  env: { ...process.env, TMPDIR: folder },
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => child.kill('SIGKILL'));
const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
rmSync(folder, { recursive: true, force: true });
process.exitCode = code ?? 1;
