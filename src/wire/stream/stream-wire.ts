import { connect } from 'node:net';
import { Deadlines } from '../../exchange/deadlines.ts';
import type { Connection, ConnectOptions, ListenOptions, Wire, WireListener } from '../wire.ts';
import { StreamConnection } from './stream-connection.ts';
import { StreamListener } from './stream-listener.ts';

const READ_BUFFER = 64 * 1024;
/** How late a handshake's time-out may be noticed, in milliseconds. */
const HANDSHAKE_TICK = 100;

/** Sockets by `node:net` and `node:tls` alone. */
export class StreamWire implements Wire {
  readonly name = 'stream';
  private readonly handshakes = new Deadlines(HANDSHAKE_TICK);
  /** Read into by every outgoing connection that is not in bulk mode: what was read is consumed before the next read. */
  private readonly shared = Buffer.allocUnsafeSlow(READ_BUFFER);

  async listen(options: ListenOptions, accept: (connection: Connection) => void): Promise<WireListener> {
    const listener = new StreamListener(options, accept, this.handshakes);
    await listener.listen();
    return listener;
  }

  connect({ host, port, handler }: ConnectOptions): Connection {
    const { shared } = this;
    let own: Buffer | undefined;
    let connection: StreamConnection | undefined;
    const socket = connect({
      host,
      port,
      noDelay: true,
      allowHalfOpen: true,
      onread: {
        // Asked for the next buffer after each read.
        buffer: () => {
          if (connection?.bulk !== true) return shared;
          own ??= Buffer.allocUnsafeSlow(READ_BUFFER);
          return own;
        },
        callback: (length, buffer) => {
          if (connection === undefined) return false;
          let bytes = buffer as Buffer;
          // Bulk mode was set on since the buffer was handed out.
          if (connection.bulk && bytes === shared) bytes = Buffer.from(bytes.subarray(0, length));
          return connection.received(bytes, 0, length);
        },
      },
    });
    connection = new StreamConnection(socket, socket, handler, { address: host, port }, 0, undefined);
    socket.once('connect', () => connection?.connected());
    return connection;
  }
}
