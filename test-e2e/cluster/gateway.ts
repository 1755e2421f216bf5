/** Replicas of the built program against an API server, as processes with an address of their own each. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { endWith, type Lifetime } from '../../test/gateway/lifetime.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/tidegate', import.meta.url));

/** Where a gateway can be reached; all that a case on routing knows of it. */
export interface GatewayAddress {
  readonly host: string;
  readonly http: number;
  readonly https: number;
}

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface GatewayOptions {
  /** Flags of `serve` besides the addresses, `--kubeconfig FILE` say. */
  readonly args: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  /** A command that the program is started by, such as one that puts ServiceAccount files into their place. */
  readonly prefix?: readonly string[];
  /** Loopback address; a replica that takes the place of another one has its. */
  readonly host?: string;
}

const PATIENCE = 180_000;

export class Gateway implements GatewayAddress {
  readonly host: string;
  readonly http = 8080;
  readonly https = 8443;
  readonly admin = 9901;
  readonly log: LogLine[] = [];
  readonly access: Readonly<Record<string, unknown>>[] = [];
  /** Lines that are no JSON. */
  readonly errors: string[] = [];
  readonly process: ChildProcess;
  readonly exited: Promise<number | null>;

  private constructor(options: GatewayOptions) {
    const { prefix = [], args, environment = {} } = options;
    this.host = options.host ?? `127.${randomInt(1, 255)}.${randomInt(0, 256)}.${randomInt(1, 255)}`;
    const addresses = ['--http', `${this.host}:${this.http}`, '--https', `${this.host}:${this.https}`, '--admin', `${this.host}:${this.admin}`];
    const [command, ...rest] = [...prefix, PROGRAM, 'serve', ...addresses, ...args] as [string, ...string[]];
    this.process = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, KUBECONFIG: undefined, ...environment } });
    this.exited = once(this.process, 'exit').then(([code]) => code as number | null);
    createInterface({ input: this.process.stderr as NodeJS.ReadableStream }).on('line', (line) => this.#take(line, this.log));
    createInterface({ input: this.process.stdout as NodeJS.ReadableStream }).on('line', (line) => this.#take(line, this.access));
  }

  /** Starts it; whether it is ready is another matter. */
  static launch(lifetime: Lifetime, options: GatewayOptions): Gateway {
    const gateway = new Gateway(options);
    endWith(lifetime, () => gateway.stop());
    return gateway;
  }

  /** Starts it and waits until `/readyz` says so. */
  static async start(lifetime: Lifetime, options: GatewayOptions): Promise<Gateway> {
    const gateway = Gateway.launch(lifetime, options);
    await gateway.untilReady();
    return gateway;
  }

  get running(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Status and body of a path of the admin port; status 0 when nobody answers. */
  async adminGet(path: string): Promise<{ readonly status: number; readonly body: string }> {
    return new Promise((resolve) => {
      const outgoing = request({ host: this.host, port: this.admin, path, agent: false, timeout: 5000 }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', () => resolve({ status: 0, body: '' }));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      });
      outgoing.on('timeout', () => outgoing.destroy());
      outgoing.on('error', () => resolve({ status: 0, body: '' }));
      outgoing.end();
    });
  }

  async untilReady(): Promise<void> {
    await this.until(async () => (await this.adminGet('/readyz')).status === 200, 'readiness');
  }

  /** The first line of its log with that message; waits for it. */
  async untilLogged(message: string, matches: (line: LogLine) => boolean = () => true): Promise<LogLine> {
    const find = (): LogLine | undefined => this.log.find((line) => line.msg === message && matches(line));
    await this.until(async () => find() !== undefined, `log line "${message}"`);
    return find() as LogLine;
  }

  /** Value of a metric with exactly these labels, as they are written: `name{a="b"}`; 0 when it is not there. */
  async metric(series: string): Promise<number> {
    const { body } = await this.adminGet('/metrics');
    const line = body.split('\n').find((text) => text.startsWith(`${series} `));
    return line === undefined ? 0 : Number(line.slice(series.length + 1));
  }

  /** @throws with its log when it ends before, or three minutes have passed */
  async until(reached: () => Promise<boolean>, what: string): Promise<void> {
    for (const deadline = Date.now() + PATIENCE; !(await reached()); await sleep(20)) {
      if (this.running && Date.now() < deadline) continue;
      const log = this.log.slice(-30).map((line) => JSON.stringify(line));
      throw new Error(`no ${what}; exit code ${this.process.exitCode}\n${[...this.errors, ...log].join('\n')}`);
    }
  }

  /** @returns the exit code; null where it had to be killed */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.running) this.process.kill(signal);
    const timer = setTimeout(() => this.process.kill('SIGKILL'), 45_000);
    const code = await this.exited;
    clearTimeout(timer);
    return code;
  }

  #take<T>(line: string, parsed: T[]): void {
    try {
      parsed.push(JSON.parse(line) as T);
    } catch {
      this.errors.push(line);
    }
  }
}
