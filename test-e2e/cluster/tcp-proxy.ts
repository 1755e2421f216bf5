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

  private constructor(pick: () => Target | undefined) {
    // A side that ends for writing still reads: each half is closed by itself.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      this.connections++;
      const target = this.#refusing ? undefined : pick();
      if (target === undefined) {
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
        from.on('error', () => reset(to));
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
  readonly #ready = { http: [] as Target[], https: [] as Target[] };
  #next = 0;
  #stopped = false;
  readonly host = '127.0.0.1';
  http = 0;
  https = 0;

  static async start(lifetime: Lifetime, replicas: readonly Gateway[]): Promise<Balancer> {
    const balancer = new Balancer();
    for (const replica of replicas) balancer.#replicas.add(replica);
    const watching = balancer.#watch();
    endWith(lifetime, async () => {
      balancer.#stopped = true;
      await watching;
    });
    for (const side of ['http', 'https'] as const) {
      const proxy = await TcpProxy.start(lifetime, () => {
        const ready = balancer.#ready[side];
        return ready[balancer.#next++ % Math.max(1, ready.length)];
      });
      balancer[side] = proxy.port;
    }
    await balancer.untilReady(replicas.length);
    return balancer;
  }

  add(replica: Gateway): void {
    this.#replicas.add(replica);
  }

  remove(replica: Gateway): void {
    this.#replicas.delete(replica);
  }

  get ready(): number {
    return this.#ready.http.length;
  }

  /** Waits until exactly so many replicas are ready. */
  async untilReady(count: number): Promise<void> {
    for (const deadline = Date.now() + 180_000; this.ready !== count; await sleep(INTERVAL)) {
      if (Date.now() > deadline) throw new Error(`${this.ready} replicas are ready, not ${count}`);
    }
  }

  async #watch(): Promise<void> {
    while (!this.#stopped) {
      const replicas = [...this.#replicas];
      const statuses = await Promise.all(replicas.map((replica) => replica.adminGet('/readyz')));
      const ready = replicas.filter((_, index) => statuses[index]?.status === 200);
      this.#ready.http = ready.map((replica) => ({ host: replica.host, port: replica.http }));
      this.#ready.https = ready.map((replica) => ({ host: replica.host, port: replica.https }));
      await sleep(INTERVAL);
    }
  }
}
