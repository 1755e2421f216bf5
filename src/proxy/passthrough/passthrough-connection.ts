// The global of that name is looked up anew at each use.
import { performance } from 'node:perf_hooks';
import type { Timed } from '../../exchange/deadlines.ts';
import type { PickedBackend, PickedEndpoint } from '../../upstream/backend-picker.ts';
import type { Balanced } from '../../upstream/balancers/balancer.ts';
import type { EndpointState } from '../../upstream/endpoint-state.ts';
import { CANCELLED, FAILED } from '../../upstream/health/worker-health.ts';
import { writeProxyHeader } from '../../wire/proxy-header.ts';
import type { Connection, ConnectionHandler } from '../../wire/wire.ts';
import { Admission } from './admission.ts';
import type { PassthroughContext } from './passthrough.ts';
import type { CompiledPassthrough } from './server-names.ts';

/** A read of this many bytes is one of many: from then on bytes are handed on without a copy. */
const BULK_READ = 32 * 1024;
/** Endpoints that are tried. Nothing has been sent to those that do not accept, so that a further one costs nothing but time. */
const MAX_ATTEMPTS = 3;
/** What a connection that was made says of its endpoint's health: that there is somebody. */
const CONNECTED = 200;

/** Balancers see a client, and nothing of what it asks for. */
class ClientOnly implements Balanced {
  readonly path = '';
  readonly clientAddress: string;
  readonly requestFields = { get: (): undefined => undefined };

  constructor(clientAddress: string) {
    this.clientAddress = clientAddress;
  }

  cookie(): undefined {
    return undefined;
  }

  queryParam(): undefined {
    return undefined;
  }
}

/**
 * A client's connection and one to a backend, each of which gets what the other sends. Whichever takes less holds back the other; an
 * end of one is passed on as a half-close, a reset as a reset.
 */
export class PassthroughConnection implements Timed {
  deadline = Number.POSITIVE_INFINITY;
  deadlineIndex = -1;

  readonly serverName: string;
  readonly clientAddress: string;
  readonly route: CompiledPassthrough['route'];
  readonly counts: CompiledPassthrough['counts'];
  /** `performance.now()`. */
  readonly startedAt = performance.now();
  backend: PickedBackend | undefined = undefined;
  endpoint: EndpointState | undefined = undefined;
  attempts = 0;
  /** Until the connection to the backend was made, in milliseconds; 0 before. */
  connectMs = 0;
  reason = '';

  readonly #context: PassthroughContext;
  readonly #picker: CompiledPassthrough['picker'];
  readonly #balanced: Balanced;
  readonly #client: Side;
  #upstream: Side | undefined = undefined;
  /** Of the try, and then of the connection that it came to. */
  #admission: Admission | undefined = undefined;
  /** Those that did not accept. */
  readonly #tried: EndpointState[] = [];
  #tryStartedAt = 0;
  #connected = false;
  #done = false;
  #lastActivity = 0;

  /** Takes the connection over, whose bytes are all still to come. */
  constructor(context: PassthroughContext, client: Connection, { route, picker, counts }: CompiledPassthrough, serverName: string) {
    this.#context = context;
    this.route = route;
    this.counts = counts;
    this.#picker = picker;
    this.serverName = serverName;
    this.clientAddress = client.remoteAddress;
    this.#balanced = new ClientOnly(client.remoteAddress);
    this.#client = new Side(this, client);
    client.handler = this.#client;
    client.pauseReading();
  }

  /** Body bytes of the log: what the client has sent, and what it has got. */
  get requestBytes(): number {
    return this.#client.bytes;
  }

  get responseBytes(): number {
    return this.#upstream?.bytes ?? 0;
  }

  start(): void {
    const backend = this.#picker.pick();
    this.backend = backend ?? this.#picker.heaviest;
    if (backend === undefined) {
      this.#cut('no_endpoint');
      return;
    }
    const endpoint = backend.upstream?.pick(this.#balanced, undefined);
    if (endpoint === undefined) this.#cut(backend.upstream === undefined ? 'backend_not_resolved' : 'no_endpoint');
    else this.#try({ backend, endpoint });
  }

  #try({ backend, endpoint }: PickedEndpoint): void {
    const { wire, deadlines } = this.#context;
    const settings = backend.upstream?.upstream;
    const now = performance.now();
    this.backend = backend;
    const admission = backend.upstream === undefined ? undefined : Admission.to(backend.upstream, now);
    if (typeof admission === 'string') {
      this.#cut(admission);
      return;
    }
    this.#admission = admission;
    this.endpoint = endpoint;
    this.attempts++;
    this.#tryStartedAt = now;
    endpoint.started();
    const { connection: client } = this.#client;
    const preamble =
      settings?.proxyProtocol === undefined
        ? undefined
        : writeProxyHeader(settings.proxyProtocol, {
            sourceAddress: client.remoteAddress,
            sourcePort: client.remotePort,
            destinationAddress: client.localAddress,
            destinationPort: client.localPort,
          });
    const upstream = new Side(this, undefined);
    this.#upstream = upstream;
    upstream.connection = wire.connect({ host: endpoint.address, port: endpoint.port, handler: upstream, preamble });
    this.deadline = this.#tryStartedAt + (settings?.connectTimeout ?? 0);
    deadlines.add(this);
  }

