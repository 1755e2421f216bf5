import { connect } from 'node:net';
import { Deadlines } from '../../exchange/deadlines.ts';
import { notNumeric } from '../address.ts';
import type { Connection, ConnectOptions, ListenOptions, Wire, WireListener } from '../wire.ts';
import { connectTls } from './connect-tls.ts';
import { StreamConnection } from './stream-connection.ts';
import { StreamListener } from './stream-listener.ts';

/** What is read at once is what a reader that is slow makes us keep: under 64 KiB. */
const READ_BUFFER = 48 * 1024;
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

  connect(options: ConnectOptions): Connection {
    if (options.tls !== undefined) return connectTls(options, options.tls);
    const { host, port, handler } = options;
    const { shared } = this;
    let connection: StreamConnection | undefined;
    let own: Buffer | undefined;
    const socket = connect({
      host,
      port,
      noDelay: true,
      allowHalfOpen: true,
      // Asked for names alone.
      lookup: (name, _, answer) => answer(notNumeric(name), ''),
      onread: {
        // Asked for after each read, and only then: so a buffer whose bytes are still being written elsewhere is left behind at once.
        buffer: () => {
          if (connection?.bulk !== true) own = undefined;
          else if (own === undefined || socket.isPaused()) own = Buffer.allocUnsafeSlow(READ_BUFFER);
          return own ?? shared;
        },
        callback: (length, buffer) => {
          if (connection === undefined) return false;
          // Bulk mode was set on since the buffer was handed out.
          const bytes = connection.bulk && buffer === shared ? Buffer.from(buffer.subarray(0, length)) : (buffer as Buffer);
          return connection.received(bytes, 0, length);
        },
      },
    });
    connection = new StreamConnection(socket, socket, handler, { address: host, port, localAddress: undefined, localPort: 0 }, 0, undefined);
    if (options.preamble !== undefined) connection.write(options.preamble, 0, options.preamble.length, true);
    socket.once('connect', () => connection?.connected());
    return connection;
  }
}
