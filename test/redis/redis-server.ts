/** Real Redis servers on loopback: alone, as nodes of a cluster, as sentinels. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { freePort } from '../../scripts/free-port.ts';
import { endWith, type Lifetime, PATIENCE } from '../gateway/lifetime.ts';

const servers = new Set<ChildProcess>();

// The last resort, for tests that are cut off before their hooks run, as program.ts in gateway/ has it.
process.on('exit', () => {
  for (const server of servers) server.kill('SIGKILL');
});
process.once('SIGTERM', () => process.exit(128 + 15));

let isInstalled = false;

/** @throws when it is missing and can't be installed */
function install(): void {
  if (isInstalled) return;
  execFileSync('sh', [join(import.meta.dirname, '../../scripts/redis-server.sh')], { stdio: 'inherit' });
  isInstalled = true;
}

export class RedisServer {
  readonly port: number;
  readonly folder: string;
  readonly #args: readonly string[];
  readonly #isTls: boolean;
  #process: ChildProcess | undefined;

  private constructor(port: number, folder: string, args: readonly string[]) {
    this.port = port;
    this.folder = folder;
    this.#args = args;
    this.#isTls = args.includes('--tls-port');
  }

  /**
   * Resolves once it answers. It keeps nothing on disk.
   * @param args further ones of redis-server, `PORT` and `FOLDER` in them for its own
   * @param files in its folder, with the same words in them
   */
  static async start(lifetime: Lifetime, args: readonly string[] = [], files: Readonly<Record<string, string>> = {}): Promise<RedisServer> {
    install();
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-redis-'));
    const own = (text: string): string => text.replaceAll('PORT', String(port)).replaceAll('FOLDER', folder);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), own(text));
    const server = new RedisServer(port, folder, args.map(own));
    endWith(lifetime, async () => {
      await server.kill();
      rmSync(folder, { recursive: true, force: true });
    });
    await server.run();
    return server;
  }

  /** One that watches a primary, and needs no other to agree that it is gone. */
  static startSentinel(lifetime: Lifetime, primary: number): Promise<RedisServer> {
    const config = `port PORT\nbind 127.0.0.1\ndir FOLDER\nsentinel monitor main 127.0.0.1 ${primary} 1\nsentinel down-after-milliseconds main 2000\nsentinel failover-timeout main 2000\n`;
    return RedisServer.start(lifetime, ['FOLDER/sentinel.conf', '--sentinel'], { 'sentinel.conf': config });
  }

  static startTls(lifetime: Lifetime, { cert, key }: { readonly cert: string; readonly key: string }, password: string): Promise<RedisServer> {
    const tls = ['--tls-port', 'PORT', '--tls-cert-file', 'FOLDER/tls.crt', '--tls-key-file', 'FOLDER/tls.key', '--tls-auth-clients', 'no'];
    return RedisServer.start(lifetime, [...tls, '--requirepass', password], { 'tls.crt': cert, 'tls.key': key });
  }

  /** Once more, after `kill`. */
  async run(): Promise<void> {
    const isSentinel = this.#args.includes('--sentinel');
    const own = ['--bind', '127.0.0.1', ...(this.#isTls ? ['--port', '0'] : ['--port', String(this.port)]), '--dir', this.folder];
    const args = isSentinel ? [...this.#args] : [...own, '--save', '', '--appendonly', 'no', ...this.#args];
    const server = spawn('redis-server', args, { stdio: 'ignore' });
    servers.add(server);
    server.once('exit', () => servers.delete(server));
    this.#process = server;
    await this.#untilOpen();
  }

  async #untilOpen(): Promise<void> {
    const until = performance.now() + PATIENCE;
    for (;;) {
      const isOpen = await new Promise<boolean>((resolve) => {
        const socket = connect(this.port, '127.0.0.1', () => {
          socket.destroy();
          resolve(true);
        });
        socket.on('error', () => resolve(false));
      });
      if (isOpen) return;
      if (performance.now() > until || this.#process?.exitCode !== null) throw new Error(`redis-server does not open port ${this.port}`);
      await sleep(20);
    }
  }

  /** Ends without a word. */
  async kill(): Promise<void> {
    const running = this.#process;
    this.#process = undefined;
    if (running === undefined || running.exitCode !== null) return;
    const exited = once(running, 'exit');
    running.kill('SIGKILL');
    await exited;
  }

  /** Is there and does not answer. */
  pause(): void {
    this.#process?.kill('SIGSTOP');
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  /** For the test's own commands. */
  client(lifetime: Lifetime, options: { readonly password?: string } = {}): Redis {
    const client = new Redis({ port: this.port, host: '127.0.0.1', protocol: 2, ...options });
    client.on('error', () => {});
    endWith(lifetime, () => client.disconnect());
    return client;
  }
}
