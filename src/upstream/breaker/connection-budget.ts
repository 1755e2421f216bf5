import type { Deadlines, Timed } from '../../exchange/deadlines.ts';
import { LateStream } from '../../exchange/late-stream.ts';
import { isEmptyBody, type UpstreamHandler, type UpstreamRequest, type UpstreamStream } from '../../exchange/streams.ts';
import type { CircuitBreaker } from '../../snapshot/upstream.ts';
import type { PooledConnection } from '../connector.ts';
import { type BreakerMemory, Permit } from './breaker-memory.ts';

const UNLIMITED = { maxConnections: Number.MAX_SAFE_INTEGER, maxPendingRequests: Number.MAX_SAFE_INTEGER };

type Settings = Pick<CircuitBreaker, keyof typeof UNLIMITED>;

/** What a budget needs of the pools that share it. */
export interface BudgetedPool {
  /** Closes the connection that has been idle the longest. @returns whether there was one */
  closeIdle(): boolean;
  /** Sends it if a connection is at hand, or may be made. @returns undefined otherwise */
  tryRequest(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream | undefined;
}

/**
 * One worker's part of the connections that a circuit breaker allows an upstream, and of the requests that wait for one. A
 * connection that one endpoint has no use for makes room for another endpoint's, and for another worker's, which finds it within
 * a sweep of the deadlines.
 */
export class ConnectionBudget implements Timed {
  /** At every sweep. */
  deadline = 0;
  deadlineIndex = -1;
  #settings: Settings;
  readonly #memory: BreakerMemory;
  readonly #slot: number;
  readonly #deadlines: Deadlines;
  readonly #pools = new Set<BudgetedPool>();
  /** Those that hold a permit. */
  readonly #connections = new Set<PooledConnection>();
  /** By pool, each in order of arrival; the pools in turns. */
  readonly #waiting = new Map<BudgetedPool, WaitingRequest[]>();
  #scheduled = false;

  constructor(settings: Settings, memory: BreakerMemory, slot: number, deadlines: Deadlines) {
    this.#settings = settings;
    this.#memory = memory;
    this.#slot = slot;
    this.#deadlines = deadlines;
    deadlines.add(this);
  }

  join(pool: BudgetedPool): void {
    this.#pools.add(pool);
  }

  leave(pool: BudgetedPool): void {
    this.#pools.delete(pool);
  }

  /**
   * @param settings undefined: there is no breaker any more. What holds a permit still gives it back in its time, and what waits
   *   is let go on
   */
  configure(settings: Settings | undefined): void {
    this.#settings = settings ?? UNLIMITED;
    this.#serveAll();
    if (settings === undefined) this.#deadlines.remove(this);
    else this.#deadlines.add(this);
  }

  /**
   * Connects if that is allowed. An idle connection to another endpoint makes room, or else one of the pool's own: that it asks
   * means that it has none that will do, for those that it has are of other clients, or of another protocol.
   */
  connect(pool: BudgetedPool, connect: () => PooledConnection): PooledConnection | undefined {
    if (!this.#take() && !((this.#closeIdle() || pool.closeIdle()) && this.#take())) return undefined;
    const connection = connect();
    this.#connections.add(connection);
    return connection;
  }

  /**
   * For a connection that is in nobody's pool. One that is idle in a pool makes room.
   * @returns what gives its place back, to be called once; undefined: there is none
   */
  takeForOther(): (() => void) | undefined {
    if (!this.#take() && !(this.#closeIdle() && this.#take())) return undefined;
    return () => {
      this.#memory.give(this.#slot, Permit.Connection);
      this.wake();
    };
  }

  /** A connection is closed, or told to; any number of times. */
  released(connection: PooledConnection): void {
    if (!this.#connections.delete(connection)) return;
    this.#memory.give(this.#slot, Permit.Connection);
    this.wake();
  }

  /** @returns undefined when too many wait already */
  wait(pool: BudgetedPool, request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream | undefined {
    if (!this.#memory.take(this.#slot, Permit.Pending, this.#settings.maxPendingRequests)) return undefined;
    const waiting = new WaitingRequest(request, handler, (one) => this.#forget(pool, one));
    const queue = this.#waiting.get(pool);
    if (queue === undefined) this.#waiting.set(pool, [waiting]);
    else queue.push(waiting);
    return waiting;
  }

  /** There is a connection to be had, or a permit; not from within the callback of a connection, which may have more to say. */
  wake(): void {
    if (this.#scheduled || this.#waiting.size === 0) return;
    this.#scheduled = true;
    process.nextTick(() => {
      this.#scheduled = false;
      this.#serveAll();
    });
  }

  onDeadline(): void {
    if (this.#waiting.size > 0) {
      this.#serveAll();
      return;
    }
    // Another worker's requests wait for connections that nobody here needs.
    let wanted = this.#memory.held(this.#slot, Permit.Pending);
    while (wanted > 0 && this.#closeIdle()) wanted--;
  }

  #take(): boolean {
    return this.#memory.take(this.#slot, Permit.Connection, this.#settings.maxConnections);
  }

  #closeIdle(): boolean {
    for (const pool of this.#pools) if (!this.#waiting.has(pool) && pool.closeIdle()) return true;
    return false;
  }

  #serveAll(): void {
    for (let served = true; served && this.#waiting.size > 0; ) {
      served = false;
      for (const pool of [...this.#waiting.keys()]) if (this.#serveFirst(pool)) served = true;
    }
  }

  #serveFirst(pool: BudgetedPool): boolean {
    const first = this.#waiting.get(pool)?.[0];
    if (first === undefined) return false;
    const stream = pool.tryRequest(first.request, first.handler);
    if (stream === undefined) return false;
    this.#forget(pool, first);
    first.begin(stream);
    return true;
  }

  #forget(pool: BudgetedPool, waiting: WaitingRequest): void {
    const queue = this.#waiting.get(pool);
    const index = queue?.indexOf(waiting) ?? -1;
    if (queue === undefined || index < 0) return;
    queue.splice(index, 1);
    if (queue.length === 0) this.#waiting.delete(pool);
    this.#memory.give(this.#slot, Permit.Pending);
  }
}

/** A try that waits for its connection, and then passes on. */
class WaitingRequest extends LateStream {
  readonly request: UpstreamRequest;
  readonly handler: UpstreamHandler;
  readonly #onDropped: (waiting: WaitingRequest) => void;

  constructor(request: UpstreamRequest, handler: UpstreamHandler, onDropped: (waiting: WaitingRequest) => void) {
    super();
    this.request = request;
    this.handler = handler;
    this.#onDropped = onDropped;
  }

  begin(stream: UpstreamStream): void {
    if (this.passTo(stream) && !isEmptyBody(this.request.body)) this.handler.onUpstreamWritable();
  }

  protected override dropped(): void {
    this.#onDropped(this);
  }
}
