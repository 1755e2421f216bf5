import { isDeepStrictEqual } from 'node:util';
import type { Deadlines, Timed } from '../exchange/deadlines.ts';
import type { UpstreamHandler, UpstreamRequest, UpstreamStream } from '../exchange/streams.ts';
import type { Upstream, UpstreamProtocol } from '../snapshot/upstream.ts';
import { writeProxyHeader } from '../wire/proxy-header.ts';
import type { BudgetedPool, ConnectionBudget } from './breaker/connection-budget.ts';
import type { ConnectionOwner, Connector, PooledConnection } from './connector.ts';

/** Idle connections that one worker keeps to one endpoint; what comes back beyond that is closed. */
export const MAX_IDLE_CONNECTIONS = 512;

/** Milliseconds for which it is remembered that a backend takes no tunnels beside other requests. */
const TUNNELS_REFUSED = 60_000;

/** A generation that no pool reaches. */
const NEVER_KEPT = -1;

/**
 * Keep-alive connections of one worker to one endpoint. The connection that came back last is reused first, so that those
 * beyond the need grow old and time out; the pool itself is the one timed item, not each connection. Where connections carry
 * several requests at once, one is filled before the next is used, for the same reason.
 */
export class ConnectionPool implements ConnectionOwner, BudgetedPool, Timed {
  deadline = Number.POSITIVE_INFINITY;
  deadlineIndex = -1;
  streamsAtOnce = Number.POSITIVE_INFINITY;

  readonly #address: string;
  readonly #port: number;
  readonly #connector: Connector;
  readonly #deadlines: Deadlines;
  #settings: Upstream;
  /** Connections made under others speak another protocol, or to somebody else. */
  #generation = 0;
  /** A stack, and so in the order in which they became idle. */
  readonly #idle: PooledConnection[] = [];
  /** When each of them did, on the clock of `deadlines.now`. */
  readonly #idleSince: number[] = [];
  /** Those that have requests under way and room for more. */
  readonly #shared: PooledConnection[] = [];
  #closed = false;
  /** Until then tunnels get connections of their own, whatever the protocol; on the clock of `deadlines.now`. */
  #noTunnelsUntil = 0;
  /** What connections to the upstream there may be; undefined while it never had a circuit breaker. */
  #budget: ConnectionBudget | undefined = undefined;

