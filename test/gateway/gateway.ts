/** Starts the built program on a folder of its own and ports of its own, as a user would. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { get } from './client.ts';
import { endWith, type Lifetime, PATIENCE } from './lifetime.ts';
import { type Limits, spawnProgram } from './program.ts';

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface AccessLine {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly reason?: string;
  readonly [field: string]: unknown;
}

export class GatewayUnderTest {
  readonly folder: string;
  readonly process: ChildProcess;
  readonly log: LogLine[] = [];
  readonly access: AccessLine[] = [];
  /** Lines on standard error that are no log lines. */
  readonly errors: string[] = [];
  http = 0;
  https = 0;
  admin = 0;
  #waiting = new Set<() => void>();
  /** Resolves with the exit code once the process has ended and all that it wrote was read. */
  readonly exited: Promise<number | null>;
  #hasEnded = false;

  private constructor(folder: string, args: readonly string[], environment: NodeJS.ProcessEnv, limits: Limits) {
    this.folder = folder;
    // As many workers on every machine: what one of them counts or keeps for itself shows in a test.
    const workers = args.includes('--workers') ? [] : ['--workers', '2'];
    const addresses = ['--http', '127.0.0.1:0', '--https', '127.0.0.1:0', '--admin', '127.0.0.1:0'];
    this.process = spawnProgram(
      ['serve', '--manifests', folder, ...addresses, '--drain-delay', '100ms', ...workers, ...args],
      { env: { ...process.env, ...environment } },
      limits,
    );
    this.exited = once(this.process, 'close').then(([code]) => code as number | null);
    createInterface({ input: this.process.stderr as NodeJS.ReadableStream }).on('line', (line) => this.#take(line, this.log, this.errors));
    createInterface({ input: this.process.stdout as NodeJS.ReadableStream }).on('line', (line) => this.#take(line, this.access, this.errors));
    void this.exited.then(() => {
      this.#hasEnded = true;
      this.#wake();
    });
  }

  /**
   * Resolves once it serves. At the end of its lifetime it is stopped, and has to exit with 0.
   * @param files manifests by file name
   * @param args further flags of `serve`; two workers where they name no number
   */
  static async start(
    lifetime: Lifetime,
    files: Readonly<Record<string, string>>,
    args: readonly string[] = [],
    environment: NodeJS.ProcessEnv = {},
    limits: Limits = {},
  ): Promise<GatewayUnderTest> {
    const folder = await mkdtemp(join(tmpdir(), 'tidegate-test-'));
    endWith(lifetime, () => rm(folder, { recursive: true, force: true }));
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    const gateway = new GatewayUnderTest(folder, args, environment, limits);
    endWith(lifetime, async () => assert.equal(await gateway.stop(), 0, 'exit code of the gateway'));
    const serving = (await gateway.untilLogged('serving')) as { http?: { port: number }; https?: { port: number } };
    gateway.http = serving.http?.port ?? 0;
    gateway.https = serving.https?.port ?? 0;
    gateway.admin = Number(gateway.log.find((line) => line.msg === 'admin port open')?.port);
    return gateway;
  }

  async write(file: string, text: string): Promise<void> {
    await mkdir(dirname(join(this.folder, file)), { recursive: true });
    await writeFile(join(this.folder, file), text);
  }

  /** The first log line with that message; waits for it. */
  async untilLogged(message: string, matches: (line: LogLine) => boolean = () => true): Promise<LogLine> {
    return this.#until(() => this.log.find((line) => line.msg === message && matches(line)), `log line "${message}"`);
  }

  async untilAccess(matches: (line: AccessLine) => boolean): Promise<AccessLine> {
    return this.#until(() => this.access.find(matches), 'access log line');
  }

  /** Asks until the answer is as wanted: how a test waits for an edit to be live. It is so at every worker then. */
  async until(path: string, wanted: (status: number, body: string) => boolean, headers: Readonly<Record<string, string>> = {}): Promise<void> {
    for (const deadline = Date.now() + PATIENCE; ; ) {
      const answer = await get(this.http, path, headers);
      if (wanted(answer.status, answer.body)) break;
      if (Date.now() > deadline) throw new Error(`${path} still answers ${answer.status} ${answer.body}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await this.untilAllWorkers();
  }

  /**
   * Waits until what is in force at one worker is so at each. A scrape asks every worker, in the order of what it was sent before;
   * with a second one each has had a turn of its loop more, in which the rest of a change that took its time is done.
   */
  async untilAllWorkers(): Promise<void> {
    for (let scrape = 0; scrape < 2; scrape++) await get(this.admin, '/metrics');
  }

  /** For tests that look at what is there after the end. @returns the exit code */
  async stop(): Promise<number | null> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill('SIGTERM');
    const timer = setTimeout(() => this.process.kill('SIGKILL'), PATIENCE);
    const code = await this.exited;
    clearTimeout(timer);
    return code;
  }

  async #until<T>(find: () => T | undefined, what: string): Promise<T> {
    let isLate = false;
    const deadline = setTimeout(() => {
      isLate = true;
      this.#wake();
    }, PATIENCE);
    try {
      for (;;) {
        const found = find();
        if (found !== undefined) return found;
        if (this.#hasEnded || isLate) {
          throw new Error(
            `no ${what}; exit code ${this.process.exitCode}; ${this.errors.join('\n')}\n${this.log.map((line) => JSON.stringify(line)).join('\n')}`,
          );
        }
        await new Promise<void>((resolve) => this.#waiting.add(resolve));
      }
    } finally {
      clearTimeout(deadline);
    }
  }

  #take<T>(line: string, parsed: T[], others: string[]): void {
    try {
      parsed.push(JSON.parse(line) as T);
    } catch {
      others.push(line);
    }
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
