import type { Deadlines, Timed } from '../exchange/deadlines.ts';
import type { UpstreamHandler, UpstreamRequest, UpstreamStream } from '../exchange/streams.ts';
import type { Upstream } from '../snapshot/snapshot.ts';
import type { ConnectionOwner, Connector, PooledConnection } from './connector.ts';

/** Idle connections that one worker keeps to one endpoint; what comes back beyond that is closed. */
export const MAX_IDLE_CONNECTIONS = 512;

export type PoolSettings = Pick<Upstream, 'connectTimeout' | 'idleTimeout' | 'maxRequestsPerConnection'>;

/**
 * Keep-alive connections of one worker to one endpoint. The connection that came back last is reused first, so that those
 * beyond the need grow old and time out; the pool itself is the one timed item, not each connection.
 */
export class ConnectionPool implements ConnectionOwner, Timed {
  deadline = Number.POSITIVE_INFINITY;
  deadlineIndex = -1;

  readonly #address: string;
  readonly #port: number;
  readonly #connector: Connector;
  readonly #deadlines: Deadlines;
  #settings: PoolSettings;
  /** A stack, and so in the order in which they became idle. */
  readonly #idle: PooledConnection[] = [];
  /** When each of them did, on the clock of `deadlines.now`. */
  readonly #idleSince: number[] = [];
  #closed = false;

  /** @param settings times in milliseconds; 0 for idleTimeout or maxRequestsPerConnection: no limit */
  constructor(address: string, port: number, settings: PoolSettings, connector: Connector, deadlines: Deadlines) {
    this.#address = address;
    this.#port = port;
    this.#settings = settings;
    this.#connector = connector;
    this.#deadlines = deadlines;
  }

  /** Connections that wait for a request. */
  get idle(): number {
    return this.#idle.length;
  }

  /**
   * Sends a request on an idle connection, else on a new one. A closed pool still takes requests, for exchanges that
   * picked its endpoint just before: each gets a connection that is closed afterwards.
   * @param fresh on a new connection in any case, for a retry after a reused one died
   */
  request(request: UpstreamRequest, handler: UpstreamHandler, fresh: boolean): UpstreamStream {
    if (!fresh) {
      const connection = this.#idle.pop();
      if (connection !== undefined) {
        this.#idleSince.pop();
        return connection.request(request, handler);
      }
    }
    return this.#connector.connect(this.#address, this.#port, this.#settings.connectTimeout, this).request(request, handler);
  }

  /** New settings; a shorter idle time-out or request limit holds for the connections that are open, too. */
  configure(settings: PoolSettings): void {
    const before = this.#settings;
    this.#settings = settings;
    if (before.idleTimeout !== settings.idleTimeout && this.#idle.length > 0) this.#schedule();
  }

  /** Closes the idle connections now, and the others when their requests are done. */
  close(): void {
    this.#closed = true;
    this.#deadlines.remove(this);
    this.#closeOldest(this.#idle.length);
  }

  onReusable(connection: PooledConnection): void {
    const { maxRequestsPerConnection } = this.#settings;
    if (this.#closed || this.#idle.length >= MAX_IDLE_CONNECTIONS || (maxRequestsPerConnection > 0 && connection.requests >= maxRequestsPerConnection)) {
      connection.destroy();
      return;
    }
    this.#idle.push(connection);
    this.#idleSince.push(this.#deadlines.now);
    // Otherwise a deadline is set already, too early at worst: then `onDeadline` sets the right one.
    if (this.deadlineIndex < 0) this.#schedule();
  }

  onGone(connection: PooledConnection): void {
    const index = this.#idle.lastIndexOf(connection);
    if (index < 0) return;
    this.#idle.splice(index, 1);
    this.#idleSince.splice(index, 1);
  }

  onDeadline(now: number): void {
    const latest = now - this.#settings.idleTimeout;
    let expired = 0;
    if (this.#settings.idleTimeout > 0) while (expired < this.#idle.length && (this.#idleSince[expired] as number) <= latest) expired++;
    this.#closeOldest(expired);
    this.#schedule();
  }

  #schedule(): void {
    const oldest = this.#idleSince[0];
    if (oldest === undefined || this.#settings.idleTimeout === 0) {
      this.#deadlines.remove(this);
      return;
    }
    this.deadline = oldest + this.#settings.idleTimeout;
    this.#deadlines.add(this);
  }

  #closeOldest(count: number): void {
    if (count === 0) return;
    this.#idleSince.splice(0, count);
    for (const connection of this.#idle.splice(0, count)) connection.destroy();
  }
}
