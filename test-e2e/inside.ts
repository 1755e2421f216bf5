/**
 * What run.ts starts inside the namespaces: the control plane for all files, then the files; or a program that starts
 * what it needs itself.
 */
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

const { NODE_TEST_CONTEXT: _, ...clean } = process.env;

async function node(args: readonly string[], environment: NodeJS.ProcessEnv): Promise<number> {
  const child = spawn(process.execPath, args, { cwd: root, env: { ...clean, ...environment }, stdio: ['ignore', 'inherit', 'inherit'] });
  return (await new Promise<number | null>((resolve) => child.on('close', resolve))) ?? 1;
}

const [first, ...rest] = process.argv.slice(2);
if (first === '--program') process.exit(await node(rest, {}));

const plane = await ControlPlane.start();
await plane.installCrds();
const code = await node(['scripts/test.ts', ...(first === undefined ? CASES : [first, ...rest])], { KUBECONFIG: plane.kubeconfig });
await plane.stop();
process.exit(code);
