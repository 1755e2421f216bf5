/** What run.ts starts inside the namespaces: the control plane for all files, then the files. */
import { execFileSync, spawn } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ControlPlane } from './control-plane/control-plane.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const CASES = ['test-e2e/**/*.test.ts'];

/** Whole range of pod addresses: with a local route every one of them can be listened on. */
const POD_ADDRESSES = '10.244.0.0/16';

// This is the first process of its namespace: when it ends, so do all others.
process.stdin
  .on('end', () => process.exit(1))
  .on('error', () => process.exit(1))
  .resume();

execFileSync('ip', ['link', 'set', 'lo', 'up']);
execFileSync('ip', ['route', 'add', 'local', POD_ADDRESSES, 'dev', 'lo']);

const plane = await ControlPlane.start();
await plane.installCrds();

const globs = process.argv.slice(2);
const { NODE_TEST_CONTEXT: _, ...clean } = process.env;
const tests = spawn(process.execPath, ['scripts/test.ts', ...(globs.length === 0 ? CASES : globs)], {
  cwd: root,
  env: { ...clean, KUBECONFIG: plane.kubeconfig },
  stdio: ['ignore', 'inherit', 'inherit'],
});
const code = await new Promise<number | null>((resolve) => tests.on('close', resolve));
await plane.stop();
process.exit(code ?? 1);
