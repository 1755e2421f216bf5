/** Other people's programs, as the suites run them. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { endWith, type Lifetime, PATIENCE } from '../gateway/lifetime.ts';

/** Where prerequisites.sh puts what it builds. */
const BUILT = fileURLToPath(new URL('../../.cache/suites/', import.meta.url));

/** A program that prerequisites.sh has built. */
export function built(name: 'h2spec' | 'grpc-interop-client' | 'grpc-interop-server'): string {
  return BUILT + name;
}

export interface Outcome {
  /** null: it was ended because it took longer than PATIENCE allows. */
  readonly code: number | null;
  /** Standard output and standard error. */
  readonly output: string;
}

/** Runs it to its end. */
export async function runForeign(program: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(
      program,
      args,
      { encoding: 'utf8', timeout: 3 * PATIENCE, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 * 1024, env: { ...process.env, ...environment } },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
        resolve({ code, output: `${stdout}${stderr}` });
      },
    );
  });
}

/** Starts a server that lives as long as `lifetime`. */
export function startForeign(lifetime: Lifetime, program: string, args: readonly string[]): ChildProcess {
  const child = spawn(program, args, { stdio: 'ignore' });
  const exited = once(child, 'exit');
  endWith(lifetime, async () => {
    child.kill('SIGTERM');
    await exited;
  });
  return child;
}
