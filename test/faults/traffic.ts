/** Clients that ask all the time, by HTTP/1.1 or HTTP/2, and what they get and how soon. */
import { Agent, request } from 'node:http';
import { type ClientHttp2Session, connect, constants } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { endWith, type Lifetime } from '../gateway/lifetime.ts';
import type { Answers } from './findings.ts';

export const PROTOCOLS = ['HTTP/1.1', 'HTTP/2'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

export interface TrafficOptions {
  readonly protocol: Protocol;
  readonly port: number;
  readonly path: string;
  /** @default GET */
  readonly method?: string;
  readonly body?: string;
  /** Clients at once, each with a connection of its own. @default 4 */
  readonly clients?: number;
  /** Milliseconds that a client rests after an answer. @default 5 */
  readonly rest?: number;
  /** @default status 200 with its whole body */
  readonly wanted?: (outcome: Outcome) => boolean;
}

export interface Outcome {
  /** 0: no answer. */
  readonly status: number;
  readonly bytes: number;
  /** The answer was cut, or there was none. */
  readonly error?: string;
}

/** A request that nobody answers is a failure after so many milliseconds. */
const PATIENCE = 60_000;

export class Traffic implements Answers {
  answered = 0;
  failed = 0;
  /** What went wrong, the first ten. */
  readonly failures: string[] = [];
  readonly statuses = new Map<number, number>();
  #latencies: number[] = [];
  #stopping = false;
  readonly #options: TrafficOptions;
  readonly #clients: Promise<void>[];

  private constructor(options: TrafficOptions) {
    this.#options = options;
    this.#clients = Array.from({ length: options.clients ?? 4 }, () => this.#run());
  }

  static start(lifetime: Lifetime, options: TrafficOptions): Traffic {
    const traffic = new Traffic(options);
    endWith(lifetime, () => traffic.stop());
    return traffic;
  }

  get protocol(): Protocol {
    return this.#options.protocol;
  }

  get total(): number {
    return this.answered + this.failed;
  }

  /** Waits for so many more answers, good or bad. */
  async more(count: number): Promise<void> {
    const goal = this.total + count;
    for (const deadline = Date.now() + 180_000; this.total < goal; await sleep(5)) {
      if (Date.now() > deadline) throw new Error(`${this.answered} answers and ${this.failed} failures in three minutes: ${this.failures.join('; ')}`);
    }
  }

  /** @returns milliseconds that each answer took since the last call, of those that were as wanted */
  latencies(): readonly number[] {
    const taken = this.#latencies;
    this.#latencies = [];
    return taken;
  }

  /** Lets the requests under way end. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#clients);
  }

  async #run(): Promise<void> {
    const { protocol, rest = 5, wanted = (outcome: Outcome) => outcome.status === 200 && outcome.error === undefined } = this.#options;
    const client = protocol === 'HTTP/2' ? new Http2Client(this.#options) : new Http1Client(this.#options);
    while (!this.#stopping) {
      const began = performance.now();
      const outcome = await client.ask();
      this.statuses.set(outcome.status, (this.statuses.get(outcome.status) ?? 0) + 1);
      if (wanted(outcome)) {
        this.answered++;
        this.#latencies.push(performance.now() - began);
      } else {
        this.failed++;
        if (this.failures.length < 10)
          this.failures.push(`${new Date().toISOString()} ${protocol} ${outcome.status} ${outcome.error ?? ''} after ${outcome.bytes} bytes`);
      }
      await sleep(rest);
    }
    client.close();
  }
}

/** Keeps its connection until an answer says otherwise. */
class Http1Client {
  readonly #options: TrafficOptions;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(options: TrafficOptions) {
    this.#options = options;
  }

  async ask(): Promise<Outcome> {
    const { port, path, method = 'GET', body } = this.#options;
    return new Promise((resolve) => {
      let [status, bytes] = [0, 0];
      const fail = (error: Error): void => resolve({ status, bytes, error: error.message });
      const outgoing = request({ host: '127.0.0.1', port, path, method, agent: this.#agent, timeout: PATIENCE }, (response) => {
        status = response.statusCode ?? 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
        });
        response.on('error', fail);
        response.on('end', () => resolve({ status, bytes }));
      });
      outgoing.on('timeout', () => outgoing.destroy(new Error('no answer')));
      outgoing.on('error', fail);
      outgoing.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** One request at a time; a new connection after a GOAWAY, and again what that says was not looked at (RFC 9113 section 6.8). */
class Http2Client {
  readonly #options: TrafficOptions;
  #session: ClientHttp2Session | undefined;

  constructor(options: TrafficOptions) {
    this.#options = options;
  }

  async ask(): Promise<Outcome> {
    for (;;) {
      const outcome = await this.#askOnce();
      if (outcome !== undefined) return outcome;
    }
  }

  /** @returns undefined when the request was refused unseen */
  async #askOnce(): Promise<Outcome | undefined> {
    const { port, path, method = 'GET', body } = this.#options;
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      this.#session = connect(`http://127.0.0.1:${port}`);
      // Each stream tells of it, too.
      this.#session.on('error', () => {});
    }
    const session = this.#session;
    return new Promise((resolve) => {
      let [status, bytes] = [0, 0];
      let problem: Error | undefined;
      const stream = session.request({ ':path': path, ':method': method }, { endStream: body === undefined });
      stream.setTimeout(PATIENCE, () => {
        problem = new Error('no answer');
        stream.close(constants.NGHTTP2_CANCEL);
      });
      stream.on('response', (headers) => {
        status = Number(headers[':status']);
      });
      stream.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      stream.on('error', (error) => {
        problem = error;
      });
      stream.on('close', () => {
        if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM && status === 0) resolve(undefined);
        else if (problem === undefined && stream.rstCode === 0 && status !== 0) resolve({ status, bytes });
        else resolve({ status, bytes, error: problem?.message ?? `stream closed with code ${stream.rstCode}` });
      });
      if (body !== undefined) stream.end(body);
    });
  }

  close(): void {
    this.#session?.close();
  }
}
