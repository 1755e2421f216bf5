/** A proxy of connections that can be told to misbehave, and a balancer of connections that follows `/readyz`. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { endWith, type Lifetime } from '../../test/gateway/lifetime.ts';
import type { Gateway } from './gateway.ts';

export interface Target {
  readonly host: string;
  readonly port: number;
}

export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #stalled = false;
  #refusing = false;
  /** Connections so far. */
  connections = 0;
  /** Why connections were reset that nobody had asked to reset, and when. */
  readonly resets: string[] = [];

  private constructor(pick: () => Target | undefined) {
    // A side that ends for writing still reads: each half is closed by itself.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      this.connections++;
      const target = this.#refusing ? undefined : pick();
      if (target === undefined) {
        if (!this.#refusing) this.#note('no target');
        reset(client);
        return;
      }
      const upstream = connect({ ...target, allowHalfOpen: true, noDelay: true });
      const pair = [client, upstream] as const;
      this.#pairs.add(pair);
      for (const [from, to] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        from.pipe(to);
        from.on('error', (error) => {
          this.#note(`${from === client ? 'client' : `${target.host}:${target.port}`}: ${error.message}`);
          reset(to);
        });
        from.on('close', () => {
          to.destroy();
          this.#pairs.delete(pair);
        });
      }
      if (this.#stalled) this.#hold(pair);
    });
  }

  /** @param pick where the next connection goes; undefined: it is reset */
  static async start(lifetime: Lifetime, pick: () => Target | undefined, host = '127.0.0.1'): Promise<TcpProxy> {
    const proxy = new TcpProxy(pick);
    endWith(lifetime, () => proxy.stop());
    proxy.#server.listen(0, host);
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** From now on nothing is passed on, on old connections and on new ones, and nothing is closed: a silent network. */
  stall(): void {
    this.#stalled = true;
    for (const pair of this.#pairs) this.#hold(pair);
  }

  /** On the connections that there are nothing is passed on any more, and nothing is closed; new ones work. */
  silence(): void {
    for (const pair of this.#pairs) this.#hold(pair);
  }

  /** Goes on with what was held back. */
  resume(): void {
    this.#stalled = false;
    for (const [client, upstream] of this.#pairs) {
      client.pipe(upstream);
      upstream.pipe(client);
    }
  }

  /** New connections are reset until `accept`. */
  refuse(): void {
    this.#refusing = true;
  }

  accept(): void {
    this.#refusing = false;
  }

  /** Cuts all connections that there are. */
  cut(): void {
    for (const [client, upstream] of this.#pairs) {
      reset(client);
      reset(upstream);
    }
  }

  async stop(): Promise<void> {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #note(what: string): void {
    if (this.resets.length < 20) this.resets.push(`${new Date().toISOString()} ${what}`);
  }

  #hold([client, upstream]: readonly [Socket, Socket]): void {
    client.unpipe(upstream).pause();
    upstream.unpipe(client).pause();
  }
}

/**
 * Closes with RST. A socket that is sending its end can't be reset: Node.js (26.10) loses it, and the process spins for
 * ever when it should exit.
 */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** Milliseconds between two looks at each replica. */
const INTERVAL = 50;

/** Gives connections to ready replicas in turn, as a load balancer in front of a Service does. */
export class Balancer {
  readonly #replicas = new Set<Gateway>();
  readonly #ready = new Set<Gateway>();
  readonly #watches: Promise<void>[] = [];
  readonly #proxies: TcpProxy[] = [];
  #stopped = false;
  readonly host = '127.0.0.1';
  http = 0;
  https = 0;

  static async start(lifetime: Lifetime, replicas: readonly Gateway[]): Promise<Balancer> {
    const balancer = new Balancer();
    for (const replica of replicas) balancer.add(replica);
    endWith(lifetime, async () => {
      balancer.#stopped = true;
      await Promise.all(balancer.#watches);
    });
    for (const side of ['http', 'https'] as const) {
      // By turns on each port for itself: with one turn for both, a client that opens one of each would get the same replica every time.
      let next = 0;
      const proxy = await TcpProxy.start(lifetime, () => {
        const ready = [...balancer.#ready];
        const replica = ready[next++ % Math.max(1, ready.length)];
        return replica && { host: replica.host, port: replica[side] };
      });
      balancer.#proxies.push(proxy);
      balancer[side] = proxy.port;
    }
    await balancer.untilReady(replicas.length);
    return balancer;
  }

  add(replica: Gateway): void {
    this.#replicas.add(replica);
    this.#watches.push(this.#watch(replica));
  }

  remove(replica: Gateway): void {
    this.#replicas.delete(replica);
    this.#ready.delete(replica);
  }

  get ready(): number {
    return this.#ready.size;
  }

  /** Why connections through it were reset, and when. */
  get resets(): readonly string[] {
    return this.#proxies.flatMap(({ resets }) => resets);
  }

  /** Waits until exactly so many replicas are ready. */
  async untilReady(count: number): Promise<void> {
    for (const deadline = Date.now() + 180_000; this.ready !== count; await sleep(INTERVAL)) {
      if (Date.now() > deadline) throw new Error(`${this.ready} replicas are ready, not ${count}`);
    }
  }

  /** Each is looked at for itself: one that is slow to say how it is doesn't keep another from being taken out. */
  async #watch(replica: Gateway): Promise<void> {
    while (!this.#stopped && this.#replicas.has(replica)) {
      const { status } = await replica.adminGet('/readyz');
      if (status !== 200) this.#ready.delete(replica);
      else if (this.#replicas.has(replica)) this.#ready.add(replica);
      await sleep(INTERVAL);
    }
  }
}
