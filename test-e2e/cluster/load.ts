/** Clients that ask without a pause, and count what they get: every error and every status that was not wanted. */
import { type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http';
import { Agent as SecureAgent, request as secureRequest } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { endWith, type Lifetime } from '../../test/gateway/lifetime.ts';

export interface LoadOptions {
  readonly host: string;
  readonly port: number;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Server name for TLS; absent: plain HTTP. */
  readonly serverName?: string;
  /** Clients at once, each with a connection that it keeps until an answer says `Connection: close`. @default 8 */
  readonly clients?: number;
  /** Milliseconds that a client rests after an answer. @default 5 */
  readonly rest?: number;
  /** Requests after which a client takes a new connection, so that new ones come all the time. @default 50 */
  readonly perConnection?: number;
  /** @default status 200 */
  readonly wanted?: (status: number, body: string) => boolean;
}

/** A request that nobody answers is a failure after so many milliseconds. */
const PATIENCE = 30_000;

export class Load {
  /** Good answers. */
  answered = 0;
  failed = 0;
  /** What went wrong, the first twenty. */
  readonly failures: string[] = [];
  /** Good answers by the body that came, when it is a sample backend's: by pod. */
  readonly pods = new Map<string, number>();
  #stopping = false;
  readonly #options: LoadOptions;
  readonly #clients: Promise<void>[];

  private constructor(options: LoadOptions) {
    this.#options = options;
    this.#clients = Array.from({ length: options.clients ?? 8 }, () => this.#run());
  }

  static start(lifetime: Lifetime, options: LoadOptions): Load {
    const load = new Load(options);
    endWith(lifetime, () => load.stop());
    return load;
  }

  /** Waits for so many more answers, good or bad. */
  async more(count: number): Promise<void> {
    const goal = this.answered + this.failed + count;
    for (const deadline = Date.now() + 180_000; this.answered + this.failed < goal; await sleep(10)) {
      if (Date.now() > deadline) throw new Error(`${this.answered} answers and ${this.failed} failures in three minutes: ${this.failures.join('; ')}`);
    }
  }

  /** Waits until that pod has answered a request that is still to come. */
  async untilAnsweredBy(pod: string): Promise<void> {
    const before = this.pods.get(pod) ?? 0;
    for (const deadline = Date.now() + 180_000; (this.pods.get(pod) ?? 0) === before; await sleep(10)) {
      if (Date.now() > deadline) throw new Error(`${pod} answers nothing; ${JSON.stringify([...this.pods])}`);
    }
  }

  /** Lets the requests under way end. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#clients);
  }

  async #run(): Promise<void> {
    const { serverName, perConnection = 50, rest = 5, wanted = (status: number) => status === 200 } = this.#options;
    const newAgent = (): PlainAgent =>
      serverName === undefined ? new PlainAgent({ keepAlive: true, maxSockets: 1 }) : new SecureAgent({ keepAlive: true, maxSockets: 1, maxCachedSessions: 0 });
    let agent = newAgent();
    for (let count = 1; !this.#stopping; count++) {
      try {
        const { status, body } = await this.#ask(agent);
        if (wanted(status, body)) {
          this.answered++;
          const pod = body.startsWith('{"pod"') ? (JSON.parse(body) as { pod: string }).pod : undefined;
          if (pod !== undefined) this.pods.set(pod, (this.pods.get(pod) ?? 0) + 1);
        } else {
          this.#fail(`status ${status}: ${body.slice(0, 200)}`);
        }
      } catch (error) {
        this.#fail(String(error));
      }
      if (count % perConnection === 0) {
        agent.destroy();
        agent = newAgent();
      }
      await sleep(rest);
    }
    agent.destroy();
  }

  #fail(what: string): void {
    this.failed++;
    if (this.failures.length < 20) this.failures.push(`${new Date().toISOString()} ${what}`);
  }

  async #ask(agent: PlainAgent): Promise<{ status: number; body: string }> {
    const { host, port, path = '/', headers = {}, serverName } = this.#options;
    return new Promise((resolve, reject) => {
      const taken = (response: IncomingMessage): void => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      };
      const options = { host, port, path, headers, agent, timeout: PATIENCE };
      const outgoing =
        serverName === undefined ? plainRequest(options, taken) : secureRequest({ ...options, servername: serverName, rejectUnauthorized: false }, taken);
      outgoing.on('timeout', () => outgoing.destroy(new Error('no answer')));
      outgoing.on('error', reject);
      outgoing.end();
    });
  }
}
