import type { Deadlines } from '../exchange/deadlines.ts';
import { ClientConnection } from '../http1/client-connection.ts';
import { ClientConnection as Http2ClientConnection } from '../http2/client-connection.ts';
import type { Upstream } from '../snapshot/upstream.ts';
import type { ConnectionOwner, Connector, PooledConnection } from '../upstream/connector.ts';
import type { ConnectionHandler, Wire } from '../wire/wire.ts';
import type { BackendTlsStore } from './tls/backend-tls-store.ts';

/** Opens a worker's connections to backends, in the protocol that the upstream's settings name. */
export class BackendConnector implements Connector {
  readonly #wire: Wire;
  readonly #deadlines: Deadlines;
  readonly #tls: BackendTlsStore;

  constructor(wire: Wire, deadlines: Deadlines, tls: BackendTlsStore) {
    this.#wire = wire;
    this.#deadlines = deadlines;
    this.#tls = tls;
  }

  connect(address: string, port: number, upstream: Upstream, owner: ConnectionOwner, preamble: Buffer | undefined): PooledConnection {
    const tls = this.#tls.of(upstream, address, port);
    if (upstream.protocol !== 'HTTP1') {
      const connect = (handler: ConnectionHandler) => this.#wire.connect({ host: address, port, handler, ...(tls === undefined ? {} : { tls }), preamble });
      return new Http2ClientConnection(connect, this.#deadlines, tls === undefined ? 'http' : 'https', upstream.connectTimeout, owner);
    }
    return new ClientConnection(this.#wire, this.#deadlines, { address, port, tls, preamble }, upstream.connectTimeout, owner);
  }
}
