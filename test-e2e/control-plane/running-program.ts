/** A program that runs in the background with its output in a file, and is ended by its process id. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';

export class RunningProgram {
  readonly #child: ChildProcess;
  readonly #log: string;
  readonly #name: string;
  readonly #exited: Promise<unknown>;

  /** @param log file that takes the output of both kinds, behind what it has already */
  constructor(path: string, args: readonly string[], log: string) {
    const output = openSync(log, 'a');
    this.#name = basename(path);
    this.#log = log;
    this.#child = spawn(path, args, { stdio: ['ignore', output, output] });
    this.#exited = once(this.#child, 'exit');
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** @throws with the end of its output when it does not run any more */
  async assertRunning(): Promise<void> {
    if (this.running) return;
    const lines = (await readFile(this.#log, 'utf8')).trimEnd().split('\n');
    throw new Error(`${this.#name} ended with ${this.#child.exitCode ?? this.#child.signalCode}; the end of its output:\n${lines.slice(-15).join('\n')}`);
  }

  /** Ends it, by SIGKILL where ten seconds were not enough, and waits for its end. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (!this.running) return;
    this.#child.kill(signal);
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    await this.#exited;
    clearTimeout(timer);
  }
}
