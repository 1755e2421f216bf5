import { performance } from 'node:perf_hooks';
import type { Deadlines } from '../../exchange/deadlines.ts';
import { newRequestId } from '../../exchange/request-id.ts';
import type { AccessLog } from '../../telemetry/access-log.ts';
import { countEnd } from '../../telemetry/passthrough-metrics.ts';
import type { Connection, Wire } from '../../wire/wire.ts';
import type { Listener } from '../listeners.ts';
import { PassthroughConnection } from './passthrough-connection.ts';
import { type CompiledPassthrough, ServerNames } from './server-names.ts';

/** What connections that are passed through have in common. */
export interface PassthroughContext {
  readonly wire: Wire;
  readonly deadlines: Deadlines;
  finished(connection: PassthroughConnection): void;
}

/** Connections of one worker that are passed to a backend with their TLS, by the server name that they ask for. */
export class Passthroughs implements PassthroughContext {
  /** Of the newest snapshot; connections that are open keep what they have. */
  serverNames: ServerNames = ServerNames.NONE;
  readonly wire: Wire;
  readonly deadlines: Deadlines;
  readonly #accessLog: AccessLog | undefined;
  /** With what is to be called once they are gone. */
  readonly #open = new Map<PassthroughConnection, () => void>();

  constructor(wire: Wire, deadlines: Deadlines, accessLog: AccessLog | undefined) {
    this.wire = wire;
    this.deadlines = deadlines;
    this.#accessLog = accessLog;
  }

  /** Takes a connection over, all of whose bytes are still to come. @param listener that it came in by, which counts it */
  take(connection: Connection, listener: Listener, route: CompiledPassthrough, serverName: string): void {
    const release = listener.admit(connection);
    if (release === undefined) return;
    const passthrough = new PassthroughConnection(this, connection, route, serverName);
    this.#open.set(passthrough, release);
    passthrough.start();
  }

  /** Cuts what is open. @returns how many there were */
  stop(): number {
    const open = [...this.#open.keys()];
    for (const connection of open) connection.stop();
    return open.length;
  }

  finished(connection: PassthroughConnection): void {
    this.deadlines.remove(connection);
    const release = this.#open.get(connection);
    this.#open.delete(connection);
    release?.();
    countEnd(connection.counts, connection.reason);
    const { backend, endpoint } = connection;
    // No status: nobody here has seen an answer.
    this.#accessLog?.write({
      requestId: newRequestId(),
      clientIp: connection.clientAddress,
      method: '',
      host: connection.serverName,
      path: '',
      protocol: 'TLS',
      status: 0,
      reason: connection.reason,
      shadowRefusals: '',
      requestBytes: connection.requestBytes,
      responseBytes: connection.responseBytes,
      durationMs: performance.now() - connection.startedAt,
      route: connection.route.id,
      upstream: backend?.upstream?.key ?? '',
      endpoint: endpoint?.name ?? '',
      upstreamStatus: 0,
      upstreamMs: connection.connectMs,
      attempts: connection.attempts,
      userAgent: '',
      referer: '',
      traceId: '',
      tlsVersion: '',
      sni: connection.serverName,
    });
  }
}
