/** What the tests of this folder stand on: endpoints without a network, a clock and a chance that can be told what to be. */
import { Deadlines } from '../exchange/deadlines.ts';
import type { UpstreamHandler, UpstreamRequest, UpstreamStream } from '../exchange/streams.ts';
import type { Upstream } from '../snapshot/upstream.ts';
import { UpstreamMetrics } from '../telemetry/upstream-metrics.ts';
import { AffinityKeys } from './affinity-keys.ts';
import type { Balanced } from './balancers/balancer.ts';
import { BreakerMemory } from './breaker/breaker-memory.ts';
import type { ConnectionOwner, Connector, PooledConnection } from './connector.ts';
import { EndpointState, type SlottedEndpoint } from './endpoint-state.ts';
import { SharedHealth } from './health/shared-health.ts';
import { ConnectionPool } from './pool.ts';
import { InFlight } from './shared-counters.ts';

/** A stream on which nothing ever happens. */
const SILENT: UpstreamStream = {
  connected: true,
  writeBody: () => true,
  endBody: () => {},
  pauseResponse: () => {},
  resumeResponse: () => {},
  cancel: () => {},
};

/** A connection that remembers what it was asked. */
export class FakeConnection implements PooledConnection {
  readonly address: string;
  readonly port: number;
  readonly upstream: Upstream;
  readonly owner: ConnectionOwner;
  requests = 0;
  generation = 0;
  preamble: Buffer | undefined = undefined;
  streams: number;
  takesTunnels: boolean | undefined = undefined;
  /** What of bodies it was given, and their ends. */
  readonly written: string[] = [];
  readonly #sharable: boolean;
  #running = 0;
  destroyed = false;

  /** @param streams how many requests it carries at once */
  constructor(address: string, port: number, upstream: Upstream, owner: ConnectionOwner, streams: number) {
    this.address = address;
    this.port = port;
    this.upstream = upstream;
    this.streams = streams;
    this.#sharable = streams > 1;
    this.owner = owner;
  }

  request(_request: UpstreamRequest, _handler: UpstreamHandler): UpstreamStream {
    if (this.#running === this.streams || this.destroyed) throw new Error('a request on a connection that is busy or gone');
    this.#running++;
    this.requests++;
    const writeBody = (bytes: Buffer, start: number, end: number) => this.written.push(bytes.toString('latin1', start, end)) > 0;
    return { ...SILENT, writeBody, endBody: () => void this.written.push('END') };
  }

  get isBusy(): boolean {
    return this.#running > 0;
  }

  get hasRoom(): boolean {
    return this.#sharable && this.#running < this.streams;
  }

  destroy(): void {
    this.destroyed = true;
  }

  /** An exchange on it is complete. */
  done(): void {
    this.#running--;
    if (this.#running === 0) this.owner.onReusable(this);
    else if (this.#running === this.streams - 1) this.owner.onRoom(this);
  }

  /** The backend takes fewer requests at once than it was thought to. */
  shrink(streams: number): void {
    this.streams = streams;
    this.owner.streamsAtOnce = streams;
    if (!this.hasRoom) this.owner.onFull(this);
  }

  /** It takes no more requests. */
  retire(): void {
    this.owner.onRetired(this);
  }

  /** The other side closed it. */
  close(): void {
    this.destroyed = true;
    this.owner.onGone(this);
  }
}

export class FakeConnector implements Connector {
  readonly opened: FakeConnection[] = [];
  /** How many requests the connections carry at once. */
  streams = 1;

  connect(address: string, port: number, upstream: Upstream, owner: ConnectionOwner): FakeConnection {
    const connection = new FakeConnection(address, port, upstream, owner, this.streams);
    this.opened.push(connection);
    return connection;
  }
}

/** Nothing passes unless it is told to. */
export class FakeClock {
  time = 1_000;
  readonly now = (): number => this.time;
}

/** Mulberry32: the same numbers for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** @param index also its slot, and the end of its address */
export function endpoint(index: number, change: Partial<SlottedEndpoint> = {}): SlottedEndpoint {
  return { address: `10.0.${index >> 8}.${index & 255}`, port: 8080, state: 'Ready', slot: index, ...change };
}

export function upstream(change: Partial<Upstream> = {}): Upstream {
  return {
    key: 'shop/orders/80',
    namespace: 'shop',
    service: 'orders',
    port: 80,
    loadBalancer: { type: 'RoundRobin' },
    connectTimeout: 5_000,
    idleTimeout: 60_000,
    maxRequestsPerConnection: 0,
    protocol: 'HTTP1',
    ...change,
  };
}

/** What an upstream's state needs of its worker, with its clock, its connections and its counters in reach. */
export function fakeContext(slots = 1024) {
  const clock = new FakeClock();
  const deadlines = new Deadlines(3_600_000);
  deadlines.now = clock.time;
  const failing: string[] = [];
  return {
    /** Endpoints of which it was told that they fail. */
    failing,
    health: { shared: new SharedHealth(SharedHealth.allocate(slots)), tellFailing: (_upstream: string, name: string) => void failing.push(name) },
    zone: '',
    clock,
    now: clock.now,
    random: seeded(1),
    connector: new FakeConnector(),
    deadlines,
    inFlight: new InFlight(InFlight.allocate(1, slots), 1, 0),
    availability: { version: 0 },
    breakers: new BreakerMemory(BreakerMemory.allocate(1, 4), 1, 0),
    affinityKeys: new AffinityKeys({ own: new Uint8Array(32) }),
    metrics: { upstream: (key: string) => new UpstreamMetrics(key) },
  };
}

export function endpointStates(endpoints: readonly SlottedEndpoint[], context = fakeContext()): EndpointState[] {
  return endpoints.map((one) => {
    const pool = new ConnectionPool(one.address, one.port, upstream(), context.connector, context.deadlines);
    return new EndpointState(one, pool, context.inFlight);
  });
}

export interface Parts {
  readonly clientAddress?: string;
  readonly path?: string;
  readonly header?: string;
  readonly cookie?: string;
  readonly queryParam?: string;
}

/** A request whose header, cookie and query parameter, each called `key`, are as given. */
export function request(parts: Parts = {}): Balanced {
  const named = (value: string | undefined) => (name: string) => (name === 'key' ? value : undefined);
  return {
    clientAddress: parts.clientAddress ?? '192.0.2.1',
    path: parts.path ?? '/',
    requestFields: { get: named(parts.header) },
    cookie: named(parts.cookie),
    queryParam: named(parts.queryParam),
  };
}
