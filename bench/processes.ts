/** Processes of a bench run: started on given cores, watched for CPU time and memory, and ended by their ids. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';

/** Ticks a second of the times in /proc/<pid>/stat; 100 on every Linux that there is. */
const TICKS = 100;

const running = new Set<ChildProcess>();

/** Ends whatever still runs; for the end of the program, however it comes. */
export function killAll(): void {
  for (const child of running) child.kill('SIGKILL');
}

export interface StartOptions {
  /** As `taskset -c` takes them. */
  readonly cores: string;
  readonly env?: NodeJS.ProcessEnv;
}

export class Process {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #output: Buffer[] = [];

  constructor(name: string, command: string, args: readonly string[], options: StartOptions) {
    this.#name = name;
    this.#child = spawn('taskset', ['-c', options.cores, command, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
    });
    running.add(this.#child);
    this.#child.on('exit', () => running.delete(this.#child));
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (bytes: Buffer) => {
        if (this.#output.length < 100) this.#output.push(bytes);
      });
    }
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** What it has written so far, for error messages. */
  get output(): string {
    return Buffer.concat(this.#output).toString();
  }

  /** @throws when the process ends first, or after 60 s */
  async untilListening(port: number): Promise<void> {
    await this.until(() => accepts(port), `listen on ${port}`);
  }

  /** @throws when the process ends first, or after 60 s */
  async until(condition: () => Promise<boolean>, what: string): Promise<void> {
    const deadline = performance.now() + 60_000;
    while (!(await condition())) {
      if (this.ended) throw new Error(`${this.#name} ended before it could ${what}:\n${this.output}`);
      if (performance.now() > deadline) throw new Error(`${this.#name} did not ${what} within 60 s:\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  async stop(): Promise<void> {
    if (this.ended) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    await gone;
    clearTimeout(timer);
  }

  /** CPU seconds of the process and its children so far. */
  cpuSeconds(): number {
    let ticks = 0;
    for (const pid of this.#family()) {
      // The name in parentheses may hold spaces; utime and stime are the 12th and 13th fields after it.
      const fields = afterName(pid).split(' ');
      ticks += Number(fields[11]) + Number(fields[12]);
    }
    return ticks / TICKS;
  }

  /** Resident memory in MiB. Of a process with children, pages that they share count once. */
  residentMiB(): number {
    const family = this.#family();
    let kib = 0;
    for (const pid of family) {
      const [file, field] = family.length === 1 ? (['status', /^VmRSS:\s+(\d+)/m] as const) : (['smaps_rollup', /^Pss:\s+(\d+)/m] as const);
      kib += Number(field.exec(readFileSync(`/proc/${pid}/${file}`, 'utf8'))?.[1] ?? 0);
    }
    return kib / 1024;
  }

  #family(): number[] {
    const family = [this.pid];
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      try {
        if (Number(afterName(Number(entry)).split(' ')[1]) === this.pid) family.push(Number(entry));
      } catch {
        // It ended while we looked.
      }
    }
    return family;
  }
}

function afterName(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** Runs a command to its end and gives its output. @throws when it fails */
export async function outputOf(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  const output: Buffer[] = [];
  child.stdout.on('data', (bytes: Buffer) => output.push(bytes));
  child.stderr.on('data', (bytes: Buffer) => output.push(bytes));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  running.delete(child);
  const text = Buffer.concat(output).toString();
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} failed with exit code ${code}:\n${text}`);
  return text;
}
