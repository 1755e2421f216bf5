import { isIP } from 'node:net';
import { Deadlines } from '../../exchange/deadlines.ts';
import { notNumeric } from '../address.ts';
import { isWithoutDescriptor } from '../descriptors.ts';
import { connectTls } from '../stream/connect-tls.ts';
import type { Connection, ConnectOptions, ListenOptions, Wire, WireListener } from '../wire.ts';
import type { ConnectRequest, SocketName, TcpHandle } from './bindings.ts';
import { HandleConnection } from './handle-connection.ts';
import { HandleListener } from './handle-listener.ts';
import { Native } from './native.ts';
import { systemError } from './system-error.ts';

/** How late a handshake's time-out may be noticed, in milliseconds. */
const HANDSHAKE_TICK = 100;

/** Sockets on their handles. */
export class HandleWire implements Wire {
  readonly name = 'handle';
  private readonly native = new Native();
  private readonly handshakes = new Deadlines(HANDSHAKE_TICK);
  private readonly listeners: HandleListener[] = [];
  private readonly taken = (fd: number): void => {
    for (const listener of this.listeners) listener.descriptorTaken(fd);
  };

  async listen(options: ListenOptions, accept: (connection: Connection) => void): Promise<WireListener> {
    const listener = new HandleListener(this.native, options, accept, this.handshakes);
    await listener.listen();
    this.listeners.push(listener);
    return listener;
  }

  connect({ host, port, handler, tls, preamble }: ConnectOptions): Connection {
    // Public sockets: the handshake costs far more than they do, and verification is theirs.
    if (tls !== undefined) return connectTls({ host, port, handler, preamble }, tls, this.taken);
    const { TCP, constants } = this.native.bindings.tcp;
    const tcp = new TCP(constants.SOCKET);
    const connection = new HandleConnection(this.native, tcp, undefined, false, handler, undefined);
    connection.remoteAddress = host;
    connection.remotePort = port;
    if (preamble !== undefined) connection.write(preamble, 0, preamble.length, true);
    new Connecting(connection, tcp, this.taken).start(this.native, host, port);
    return connection;
  }
}

/** The way to an outgoing connection. */
class Connecting {
  private readonly connection: HandleConnection;
  private readonly tcp: TcpHandle;
  private readonly taken: (fd: number) => void;

  /** @param taken hears which descriptor it has; infinite: there was none left */
  constructor(connection: HandleConnection, tcp: TcpHandle, taken: (fd: number) => void) {
    this.connection = connection;
    this.tcp = tcp;
    this.taken = taken;
  }

  start({ bindings }: Native, host: string, port: number): void {
    const family = isIP(host);
    if (family === 0) {
      this.connection.fail(notNumeric(host));
      return;
    }
    const request = new bindings.tcp.TCPConnectWrap();
    request.owner = this;
    request.oncomplete = onAnswered;
    const status = family === 6 ? this.tcp.connect6(request, host, port) : this.tcp.connect(request, host, port);
    if (status === 0) this.taken(this.tcp.fd);
    else this.refused(status);
  }

  /** Called when the kernel has answered. */
  answered(status: number): void {
    const { connection, tcp } = this;
    // Destroyed meanwhile.
    if (connection.gone) return;
    if (status !== 0) {
      this.refused(status);
      return;
    }
    tcp.setNoDelay(true);
    const name: SocketName = {};
    tcp.getsockname(name);
    connection.localPort = name.port ?? 0;
    connection.connected();
  }

  private refused(status: number): void {
    const { connection } = this;
    if (isWithoutDescriptor(status)) this.taken(Number.POSITIVE_INFINITY);
    connection.fail(systemError(status, 'connect', `${connection.remoteAddress}:${connection.remotePort}`));
  }
}

function onAnswered(this: ConnectRequest, status: number): void {
  (this.owner as Connecting).answered(status);
}