  /** @param settings 0 for idleTimeout or maxRequestsPerConnection: no limit */
  constructor(address: string, port: number, settings: Upstream, connector: Connector, deadlines: Deadlines) {
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
   * Sends a request on a connection that has room for it, else on a new one. A closed pool still takes requests, for
   * exchanges that picked its endpoint just before: each gets a connection that is closed afterwards.
   * @param fresh never on a connection that was idle, for a retry after such a one died. One that carries other requests will
   *   do: it would be gone from here, had it died. So the many requests of a connection that is lost don't each get their own.
   * @returns undefined when the circuit breaker allows no further connection, nor one more to wait for it
   */
  request(request: UpstreamRequest, handler: UpstreamHandler, fresh: boolean): UpstreamStream | undefined {
    return this.#send(request, handler, fresh) ?? this.#budget?.wait(this, request, handler);
  }

  tryRequest(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream | undefined {
    return this.#send(request, handler, false);
  }

  #send(request: UpstreamRequest, handler: UpstreamHandler, fresh: boolean): UpstreamStream | undefined {
    const { proxyProtocol } = this.#settings;
    const preamble = proxyProtocol === undefined ? undefined : (request.preamble ?? NOBODYS[proxyProtocol]);
    if (request.upgrade === 'websocket' && !this.#takesTunnels(preamble)) return this.#open('HTTP1', preamble)?.request(request, handler);
    const shared = this.#shared;
    const place = placeOf(shared, preamble);
    if (place >= 0) {
      const connection = shared[place] as PooledConnection;
      const stream = connection.request(request, handler);
      if (!this.#takesMore(connection)) shared.splice(place, 1);
      return stream;
    }
    let connection = fresh ? undefined : this.#takeIdle(preamble);
    if (connection === undefined) {
      connection = this.#open(undefined, preamble);
      if (connection === undefined) return undefined;
    }
    const stream = connection.request(request, handler);
    if (this.#takesMore(connection)) shared.push(connection);
    return stream;
  }

  /** Whether a tunnel may go where other requests go. What the backend has said on the connection that would be used counts. */
  #takesTunnels(preamble: Buffer | undefined): boolean {
    if (this.#settings.protocol === 'HTTP1') return true;
    if (this.#deadlines.now < this.#noTunnelsUntil) return false;
    const place = placeOf(this.#shared, preamble);
    const next = place >= 0 ? this.#shared[place] : this.#idle[placeOf(this.#idle, preamble)];
    return next?.takesTunnels !== false;
  }

  onTunnelRefused(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream | undefined {
    this.#noTunnelsUntil = this.#deadlines.now + TUNNELS_REFUSED;
    return this.request(request, handler, true);
  }

  onNoRoom(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream | undefined {
    return this.request(request, handler, false);
  }

  #takeIdle(preamble: Buffer | undefined): PooledConnection | undefined {
    if (preamble === undefined) {
      const connection = this.#idle.pop();
      if (connection !== undefined) this.#idleSince.pop();
      return connection;
    }
    const place = placeOf(this.#idle, preamble);
    if (place < 0) return undefined;
    this.#idleSince.splice(place, 1);
    return this.#idle.splice(place, 1)[0];
  }

  /** @param protocol if not that of the settings; such a connection carries one request. @returns undefined when the circuit breaker allows none */
  #open(protocol: UpstreamProtocol | undefined, preamble: Buffer | undefined): PooledConnection | undefined {
    return this.#budget === undefined ? this.#connect(protocol, preamble) : this.#budget.connect(this, () => this.#connect(protocol, preamble));
  }

  #connect(protocol: UpstreamProtocol | undefined, preamble: Buffer | undefined): PooledConnection {
    const settings = protocol === undefined ? this.#settings : { ...this.#settings, protocol };
    const connection = this.#connector.connect(this.#address, this.#port, settings, this, preamble);
    connection.generation = protocol === undefined ? this.#generation : NEVER_KEPT;
    connection.preamble = preamble;
    return connection;
  }

  /** Connections that are open already don't count. */
  setBudget(budget: ConnectionBudget): void {
    this.#budget = budget;
    if (!this.#closed) budget.join(this);
  }

  /** New settings; a shorter idle time-out or request limit holds for the connections that are open, too. */
  configure(settings: Upstream): void {
    const before = this.#settings;
    if (before === settings) return;
    this.#settings = settings;
    if (before.protocol !== settings.protocol || before.proxyProtocol !== settings.proxyProtocol || !isDeepStrictEqual(before.tls, settings.tls)) {
      this.#generation++;
      this.#shared.length = 0;
      this.closeAllIdle();
      this.#schedule();
    } else if (before.idleTimeout !== settings.idleTimeout && this.#idle.length > 0) {
      this.#schedule();
    }
  }

  /** Closes the idle connections now, and the others when their requests are done. */
  close(): void {
    this.#closed = true;
    this.#deadlines.remove(this);
    this.#shared.length = 0;
    this.closeAllIdle();
    this.#budget?.leave(this);
  }

  closeIdle(): boolean {
    if (this.#idle.length === 0) return false;
    this.#closeOldest(1);
    return true;
  }

  closeAllIdle(): void {
    this.#closeOldest(this.#idle.length);
  }

  onReusable(connection: PooledConnection): void {
    this.#unshare(connection);
    // Those of clients that are gone must not take the place of those of clients that are there.
    if (connection.preamble !== undefined && this.#idle.length >= MAX_IDLE_CONNECTIONS) this.#closeOldest(1);
    if (!this.#keeps(connection) || this.#idle.length >= MAX_IDLE_CONNECTIONS) {
      this.#destroy(connection);
      return;
    }
    this.#idle.push(connection);
    this.#idleSince.push(this.#deadlines.now);
    // Otherwise a deadline is set already, too early at worst: then `onDeadline` sets the right one.
    if (this.deadlineIndex < 0) this.#schedule();
    this.#budget?.wake();
  }

  onRoom(connection: PooledConnection): void {
    if (this.#takesMore(connection) && !this.#shared.includes(connection)) this.#shared.push(connection);
    this.#budget?.wake();
  }

  onFull(connection: PooledConnection): void {
    this.#unshare(connection);
  }

  onRetired(connection: PooledConnection): void {
    this.#unshare(connection);
    this.#forgetIdle(connection);
  }

  onGone(connection: PooledConnection): void {
    this.onRetired(connection);
    this.#budget?.released(connection);
  }

  onDeadline(now: number): void {
    const latest = now - this.#settings.idleTimeout;
    let expired = 0;
    if (this.#settings.idleTimeout > 0) while (expired < this.#idle.length && (this.#idleSince[expired] as number) <= latest) expired++;
    this.#closeOldest(expired);
    this.#schedule();
  }

  /** It may carry another request, by its age, by what it was made for, and since the pool is open. */
  #keeps(connection: PooledConnection): boolean {
    const { maxRequestsPerConnection } = this.#settings;
    return !this.#closed && connection.generation === this.#generation && (maxRequestsPerConnection === 0 || connection.requests < maxRequestsPerConnection);
  }

  #takesMore(connection: PooledConnection): boolean {
    return connection.hasRoom && this.#keeps(connection);
  }

  #unshare(connection: PooledConnection): void {
    // A look that costs nothing where connections carry one request at a time.
    if (this.#shared.length === 0) return;
    const index = this.#shared.lastIndexOf(connection);
    if (index >= 0) this.#shared.splice(index, 1);
  }

  #forgetIdle(connection: PooledConnection): void {
    const index = this.#idle.lastIndexOf(connection);
    if (index < 0) return;
    this.#idle.splice(index, 1);
    this.#idleSince.splice(index, 1);
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
    for (const connection of this.#idle.splice(0, count)) this.#destroy(connection);
  }

  #destroy(connection: PooledConnection): void {
    connection.destroy();
    this.#budget?.released(connection);
  }
}

/** Of requests that no client's connection has brought, such as mirrored ones. */
const NOBODYS = { V1: writeProxyHeader('V1', undefined), V2: writeProxyHeader('V2', undefined) };

/** The last connection that began so. Each client's connection has one buffer for all its requests; without PROXY headers there is none. */
function placeOf(connections: readonly PooledConnection[], preamble: Buffer | undefined): number {
  let place = connections.length - 1;
  if (preamble !== undefined) while (place >= 0 && connections[place]?.preamble !== preamble) place--;
  return place;
}