  connected(side: Side): void {
    if (this.#done || side !== this.#upstream) return;
    this.#connected = true;
    const now = performance.now();
    this.connectMs = now - this.#tryStartedAt;
    this.#admission?.settle(false, now);
    this.touch();
    this.deadline = this.#lastActivity + this.route.idleTimeout;
    this.#client.peer = side;
    side.peer = this.#client;
    this.#client.connection.resumeReading();
  }

  /** Bytes of that side go to the other one. */
  passed(side: Side, bytes: number): void {
    if (side === this.#client) this.counts.received += bytes;
    else this.counts.sent += bytes;
    this.touch();
  }

  /** There was something to do. */
  touch(): void {
    this.#lastActivity = this.#context.deadlines.now;
  }

  onDeadline(now: number): void {
    if (!this.#connected) {
      this.#tryFailed('connect_timeout');
      return;
    }
    const idle = this.#lastActivity + this.route.idleTimeout;
    if (now >= idle) this.#cut('idle_timeout');
    else this.deadline = idle;
  }

  /** A side is gone. */
  closed(side: Side, error: Error | undefined): void {
    if (this.#done) return;
    if (!this.#connected) {
      if (side === this.#upstream) this.#tryFailed('connect_failure');
      else if (side === this.#client) this.#cut('client_gone');
      return;
    }
    const other = side.peer;
    if (other?.gone === true) {
      this.#finish();
    } else if (error !== undefined || !side.ended || other?.ended !== true) {
      this.#cut(side === this.#client ? 'client_gone' : 'upstream_reset');
    }
    // Else both have ended: what the other one still has to send is on its way.
  }

  /** The process ends, and can't wait any longer. */
  stop(): void {
    this.#cut('drain_timeout');
  }

  #tryFailed(reason: string): void {
    const failed = this.endpoint as EndpointState;
    const backend = this.backend as PickedBackend;
    const upstream = this.#upstream as Side;
    this.#upstream = undefined;
    upstream.connection.destroy();
    const now = performance.now();
    this.#admission?.settle(true, now);
    this.#admission?.end();
    failed.finished(now - this.#tryStartedAt, true, FAILED);
    this.#tried.push(failed);
    this.endpoint = undefined;
    const next = this.attempts < MAX_ATTEMPTS ? this.#other(backend, failed) : undefined;
    if (next !== undefined) {
      this.#try(next);
      return;
    }
    this.#finishWith(reason, failed);
  }

  #other(backend: PickedBackend, failed: EndpointState): PickedEndpoint | undefined {
    let endpoint = backend.upstream?.pick(this.#balanced, failed);
    if (endpoint !== undefined && this.#tried.includes(endpoint)) endpoint = backend.upstream?.pickBeyond(this.#tried);
    if (endpoint !== undefined) return { backend, endpoint };
    const other = this.#picker.pickOther(this.#balanced, backend, failed);
    return other === undefined || this.#tried.includes(other.endpoint) ? undefined : other;
  }

  /** For the log the endpoint that was tried last. */
  #finishWith(reason: string, failed: EndpointState): void {
    if (this.#done) return;
    this.reason = reason;
    this.#close();
    this.#done = true;
    this.endpoint = failed;
    this.#context.finished(this);
  }

  #cut(reason: string): void {
    if (this.#done) return;
    this.reason = reason;
    this.#close();
    this.#finish();
  }

  /** A peer of TLS knows a connection that was cut from one that ended, so that this need be no reset unless the other side was one. */
  #close(): void {
    for (const side of [this.#client, this.#upstream]) {
      if (side === undefined || side.gone) continue;
      if (this.#connected) side.connection.reset();
      else side.connection.destroy();
    }
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#admission?.end();
    // Before it was up it was not the endpoint that ended it: see `#tryFailed`.
    this.endpoint?.finished(this.connectMs, false, this.#connected ? CONNECTED : CANCELLED);
    this.#context.finished(this);
  }
}

/** One of the two connections. */
class Side implements ConnectionHandler {
  connection!: Connection;
  /** Once both are up. */
  peer: Side | undefined = undefined;
  /** It sends no more. */
  ended = false;
  gone = false;
  /** That came from it. */
  bytes = 0;
  #bulk = false;
  readonly #owner: PassthroughConnection;

  constructor(owner: PassthroughConnection, connection: Connection | undefined) {
    this.#owner = owner;
    if (connection !== undefined) this.connection = connection;
  }

  onConnect(): void {
    this.#owner.connected(this);
  }

  onData(bytes: Buffer, start: number, end: number): void {
    const { peer } = this;
    if (peer === undefined) return;
    const length = end - start;
    this.bytes += length;
    this.#owner.passed(this, length);
    if (!peer.connection.write(bytes, start, end, this.#bulk)) this.connection.pauseReading();
    const bulk = length >= BULK_READ;
    if (bulk === this.#bulk) return;
    this.#bulk = bulk;
    this.connection.setBulk(bulk);
  }

  onDrain(): void {
    this.#owner.touch();
    this.peer?.connection.resumeReading();
  }

  onEnd(): void {
    this.ended = true;
    this.#owner.touch();
    this.peer?.connection.end();
  }

  onClose(error: Error | undefined): void {
    this.gone = true;
    this.#owner.closed(this, error);
  }
}
