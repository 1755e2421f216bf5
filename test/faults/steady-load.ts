/**
 * Requests by HTTP/1.1 at a steady rate, or as many as are answered: `Traffic` costs a core long before a gateway does. GET, on
 * connections that are kept as long as the answers let them.
 */
import { connect, type Socket } from 'node:net';
import { endWith, type Lifetime } from '../gateway/lifetime.ts';
import type { Answers } from './findings.ts';

const REQUEST = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
/** Milliseconds between looks at how many requests are due. */
const TICK = 5;
/** A request that nobody answers is a failure after so many milliseconds. */
const PATIENCE = 60_000;

export class SteadyLoad implements Answers {
  answered = 0;
  failed = 0;
  /** What went wrong, the first ten. */
  readonly failures: string[] = [];
  readonly #port: number;
  readonly #connections = new Set<Connection>();
  readonly #idle: Connection[] = [];
  #rate = 0;
  #due = 0;
  #last = performance.now();
  readonly #timer: NodeJS.Timeout;

  private constructor(port: number, connections: number) {
    this.#port = port;
    for (let index = 0; index < connections; index++) this.#open();
    this.#timer = setInterval(() => this.#tick(), TICK);
  }

  /** @param connections as many requests can be under way at once */
  static start(lifetime: Lifetime, port: number, connections: number): SteadyLoad {
    const load = new SteadyLoad(port, connections);
    endWith(lifetime, () => load.#end());
    return load;
  }

  /** From now on. @param rate requests a second; Infinity: the next one as soon as there is an answer */
  setRate(rate: number): void {
    this.#rate = rate;
    this.#due = 0;
    this.#last = performance.now();
    this.#send();
  }

  /** No more requests; those under way are answered. */
  async stop(): Promise<void> {
    this.setRate(0);
    for (const deadline = Date.now() + PATIENCE; this.#idle.length < this.#connections.size; await new Promise((resolve) => setTimeout(resolve, TICK))) {
      if (Date.now() > deadline) throw new Error('requests are still under way');
    }
    this.#end();
  }

  #end(): void {
    clearInterval(this.#timer);
    for (const connection of this.#connections) connection.socket.destroy();
    this.#connections.clear();
    this.#idle.length = 0;
  }

  #open(): void {
    const connection: Connection = new Connection(connect(this.#port, '127.0.0.1'), {
      answered: (problem, last) => this.#answered(connection, problem, last),
      closed: () => this.#closed(connection),
    });
    this.#connections.add(connection);
    this.#idle.push(connection);
  }

  #tick(): void {
    const now = performance.now();
    // What can't be sent in time is not sent later: this is a load, and no race.
    this.#due = Math.min(this.#connections.size, this.#due + (this.#rate * (now - this.#last)) / 1000);
    this.#last = now;
    this.#send();
    for (const { askedAt, socket } of this.#connections) if (now - askedAt > PATIENCE) socket.destroy(new Error('no answer'));
  }

  #send(): void {
    for (; this.#idle.length > 0 && (this.#due >= 1 || this.#rate === Number.POSITIVE_INFINITY); this.#due--) this.#idle.shift()?.ask();
  }

  #answered(connection: Connection, problem: string | undefined, last: boolean): void {
    if (!this.#connections.has(connection)) return;
    if (problem === undefined) this.answered++;
    else {
      this.failed++;
      if (this.failures.length < 10) this.failures.push(`${new Date().toISOString()} ${problem}`);
    }
    if (last) this.#replace(connection);
    else this.#idle.push(connection);
    this.#send();
  }

  /** A connection that rests may be closed by either side. */
  #closed(connection: Connection): void {
    if (!this.#connections.has(connection)) return;
    this.#idle.splice(this.#idle.indexOf(connection), 1);
    this.#replace(connection);
  }

  #replace(connection: Connection): void {
    connection.socket.destroy();
    this.#connections.delete(connection);
    this.#open();
  }
}

interface ConnectionOwner {
  /** @param problem undefined: status 200 with its whole body @param last the connection takes no other request */
  answered(problem: string | undefined, last: boolean): void;
  /** While no request was under way. */
  closed(): void;
}

/** One request at a time. */
class Connection {
  readonly socket: Socket;
  /** Infinity: nothing is under way. */
  askedAt = Number.POSITIVE_INFINITY;
  #head = '';
  #left = 0;
  #status = 0;
  #last = false;
  readonly #owner: ConnectionOwner;

  constructor(socket: Socket, owner: ConnectionOwner) {
    this.socket = socket;
    this.#owner = owner;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    socket.on('error', (error) => this.#broken(error.message));
    socket.on('close', () => this.#broken('closed'));
  }

  ask(): void {
    this.askedAt = performance.now();
    this.#status = 0;
    this.socket.write(REQUEST);
  }

  #take(bytes: Buffer): void {
    let body = bytes.length;
    if (this.#status === 0) {
      this.#head += bytes.toString('latin1');
      const end = this.#head.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = this.#head.slice(0, end);
      body = this.#head.length - end - 4;
      this.#head = '';
      this.#status = Number(head.slice(9, 12));
      this.#left = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1]);
      this.#last = /\r\nconnection: close/i.test(head);
    }
    this.#left -= body;
    if (this.#left === 0) this.#done(this.#status === 200 ? undefined : `status ${this.#status}`, this.#last);
    // NaN where no length was said, which the backends always say.
    else if (!(this.#left > 0)) this.#done('more or other bytes than an answer has', true);
  }

  #broken(problem: string): void {
    if (this.askedAt === Number.POSITIVE_INFINITY) this.#owner.closed();
    else this.#done(problem, true);
  }

  #done(problem: string | undefined, last: boolean): void {
    this.askedAt = Number.POSITIVE_INFINITY;
    this.#owner.answered(problem, last);
  }
}
